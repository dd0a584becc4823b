//! Each rule of documents, by documents that break it and are signed all the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::now;
use crate::error::{Error, ErrorKind};
use crate::signed::document::{CONTEXT, INVOCATION};
use crate::signed::link::{sign, text};
use crate::signed::proof::{hashed, written};
use crate::signed::replay::{Made, Replays};
use crate::signed::target;
use crate::signed::tree::Tree;
use crate::signed::{
    Caveat, Delegation, Invocation, Link, LinkName, Permit, ProofType, PublicKey, Refusal, Rule, SecretKey,
    Signer, Verifier,
};

const ORIGIN: &str = "https://node.example";
const ROOM: &str = "https://node.example/rooms/7";
const SEAT: &str = "https://node.example/rooms/7/seat";
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

type Members = Vec<(String, Tree)>;

fn alice() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn bob() -> SecretKey {
    SecretKey::from_seed(&[2; 32])
}

fn carol() -> SecretKey {
    SecretKey::from_seed(&[3; 32])
}

/// The time at which all is made and taken.
fn noon() -> SystemTime {
    UNIX_EPOCH + 20_000 * DAY + Duration::from_millis(500)
}

fn verifier() -> Verifier {
    Verifier::new(alice().public_key(), ORIGIN, UNIX_EPOCH).unwrap()
}

/// Alice's link to Bob.
fn room() -> Link {
    let link = Delegation::new(bob().public_key(), noon() + 30 * DAY).actions(["redeem", "say", "leave"]);
    now(link.endpoint("wss://node.example/cap").issue(ROOM, &alice(), noon())).unwrap()
}

/// Bob's link to Carol.
fn seat() -> Link {
    let link = Delegation::new(carol().public_key(), noon() + DAY).actions(["redeem", "say"]).target(SEAT);
    now(link.endpoint("tcp://elsewhere.example").caveat(Caveat::Count(3)).delegate(&room(), &bob(), noon()))
        .unwrap()
}

fn invocation() -> String {
    now(Invocation::new("say", ORIGIN).args(&("hello", 1)).unwrap().sign(&seat(), &carol(), noon())).unwrap()
}

#[test]
fn the_arguments_of_an_invocation_are_a_list() {
    let args = |args: Result<Invocation, Error>| args.map_err(|error| error.kind());
    let none = now(args(Invocation::new("say", ORIGIN).args(&())).unwrap().sign(&seat(), &carol(), noon()));
    assert!(none.unwrap().contains(r#""capnode:args":[]"#));
    let map = BTreeMap::from([("a", 1)]);
    for refused in [
        Invocation::new("say", ORIGIN).args(&100),
        Invocation::new("say", ORIGIN).args(&"hello"),
        Invocation::new("say", ORIGIN).args(&map),
    ] {
        assert_eq!(args(refused).unwrap_err(), ErrorKind::Encode);
    }
}

fn take(text: &str) -> Result<Permit, Refusal> {
    verifier().take(text, None, noon(), |_| false)
}

fn rule(text: &str) -> Option<Rule> {
    take(text).err().map(|refusal| refusal.rule())
}

/// Changes the document and the proof of `tree`, and signs again.
fn forge(tree: &Tree, key: &SecretKey, edit: impl FnOnce(&mut Members, &mut Members)) -> Tree {
    let without = |tree: &Tree, left_out: &str| match tree {
        Tree::Object(members) => members.iter().filter(|(key, _)| key != left_out).cloned().collect(),
        _ => Vec::new(),
    };
    let mut document: Members = without(tree, "proof");
    let mut proof: Members = without(tree.get("proof").unwrap(), "proofValue");
    edit(&mut document, &mut proof);
    let object = |members: &Members| Tree::object(members.clone()).unwrap();
    let signature =
        now(key.sign(&hashed(&object(&proof).canonical(), &object(&document).canonical()))).unwrap();
    proof.push(text("proofValue", written(&signature)));
    document.push(("proof".to_owned(), object(&proof)));
    object(&document)
}

fn set(members: &mut Members, key: &str, value: Option<Tree>) {
    members.retain(|(name, _)| name != key);
    members.extend(value.map(|value| (key.to_owned(), value)));
}

fn json(text: &str) -> Option<Tree> {
    Some(Tree::parse(text).unwrap())
}

/// An invocation of any link.
fn invoke(link: Tree, key: &SecretKey, target: &str) -> String {
    let others = vec![
        ("capability".to_owned(), link),
        text("invocationTarget", target),
        text("capabilityAction", "say"),
        text("domain", ORIGIN),
    ];
    now(sign(vec![text("id", "urn:x")], INVOCATION, others, key, noon())).unwrap().canonical()
}

/// The rule that an invocation of the seat breaks when Bob has made it otherwise.
fn of_seat(edit: impl FnOnce(&mut Members, &mut Members)) -> Option<Rule> {
    rule(&invoke(forge(seat().tree(), &bob(), edit), &carol(), SEAT))
}

/// The rule that an invocation of the room breaks when Alice has made it otherwise.
fn of_room(edit: impl FnOnce(&mut Members, &mut Members)) -> Option<Rule> {
    rule(&invoke(forge(room().tree(), &alice(), edit), &bob(), ROOM))
}

/// The rule that an invocation breaks when Carol has made it otherwise.
fn of_invocation(edit: impl FnOnce(&mut Members, &mut Members)) -> Option<Rule> {
    rule(&forge(&Tree::parse(&invocation()).unwrap(), &carol(), edit).canonical())
}

fn refused(made: Result<Link, Error>) -> Rule {
    use std::error::Error as _;
    made.unwrap_err().source().unwrap().downcast_ref::<Refusal>().unwrap().rule()
}

#[test]
fn a_permit_says_what_may_be_done_by_whom_and_by_which_links() {
    let permit = take(&invocation()).unwrap();
    assert_eq!((permit.root.as_str(), permit.path), (ROOM, vec!["seat".to_owned()]));
    assert_eq!(
        (permit.action.as_str(), permit.actions),
        ("say", vec!["redeem".to_owned(), "say".to_owned()])
    );
    assert_eq!(permit.args.as_deref(), Some(r#"["hello",1]"#));
    assert_eq!(permit.invoker, carol().public_key().to_string());
    let [first, second] = &permit.links[..] else { panic!("{:?}", permit.links) };
    assert_eq!(
        first.name,
        LinkName { delegator: alice().public_key().to_string(), id: first.name.id.clone() }
    );
    assert_eq!(
        (&second.name.delegator, &second.caveats),
        (&bob().public_key().to_string(), &vec![Caveat::Count(3)])
    );
    assert_eq!(second.expires, noon() + DAY);
    // Addresses are the owner's to say.
    assert_eq!(seat().endpoints(), ["wss://node.example/cap"]);
}

#[test]
fn what_npms_zcap_signed_holds() {
    // Its invocation is for no origin.
    let invocation = include_str!("vectors/zcap-inv.json");
    let made = UNIX_EPOCH + 1_795_644_000 * SECOND;
    let refusal = verifier().take(invocation, None, made, |_| false).unwrap_err();
    assert_eq!(refusal.rule(), Rule::Domain);
    let links = verifier().check_link(include_str!("vectors/zcap-d2.json"), made).unwrap();
    assert_eq!(links[0].name.id, "urn:uuid:0f9d5a2e-1111-4a53-8c46-7b0d3c1f0001");
    assert_eq!(links[1].controller, carol().public_key().to_string());
}

#[test]
fn a_forged_document_is_only_refused_for_what_was_changed() {
    assert_eq!(of_seat(|_, _| {}), None);
    assert_eq!(of_room(|_, _| {}), None);
    assert_eq!(of_invocation(|_, _| {}), None);
}

#[test]
fn a_narrower_target_has_more_segments_and_the_same_text_before() {
    for (target, broken) in [
        (ROOM, None),
        ("https://node.example/rooms/7/seat/left", None),
        ("https://node.example/rooms/70", Some(Rule::Target)),
        ("https://node.example/rooms", Some(Rule::Target)),
        ("https://node.example/rooms/7/", Some(Rule::Target)),
        ("https://node.example/rooms/7?x=1", Some(Rule::Target)),
        ("https://node.example/rooms/7/%2e%2e/8", Some(Rule::Target)),
        ("https://node.example/rooms/7/../8", Some(Rule::Target)),
        ("https://elsewhere.example/rooms/7", Some(Rule::Target)),
    ] {
        let forged = forge(seat().tree(), &bob(), |document, _| {
            set(document, "invocationTarget", Some(Tree::Text(target.into())));
        });
        assert_eq!(rule(&invoke(forged, &carol(), target)), broken, "{target}");
        let invoked = invoke(room().tree().clone(), &bob(), target);
        assert_eq!(rule(&invoked), broken, "{target}");
    }
    // What is invoked is not wider than the link either.
    assert_eq!(rule(&invoke(seat().tree().clone(), &carol(), ROOM)), Some(Rule::Target));
}

#[test]
fn a_narrower_target_names_no_property_that_a_caveat_above_leaves_out() {
    let methods = |names: &[&str]| Caveat::Methods(names.iter().map(|name| (*name).to_owned()).collect());
    for (caveat, broken) in [
        (methods(&["say"]), Some(Rule::Target)),
        (methods(&["say", "seat"]), None),
        (methods(&["seat", "left"]), None),
        (Caveat::ReadOnly, None),
    ] {
        let new = Delegation::new(bob().public_key(), noon() + 30 * DAY)
            .actions(["redeem", "say"])
            .caveat(caveat.clone());
        let room = now(new.issue(ROOM, &alice(), noon())).unwrap();
        // One who makes links does so by the same rule, and Carol's own caveat is about what is below her target.
        let new = Delegation::new(carol().public_key(), noon() + DAY).target(SEAT).caveat(methods(&["left"]));
        let made = now(new.delegate(&room, &bob(), noon()));
        assert_eq!(made.as_ref().err().map(|_| Rule::Target), broken, "{caveat:?}");
        let forged = forge(seat().tree(), &bob(), |document, proof| {
            set(document, "parentCapability", Some(Tree::Text(room.id().to_owned())));
            let root = proof.iter().find(|(name, _)| name == "capabilityChain").unwrap().1.as_list().unwrap()
                [0]
            .clone();
            set(proof, "capabilityChain", Some(Tree::List(vec![root, room.tree().clone()])));
        });
        assert_eq!(rule(&invoke(forged, &carol(), SEAT)), broken, "{caveat:?}");
        assert_eq!(rule(&invoke(room.tree().clone(), &bob(), SEAT)), broken, "{caveat:?}");
        let below =
            |link: &Link, name: &str| rule(&invoke(link.tree().clone(), &carol(), &format!("{SEAT}/{name}")));
        if let Ok(seat) = made {
            let of_both = if caveat == methods(&["say", "seat"]) { Some(Rule::Target) } else { None };
            assert_eq!(below(&seat, "left"), of_both, "{caveat:?}");
            assert_eq!(below(&seat, "right"), Some(Rule::Target));
        }
    }
}

#[test]
fn a_link_has_actions_and_none_that_its_parent_has_not() {
    let actions = |list: Option<&str>| {
        let list = list.map(|list| Tree::parse(list).unwrap());
        move |document: &mut Members, _: &mut Members| set(document, "allowedAction", list)
    };
    assert_eq!(of_seat(actions(Some(r#"["say"]"#))), None);
    assert_eq!(of_seat(actions(Some(r#""say""#))), None);
    assert_eq!(of_seat(actions(Some(r#"["say","open"]"#))), Some(Rule::Action));
    assert_eq!(of_seat(actions(Some(r#"["leave"]"#))), Some(Rule::Action));
    assert_eq!(of_seat(actions(None)), Some(Rule::Action));
    assert_eq!(of_seat(actions(Some("[]"))), Some(Rule::Action));
    assert_eq!(of_seat(actions(Some("[1]"))), Some(Rule::Action));
    assert_eq!(of_room(actions(None)), Some(Rule::Action));
    let many = (0..65).map(|at| format!("\"a{at}\"")).collect::<Vec<_>>().join(",");
    assert_eq!(of_room(actions(Some(&format!("[\"say\",{many}]")))), Some(Rule::Action));

    let first = Delegation::new(bob().public_key(), noon() + DAY);
    assert_eq!(refused(now(first.issue(ROOM, &alice(), noon()))), Rule::Action);
    let wider = Delegation::new(carol().public_key(), noon() + DAY).actions(["open"]);
    assert_eq!(refused(now(wider.delegate(&room(), &bob(), noon()))), Rule::Action);
    // Without any it has those of its parent.
    let same = Delegation::new(carol().public_key(), noon() + DAY);
    assert_eq!(now(same.delegate(&room(), &bob(), noon())).unwrap().actions(), room().actions());
}

#[test]
fn a_caveat_that_is_unknown_refuses() {
    let caveats = |list: &str| {
        let list = Tree::parse(list).unwrap();
        of_seat(|document, _| set(document, "capnode:caveats", Some(list)))
    };
    let all = r#"[{"methods":["say"]},{"readOnly":true},{"rate":{"calls":2,"seconds":60}},{"count":3}]"#;
    assert_eq!(caveats(all), None);
    for unknown in [
        r#"[{"moon":"full"}]"#,
        r#"[{"readOnly":false}]"#,
        r#"[{"count":1.5}]"#,
        r#"[{"count":-1}]"#,
        r#"[{"count":4294967296}]"#,
        r#"[{"count":1,"readOnly":true}]"#,
        r#"[{"rate":{"calls":2,"seconds":60,"burst":9}}]"#,
        r#"[{"rate":{"calls":2,"seconds":0}}]"#,
        r#"[{"methods":[1]}]"#,
        "[{}]",
        "[\"readOnly\"]",
        "{}",
    ] {
        assert_eq!(caveats(unknown), Some(Rule::Caveat), "{unknown}");
    }
    let many = vec![r#"{"readOnly":true}"#; 17].join(",");
    assert_eq!(caveats(&format!("[{many}]")), Some(Rule::Caveat));
    assert_eq!(of_seat(|document, _| set(document, "caveat", json("[]"))), Some(Rule::Caveat));
}

#[test]
fn the_names_that_a_document_makes_its_owner_compare_are_bounded() {
    let methods = |names: usize| format!(r#"{{"methods":[{}]}}"#, vec![r#""a""#; names].join(","));
    for (caveats, broken) in [
        (vec![methods(256)], None),
        (vec![methods(257)], Some(Rule::Caveat)),
        (vec![methods(128); 2], None),
        (vec![methods(128), methods(129)], Some(Rule::Caveat)),
        (vec![methods(15_000)], Some(Rule::Caveat)),
    ] {
        let list = json(&format!("[{}]", caveats.join(",")));
        assert_eq!(of_seat(|document, _| set(document, "capnode:caveats", list)), broken);
    }
    // Who makes a link does so by the same rule.
    let many = Caveat::Methods(vec!["a".to_owned(); 257]);
    let new = Delegation::new(bob().public_key(), noon() + DAY).actions(["say"]).caveat(many);
    assert_eq!(refused(now(new.issue(ROOM, &alice(), noon()))), Rule::Caveat);
    for (more, broken) in [(30, None), (31, Some(Rule::Target)), (480, Some(Rule::Target))] {
        let target = format!("{ROOM}{}", "/b".repeat(more));
        assert_eq!(rule(&invoke(room().tree().clone(), &bob(), &target)), broken, "{more}");
        let new = Delegation::new(carol().public_key(), noon() + DAY).target(&target);
        let made = now(new.delegate(&room(), &bob(), noon())).map(drop);
        assert_eq!(made.is_err(), broken.is_some(), "{more}");
    }
}

#[test]
fn so_many_caveats_of_a_chain_count_calls() {
    let (mut link, mut holder) = (room(), bob());
    for at in 0..2 {
        let next = SecretKey::from_seed(&[at + 10; 32]);
        let new = Delegation::new(next.public_key(), noon() + DAY);
        let rate = |_| Caveat::Rate { calls: 2, period: SECOND };
        let new = (0..16).map(rate).fold(new, Delegation::caveat);
        (link, holder) = (now(new.delegate(&link, &holder, noon())).unwrap(), next);
    }
    let new = |caveat| Delegation::new(carol().public_key(), noon() + DAY).caveat(caveat);
    assert_eq!(refused(now(new(Caveat::Count(2)).delegate(&link, &holder, noon()))), Rule::Caveat);
    let whole = now(new(Caveat::ReadOnly).delegate(&link, &holder, noon())).unwrap();
    assert_eq!(rule(&invoke(whole.tree().clone(), &carol(), ROOM)), None);
    let forged = forge(whole.tree(), &holder, |document, _| {
        set(document, "capnode:caveats", json(r#"[{"count":2}]"#));
    });
    assert_eq!(rule(&invoke(forged, &carol(), ROOM)), Some(Rule::Caveat));
}

#[test]
fn a_link_expires_in_time() {
    let expires = |time: &str| {
        let time = Tree::Text(time.to_owned());
        move |document: &mut Members, _: &mut Members| set(document, "expires", Some(time))
    };
    // Made on the day 20,000 after 1970, which is 2024-10-04.
    assert_eq!(of_room(expires("2025-01-02T00:00:00.5Z")), None);
    assert_eq!(of_room(expires("2025-01-02T00:00:00.501Z")), Some(Rule::Expiry));
    assert_eq!(of_seat(expires("2024-11-03T00:00:00.5Z")), None);
    assert_eq!(of_seat(expires("2024-11-03T00:00:00.501Z")), Some(Rule::Expiry));
    assert_eq!(of_seat(expires("2024-10-04T00:00:00Z")), Some(Rule::Expiry));
    assert_eq!(of_seat(expires("2024-10-04T01:00:00+01:00")), Some(Rule::Time));
    assert_eq!(of_seat(|document, _| set(document, "expires", None)), Some(Rule::Shape));

    // The owner may say otherwise, both ways.
    let year = Delegation::new(bob().public_key(), noon() + 365 * DAY).actions(["say"]);
    let year = now(year.issue(ROOM, &alice(), noon())).unwrap();
    let text = invoke(year.tree().clone(), &bob(), ROOM);
    assert_eq!(rule(&text), Some(Rule::Expiry));
    verifier().longest(365 * DAY).take(&text, None, noon(), |_| false).unwrap();
    let shorter = verifier().longest(10 * DAY);
    let refusal = shorter.take(&invocation(), None, noon(), |_| false).unwrap_err();
    assert_eq!(refusal.rule(), Rule::Expiry);
    // At the moment itself it is over.
    let late = now(Invocation::new("say", ORIGIN).sign(&seat(), &carol(), noon() + DAY)).unwrap();
    assert_eq!(verifier().take(&late, None, noon() + DAY, |_| false).unwrap_err().rule(), Rule::Expiry);
}

#[test]
fn times_follow_one_another() {
    let created = |time: &str| {
        let time = Tree::Text(time.to_owned());
        move |_: &mut Members, proof: &mut Members| set(proof, "created", Some(time))
    };
    assert_eq!(of_seat(created("2024-10-04T00:00:00.499Z")), Some(Rule::Time));
    assert_eq!(of_seat(created("2024-10-04T00:05:00.5Z")), None);
    assert_eq!(of_seat(created("2024-10-04T00:05:00.501Z")), Some(Rule::Time));
    assert_eq!(of_seat(created("yesterday")), Some(Rule::Time));
    assert_eq!(of_invocation(created("2024-10-03T23:55:00.5Z")), None);
    assert_eq!(of_invocation(created("2024-10-03T23:55:00.499Z")), Some(Rule::Time));
    assert_eq!(of_invocation(created("2024-10-04T00:00:10.5Z")), None);
    assert_eq!(of_invocation(created("2024-10-04T00:00:10.501Z")), Some(Rule::Time));
}

/// A link that was passed on so often that its chain has `length` documents, and who holds it.
fn chain(length: u8) -> Result<(Link, SecretKey), Error> {
    let (mut link, mut holder) = (room(), bob());
    for at in 2..length {
        let next = SecretKey::from_seed(&[at + 10; 32]);
        let delegation = Delegation::new(next.public_key(), noon() + DAY);
        link = now(delegation.delegate(&link, &holder, noon()))?;
        holder = next;
    }
    Ok((link, holder))
}

#[test]
fn a_chain_has_ten_documents_at_most() {
    let (link, holder) = chain(10).unwrap();
    assert_eq!(rule(&invoke(link.tree().clone(), &holder, ROOM)), None);
    let next = Delegation::new(carol().public_key(), noon() + DAY);
    assert_eq!(refused(now(next.delegate(&link, &holder, noon()))), Rule::Chain);
}

#[test]
fn a_chain_is_the_same_in_every_link() {
    let chain = |edit: fn(&mut Vec<Tree>)| {
        of_seat(|_, proof| {
            let chain = proof.iter_mut().find(|(key, _)| key == "capabilityChain").unwrap();
            let Tree::List(list) = &mut chain.1 else { panic!() };
            edit(list);
        })
    };
    assert_eq!(chain(|list| list[0] = Tree::Text("urn:zcap:root:other".into())), Some(Rule::Chain));
    assert_eq!(chain(|list| list.insert(1, Tree::Text("urn:more".into()))), Some(Rule::Chain));
    assert_eq!(chain(|list| list.truncate(1)), Some(Rule::Chain));
    assert_eq!(chain(Vec::clear), Some(Rule::Chain));
    assert_eq!(chain(|list| list[1] = Tree::Text(room().id().into())), Some(Rule::Shape));
    assert_eq!(
        of_seat(|document, _| set(document, "parentCapability", json("\"urn:x\""))),
        Some(Rule::Chain)
    );
    // Two links of one id.
    let twin = room().tree().clone();
    let id = twin.get("id").unwrap().clone();
    let same = forge(seat().tree(), &bob(), |document, proof| {
        set(document, "id", Some(id.clone()));
        set(document, "parentCapability", Some(id));
        let root =
            proof.iter().find(|(key, _)| key == "capabilityChain").unwrap().1.as_list().unwrap()[0].clone();
        set(proof, "capabilityChain", Some(Tree::List(vec![root, twin])));
    });
    assert_eq!(rule(&invoke(same, &carol(), SEAT)), Some(Rule::Chain));
    assert_eq!(of_room(|_, proof| set(proof, "capabilityChain", json("[\"urn:x\"]"))), Some(Rule::Chain));
}

#[test]
fn who_signs_is_who_was_delegated_to() {
    let by_carol =
        now(Delegation::new(carol().public_key(), noon() + DAY).delegate(&room(), &carol(), noon()));
    assert_eq!(refused(by_carol), Rule::Controller);
    assert_eq!(rule(&invoke(seat().tree().clone(), &bob(), SEAT)), Some(Rule::Controller));
    let stranger = Delegation::new(carol().public_key(), noon() + DAY).actions(["say"]);
    let of_stranger = now(stranger.issue(ROOM, &bob(), noon())).unwrap();
    assert_eq!(rule(&invoke(of_stranger.tree().clone(), &carol(), ROOM)), Some(Rule::Controller));
    // Another's name over one's own signature.
    let forged = forge(seat().tree(), &carol(), |_, _| {});
    assert_eq!(rule(&invoke(forged, &carol(), SEAT)), Some(Rule::Signature));
    let controller = |did: &str| {
        let did = Tree::Text(did.to_owned());
        of_seat(|document, _| set(document, "controller", Some(did)))
    };
    assert_eq!(controller("did:web:node.example"), Some(Rule::Key));
    assert_eq!(controller(&format!("{}1", carol().public_key())), Some(Rule::Controller));
    assert_eq!(
        of_seat(|document, _| set(document, "controller", json("[\"did:key:z\"]"))),
        Some(Rule::Shape)
    );
    let method = Tree::Text(bob().public_key().to_string());
    assert_eq!(of_seat(|_, proof| set(proof, "verificationMethod", Some(method))), Some(Rule::Key));
}

#[test]
fn a_document_has_the_members_of_its_kind() {
    assert_eq!(of_seat(|document, _| set(document, "note", json("1"))), Some(Rule::Shape));
    assert_eq!(of_seat(|_, proof| set(proof, "note", json("1"))), Some(Rule::Shape));
    assert_eq!(of_invocation(|document, _| set(document, "note", json("1"))), Some(Rule::Shape));
    assert_eq!(of_invocation(|_, proof| set(proof, "expires", json("\"x\""))), Some(Rule::Shape));
    assert_eq!(of_seat(|document, _| set(document, "id", json("\"seat\""))), Some(Rule::Id));
    assert_eq!(of_seat(|document, _| set(document, "id", json("1"))), Some(Rule::Shape));
    let nine = ["\"tcp://x\""; 9].join(",");
    let nine = json(&format!("[{nine}]"));
    assert_eq!(of_room(|document, _| set(document, "capnode:endpoints", nine)), Some(Rule::Shape));
    let other = |context: Tree| of_seat(|document, _| set(document, "@context", Some(context)));
    assert_eq!(other(Tree::texts(CONTEXT.into_iter().rev())), Some(Rule::Context));
    assert_eq!(other(Tree::texts([CONTEXT[0]])), Some(Rule::Context));
    assert_eq!(other(Tree::Text(CONTEXT[0].into())), Some(Rule::Context));
    assert_eq!(
        other(
            json(r#"["https://w3id.org/zcap/v1","https://w3id.org/security/data-integrity/v2",{}]"#).unwrap()
        ),
        Some(Rule::Context)
    );
    assert_eq!(of_seat(|_, proof| set(proof, "@context", None)), Some(Rule::Context));
    // The owner needs no invocation of the root, which is an id.
    let of_root = of_invocation(|_, proof| set(proof, "capability", json("\"urn:zcap:root:x\"")));
    assert_eq!(of_root, Some(Rule::Shape));
    assert_eq!(rule("[]"), Some(Rule::Shape));
    assert_eq!(rule(&seat().to_string()), Some(Rule::Shape));
    assert_eq!(rule("{"), Some(Rule::Json));
}

#[test]
fn what_is_too_long_or_too_deep_is_not_made() {
    use std::error::Error as _;
    let make = |args: Tree| {
        let args: serde_json::Value = serde_json::from_str(&args.canonical()).unwrap();
        let made = Invocation::new("say", ORIGIN)
            .args(&args)
            .and_then(|made| now(made.sign(&seat(), &carol(), noon())));
        made.map_err(|error| error.source().unwrap().downcast_ref::<Refusal>().unwrap().rule())
    };
    let deep = |depth| (0..depth).fold(Tree::Null, |tree, _| Tree::List(vec![tree]));
    take(&make(deep(31)).unwrap()).unwrap();
    assert_eq!(make(deep(32)), Err(Rule::Json));
    assert_eq!(make(Tree::List(vec![Tree::Text("a".repeat(63 << 10))])), Err(Rule::Size));
    let many = (0..64).map(|at| format!("{at:0>250}"));
    let long = Delegation::new(bob().public_key(), noon() + DAY).actions(many);
    let mut link = now(long.issue(ROOM, &alice(), noon())).unwrap();
    let mut made = Vec::new();
    for _ in 0..4 {
        let next = now(Delegation::new(bob().public_key(), noon() + DAY).delegate(&link, &bob(), noon()));
        made.push(next.is_ok());
        link = next.unwrap_or(link);
    }
    assert_eq!(made, [true, true, false, false]);
}

/// A proof type that takes everything.
struct Anything;

impl ProofType for Anything {
    fn cryptosuite(&self) -> &str {
        "anything"
    }

    fn verify(&self, _: &str, _: &str, _: &str, _: &str) -> Result<(), Refusal> {
        Ok(())
    }
}

/// A proof type that counts, and takes this many.
struct Counted(Arc<AtomicUsize>, usize);

impl ProofType for Counted {
    fn cryptosuite(&self) -> &str {
        "counted"
    }

    fn verify(&self, _: &str, _: &str, _: &str, _: &str) -> Result<(), Refusal> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        if before < self.1 { Ok(()) } else { Err(Rule::Signature.broken("too many")) }
    }
}

#[test]
fn signatures_are_looked_at_last_up_to_the_first_that_does_not_hold() {
    let counted = |_: &mut Members, proof: &mut Members| set(proof, "cryptosuite", json("\"counted\""));
    // Nine links, the most that there can be, and the invocation.
    let (mut chain, mut above) = (vec![Tree::Text(target::root_id(ROOM))], alice());
    for holder in 1..=9 {
        let to = SecretKey::from_seed(&[holder; 32]);
        let link = forge(room().tree(), &above, |document, proof| {
            counted(document, proof);
            let parent = chain.last().unwrap();
            let parent = parent.get("id").unwrap_or(parent).clone();
            set(document, "id", Some(Tree::Text(format!("urn:{holder}"))));
            set(document, "parentCapability", Some(parent));
            set(document, "controller", Some(Tree::Text(to.public_key().to_string())));
            set(
                proof,
                "verificationMethod",
                Some(Tree::Text(PublicKey::method(&above.public_key().to_string()))),
            );
            let ids = chain.iter().take(chain.len() - 1).map(|link| link.get("id").unwrap_or(link).clone());
            set(proof, "capabilityChain", Some(Tree::List(ids.chain(chain.last().cloned()).collect())));
        });
        chain.push(link);
        above = to;
    }
    let whole = Tree::parse(&invoke(chain.pop().unwrap(), &above, ROOM)).unwrap();
    let whole = forge(&whole, &above, counted).canonical();
    let looked_at = |text: &str, hold, at, is_revoked| {
        let count = Arc::new(AtomicUsize::new(0));
        let verifier = verifier().proof_type(Counted(count.clone(), hold));
        let taken = verifier.take(text, None, at, |_| is_revoked).map(drop).map_err(|error| error.rule());
        (count.load(Ordering::Relaxed), taken)
    };
    for hold in 0..10 {
        assert_eq!(looked_at(&whole, hold, noon(), false), (hold + 1, Err(Rule::Signature)));
    }
    assert_eq!(looked_at(&whole, 10, noon(), false), (10, Ok(())));
    assert_eq!(looked_at(&whole, 10, noon(), true), (0, Err(Rule::Revoked)));
    assert_eq!(looked_at(&whole, 10, noon() + 301 * SECOND, false), (0, Err(Rule::Time)));
    assert_eq!(looked_at(&whole.replace(ORIGIN, "https://other.example"), 10, noon(), false).0, 0);
}

#[test]
fn a_proof_type_that_is_unknown_is_refused() {
    let edit = |key: &'static str, value: &'static str| {
        move |_: &mut Members, proof: &mut Members| set(proof, key, Some(Tree::Text(value.into())))
    };
    assert_eq!(of_seat(edit("type", "Ed25519Signature2020")), Some(Rule::Proof));
    assert_eq!(of_seat(edit("proofPurpose", "assertionMethod")), Some(Rule::Proof));
    assert_eq!(of_invocation(edit("proofPurpose", "capabilityDelegation")), Some(Rule::Proof));
    assert_eq!(of_seat(edit("cryptosuite", "anything")), Some(Rule::Proof));
    let forged = forge(seat().tree(), &carol(), edit("cryptosuite", "anything"));
    let text = invoke(forged, &carol(), SEAT);
    verifier().proof_type(Anything).take(&text, None, noon(), |_| false).unwrap();
}

#[test]
fn an_invocation_is_for_one_owner_and_its_nonce() {
    let domain = |value: Option<Tree>| of_invocation(|_, proof| set(proof, "domain", value));
    assert_eq!(domain(None), Some(Rule::Domain));
    assert_eq!(domain(json("\"https://elsewhere.example\"")), Some(Rule::Domain));
    let elsewhere = Verifier::new(alice().public_key(), "https://node.example:8443", UNIX_EPOCH).unwrap();
    assert_eq!(elsewhere.take(&invocation(), None, noon(), |_| false).unwrap_err().rule(), Rule::Target);

    let make = Invocation::new("say", ORIGIN);
    let with = now(make.clone().challenge("n1").sign(&seat(), &carol(), noon())).unwrap();
    let nonce = |text: &str, nonce| {
        verifier().take(text, Some(nonce), noon(), |_| false).map_err(|error| error.rule())
    };
    assert!(nonce(&with, "n1").is_ok());
    assert_eq!(nonce(&with, "n2").unwrap_err(), Rule::Challenge);
    assert_eq!(nonce(&invocation(), "n1").unwrap_err(), Rule::Challenge);
}

#[test]
fn an_invocation_is_taken_once_while_it_can_be_taken() {
    let (verifier, text) = (verifier(), invocation());
    let take =
        |text: &str, at| verifier.take(text, None, at, |_| false).map(|_| ()).map_err(|error| error.rule());
    // What is refused is not remembered, so nobody can use up the id of another.
    let forged = forge(&Tree::parse(&text).unwrap(), &bob(), |_, _| {}).canonical();
    assert_eq!(take(&forged, noon()), Err(Rule::Signature));
    assert_eq!(take(&text, noon()), Ok(()));
    assert_eq!(take(&text, noon()), Err(Rule::Replay));
    // The id is the key's own.
    let id = Tree::parse(&text).unwrap().get("id").unwrap().clone();
    let of_bob = Tree::parse(&invoke(room().tree().clone(), &bob(), ROOM)).unwrap();
    let of_bob = forge(&of_bob, &bob(), |document, _| set(document, "id", Some(id))).canonical();
    assert_eq!(take(&of_bob, noon()), Ok(()));
    assert_eq!(take(&text, noon() + 300 * SECOND), Err(Rule::Replay));
    assert_eq!(take(&text, noon() + 301 * SECOND), Err(Rule::Time));
    // By now it is forgotten, although the clock is set back.
    assert_eq!(take(&text, noon() + 290 * SECOND), Err(Rule::Time));
}

/// A proof type that takes what two look at at a time.
struct Together(std::sync::Barrier);

impl ProofType for Together {
    fn cryptosuite(&self) -> &str {
        "together"
    }

    fn verify(&self, _: &str, _: &str, _: &str, _: &str) -> Result<(), Refusal> {
        self.0.wait();
        Ok(())
    }
}

#[test]
fn of_two_who_hand_an_invocation_in_at_a_time_one_has_it_taken() {
    let together = |_: &mut Members, proof: &mut Members| set(proof, "cryptosuite", json("\"together\""));
    let whole = Tree::parse(&invocation()).unwrap();
    let text = forge(&whole, &carol(), together).canonical();
    // Both are past the first look at what was taken when either goes on.
    let verifier = verifier().proof_type(Together(std::sync::Barrier::new(2)));
    let take = || verifier.take(&text, None, noon(), |_| false).map(drop).map_err(|refusal| refusal.rule());
    let mut both =
        std::thread::scope(|scope| [(); 2].map(|()| scope.spawn(take)).map(|one| one.join().unwrap()));
    both.sort_by_key(Result::is_err);
    assert_eq!(both, [Ok(()), Err(Rule::Replay)]);
}

#[test]
fn what_was_made_before_the_memory_began_needs_a_nonce() {
    let restarted = |since| Verifier::new(alice().public_key(), ORIGIN, since).unwrap();
    let take = |since: SystemTime| restarted(since).take(&invocation(), None, noon(), |_| false);
    assert_eq!(take(noon()).unwrap_err().rule(), Rule::Replay);
    assert_eq!(take(noon() - Duration::from_millis(9_999)).unwrap_err().rule(), Rule::Replay);
    assert!(take(noon() - Duration::from_secs(10)).is_ok());
    let fresh = Invocation::new("say", ORIGIN).challenge("n");
    let fresh = now(fresh.sign(&seat(), &carol(), noon())).unwrap();
    restarted(noon()).take(&fresh, Some("n"), noon(), |_| false).unwrap();
}

#[test]
fn a_key_and_all_below_one_that_the_owner_chose_invoke_so_often_at_a_time() {
    let mut replays = Replays::new(0);
    let mut take = |branch: &str, key: &str, id: usize, created| {
        let made = Made { branch, key, id: &id.to_string(), created, fresh: false };
        replays.insert(&made, created).map(drop).map_err(|refusal| refusal.rule())
    };
    for id in 0..1024 {
        assert_eq!(take("bob", "bob", id, 10_000), Ok(()));
    }
    assert_eq!(take("bob", "bob", 1024, 10_000), Err(Rule::Quota));
    assert_eq!(take("bob", "bob", 1024, 310_000), Err(Rule::Quota));
    assert_eq!(take("bob", "bob", 1024, 310_001), Ok(()));
    // All keys below Bob together, and nobody else.
    for at in 1..8192 {
        assert_eq!(take("bob", &format!("key {}", at / 1000), at, 310_001), Ok(()));
    }
    assert_eq!(take("bob", "dave", 0, 310_001), Err(Rule::Quota));
    assert_eq!(take("carol", "dave", 0, 310_001), Ok(()));
    assert_eq!(take("bob", "dave", 1, 610_002), Ok(()));
}

#[test]
fn a_revoked_link_refuses_all_below_it() {
    let text = invocation();
    for at in 0..2 {
        let revoked = take(&text).unwrap().links.swap_remove(at).name;
        let refused = verifier().take(&text, None, noon(), |name| *name == revoked);
        assert_eq!(refused.unwrap_err().rule(), Rule::Revoked);
    }
}

#[test]
fn a_link_that_is_handed_in_to_be_revoked_is_whole_and_valid() {
    let seat = seat();
    let steps = verifier().check_link(&seat.to_string(), noon()).unwrap();
    let name = LinkName { delegator: bob().public_key().to_string(), id: seat.id().to_owned() };
    assert_eq!(steps.last().unwrap().name, name);
    let forged = forge(seat.tree(), &carol(), |_, _| {}).canonical();
    assert_eq!(verifier().check_link(&forged, noon()).unwrap_err().rule(), Rule::Signature);
}

#[test]
fn a_refusal_says_one_word_to_a_stranger() {
    let refusal = of_stranger();
    let error = Error::from(refusal.clone());
    assert_eq!(error.public_message(), "refused");
    assert!(error.message().contains("Controller"), "{error}");
    assert!(refusal.to_string().starts_with("Controller: "), "{refusal}");
}

fn of_stranger() -> Refusal {
    take(&invoke(seat().tree().clone(), &bob(), SEAT)).unwrap_err()
}

/// Changes a text at a place, in one of some ways.
fn damaged(text: &str, at: usize, way: usize) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    match way {
        0 => bytes[at] ^= 1,
        1 => bytes[at] ^= 0x20,
        2 => drop(bytes.remove(at)),
        3 => bytes.insert(at, bytes[at]),
        4 => bytes.swap(at, (at + 1) % text.len()),
        _ => bytes.truncate(at),
    }
    String::from_utf8(bytes).ok()
}

#[test]
fn damage_to_a_document_is_refused_wherever_it_is() {
    let (invocation, link) = (invocation(), seat().to_string());
    let whole = [&invocation, &link].map(|text| Tree::parse(text).unwrap());
    let verifier = verifier();
    for (text, whole) in [&invocation, &link].into_iter().zip(&whole) {
        for (at, way) in (0..2 * text.len()).map(|at| (at / 2, at % 6)) {
            let Some(damaged) = damaged(text, at, way) else { continue };
            // Two bytes that are alike may change places.
            if Tree::parse(&damaged).is_ok_and(|tree| tree == *whole) {
                continue;
            }
            assert!(verifier.take(&damaged, None, noon(), |_| false).is_err(), "{damaged}");
            assert!(verifier.check_link(&damaged, noon()).is_err(), "{damaged}");
        }
    }
    verifier.take(&invocation, None, noon(), |_| false).unwrap();
    verifier.check_link(&link, noon()).unwrap();
}
