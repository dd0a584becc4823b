//! Signed documents between this library and npm's `@digitalbazaar/zcap` 9.0.1: what one makes the other takes.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capnode::Node;
use capnode::signed::{
    Caveat, Delegation, Invocation, Link, Permit, PublicKey, Refusal, SecretKey, Signer, Verifier,
};
use capnode::sturdy::{GatekeeperClient, MemoryStore, Owner};
use capnode_tests::js;
use capnode_tests::source::root;
use serde_json::{Value, json};

const ORIGIN: &str = "https://node.example";
const ROOM: &str = "https://node.example/rooms/7";
const SEAT: &str = "https://node.example/rooms/7/seat";
const NOW: &str = "2026-11-25T22:00:00Z";
const END: &str = "2026-12-01T00:00:00Z";

/// The keys of the owner and of two holders, which the script has as well.
fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    key(seed).public_key()
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_644_000)
}

fn end() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_796_083_200)
}

/// Asks the package, and returns its answers.
async fn ask(requests: &[Value]) -> Vec<Value> {
    let name = format!("capnode-zcap-{}-{:p}.json", std::process::id(), requests);
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, Value::from(requests).to_string()).unwrap();
    let ended = js::run("zcap.mjs", &[file.to_str().unwrap()]).await;
    std::fs::remove_file(&file).unwrap();
    assert!(ended.success, "{ended:?}");
    ended.lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn take(text: &str) -> Result<Permit, Refusal> {
    Verifier::new(public(1), ORIGIN, UNIX_EPOCH).unwrap().take(text, None, now(), |_| false)
}

fn tree(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The request that the package verify an invocation.
fn verify(invocation: &str, target: &str, action: &str) -> Value {
    let invocation = tree(invocation);
    json!({"what": "verify", "invocation": invocation, "owner": 1, "root": ROOM, "target": target, "action": action, "date": NOW})
}

#[tokio::test]
async fn chains_that_both_make_are_taken_by_both() {
    if !js::ready() {
        return;
    }
    // The first link, by each.
    let room = Delegation::new(public(2), end())
        .actions(["redeem", "say", "leave"])
        .endpoint("wss://node.example/cap");
    let ours = room.issue(ROOM, &key(1), now()).await.unwrap();
    let root = "urn:zcap:root:https%3A%2F%2Fnode.example%2Frooms%2F7";
    let theirs = json!({
        "what": "delegate", "parent": root, "seed": 1, "to": 2, "target": ROOM, "actions": ["redeem", "say"],
        "expires": END, "created": NOW, "id": "urn:room",
    });
    let rooms = [ours, ask(&[theirs]).await[0].to_string().parse().unwrap()];

    // Under each of them one by each.
    let mut seats = Vec::new();
    for room in &rooms {
        let seat = Delegation::new(public(3), end()).actions(["say"]).target(SEAT).caveat(Caveat::Count(3));
        seats.push(seat.delegate(room, &key(2), now()).await.unwrap());
    }
    let of_room = |room: &Link| {
        json!({
            "what": "delegate", "parent": tree(&room.to_string()), "seed": 2, "to": 3, "target": SEAT, "actions": ["say"],
            "expires": END, "created": NOW, "id": "urn:seat",
        })
    };
    let theirs = ask(&rooms.each_ref().map(of_room)).await;
    seats.extend(theirs.iter().map(|seat| seat.to_string().parse::<Link>().unwrap()));

    // And of each of these an invocation by each.
    let mut invocations = Vec::new();
    let args = json!(["héllo", 0.1, 1e21, -5e-324, null, {"b": true, "a": "\u{1}"}]);
    for seat in &seats {
        let invocation = Invocation::new("say", ORIGIN).args(&args).unwrap();
        invocations.push(invocation.sign(seat, &key(3), now()).await.unwrap());
    }
    let of_seat = |seat: &Link| {
        json!({
            "what": "invoke", "capability": tree(&seat.to_string()), "seed": 3, "target": SEAT, "action": "say",
            "args": args, "created": NOW, "domain": ORIGIN, "id": "urn:invocation",
        })
    };
    let theirs = ask(&seats.iter().map(of_seat).collect::<Vec<_>>()).await;
    invocations.extend(theirs.iter().map(Value::to_string));

    assert_eq!(invocations.len(), 8);
    let verified = ask(&invocations.iter().map(|text| verify(text, SEAT, "say")).collect::<Vec<_>>()).await;
    for (text, verdict) in invocations.iter().zip(verified) {
        assert_eq!(verdict, Value::Null, "{text}");
        let permit = take(text).unwrap();
        assert_eq!((permit.root.as_str(), permit.path), (ROOM, vec!["seat".to_owned()]));
        assert_eq!(tree(&permit.args.unwrap()), args);
        assert_eq!(permit.links.len(), 2);
    }
}

#[tokio::test]
async fn the_longest_chain_is_taken_by_both() {
    if !js::ready() {
        return;
    }
    let mut link =
        Delegation::new(public(2), end()).actions(["say"]).issue(ROOM, &key(1), now()).await.unwrap();
    for holder in 2..10 {
        let delegation = Delegation::new(public(holder + 1), end());
        link = delegation.delegate(&link, &key(holder), now()).await.unwrap();
    }
    let text = Invocation::new("say", ORIGIN).sign(&link, &key(10), now()).await.unwrap();
    assert_eq!(take(&text).unwrap().links.len(), 9);
    assert_eq!(ask(&[verify(&text, ROOM, "say")]).await, [Value::Null]);
}

#[capnode::interface]
trait Note {
    async fn text(&self) -> String;
    async fn erase(&self);
}

struct Paper;

impl Note for Paper {
    async fn text(&self) -> String {
        "milk".to_owned()
    }

    async fn erase(&self) {}
}

#[tokio::test]
async fn a_node_program_redeems_what_was_delegated_here() {
    if !js::ready() {
        return;
    }
    let now = SystemTime::now();
    let verifier = Verifier::new(public(1), ORIGIN, now).unwrap();
    let owner = Owner::builder(MemoryStore::default(), |_| Ok(NoteClient::new(Paper).into()));
    let owner = owner.documents(verifier, key(1)).open().unwrap();
    let listener = Node::new(GatekeeperClient::new(owner.clone())).listen("ws://127.0.0.1:0").await.unwrap();
    let url = owner.url(owner.keep("note", b"").unwrap().object()).unwrap();
    let day = Duration::from_secs(86_400);
    let all = Delegation::new(public(2), now + day).actions(["redeem", "text", "erase"]);
    let all = all.issue(&url, &key(1), now).await.unwrap();
    let narrow = Delegation::new(public(3), now + day).actions(["redeem", "text"]);
    let narrow = narrow.delegate(&all, &key(2), now).await.unwrap();
    let request = json!({
        "what": "redeem", "url": listener.url(), "capability": tree(&narrow.to_string()), "seed": 3, "domain": ORIGIN,
        "method": "text", "refused": "erase",
    });
    let answer = ask(&[request]).await.remove(0);
    assert_eq!(answer["said"], "milk");
    assert!(answer["refused"].is_string(), "{answer}");
}

/// The rows of the table of all that is refused here and not by the package.
fn table() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("capnode/src/signed/mod.rs")).unwrap();
    let row = |line: &str| {
        let (what, rule) = line.strip_prefix("//! | ")?.strip_suffix("`] |")?.split_once(" | [`")?;
        Some((what.to_owned(), rule.strip_prefix("Rule::")?.to_owned()))
    };
    text.lines().filter_map(row).collect()
}

#[tokio::test]
async fn all_that_the_package_refuses_is_refused_and_the_table_has_the_rest() {
    if !js::ready() {
        return;
    }
    let mut beyond = BTreeMap::new();
    let (mut taken, mut refused) = (0, 0);
    for case in ask(&[json!({"what": "cases"})]).await {
        let (name, text) = (case["name"].as_str().unwrap(), case["text"].as_str().unwrap());
        match (case["refused"].as_str(), take(text)) {
            (Some(_), Err(_)) => refused += 1,
            (None, Ok(_)) => taken += 1,
            (None, Err(refusal)) => {
                beyond.insert(name.to_owned(), format!("{:?}", refusal.rule()));
            }
            (Some(why), Ok(permit)) => panic!("{name}: the package says {why}, and here it gives {permit:?}"),
        }
    }
    // The package remembers nothing.
    let link = Delegation::new(public(2), end()).actions(["say"]).issue(ROOM, &key(1), now()).await.unwrap();
    let text = Invocation::new("say", ORIGIN).sign(&link, &key(2), now()).await.unwrap();
    let verifier = Verifier::new(public(1), ORIGIN, UNIX_EPOCH).unwrap();
    let twice =
        [(); 2].map(|()| verifier.take(&text, None, now(), |_| false).map_err(|refusal| refusal.rule()));
    assert_eq!(
        ask(&[verify(&text, ROOM, "say"), verify(&text, ROOM, "say")]).await,
        [Value::Null, Value::Null]
    );
    let rule = twice.into_iter().find_map(Result::err).unwrap();
    beyond.insert("an invocation for the second time".to_owned(), format!("{rule:?}"));

    assert_eq!(beyond, table());
    assert!(taken >= 8 && refused >= 45, "{taken} taken and {refused} refused by both");
}

#[tokio::test]
async fn numbers_are_printed_as_the_package_prints_them() {
    if !js::ready() {
        return;
    }
    // Of every exponent, with digits that follow from it, and what lies beside powers of ten.
    let mut all: Vec<u64> =
        (0..2046_u64).map(|at| (at << 52) | (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 12)).collect();
    for power in -300..300 {
        let bits = 10_f64.powi(power).to_bits();
        all.extend([bits - 1, bits, bits + 1]);
    }
    // Halves, which lie between two that are as short.
    all.extend((0..1000_u64).map(|at| (1_424_953_923_781_206.0 + at as f64 * 0.25).to_bits()));
    let texts: Vec<String> = all.iter().map(u64::to_string).collect();
    let answers = ask(&[json!({"what": "numbers", "bits": texts})]).await;
    let link = Delegation::new(public(2), end()).actions(["say"]).issue(ROOM, &key(1), now()).await.unwrap();
    let theirs: Vec<&str> = answers[0].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(theirs.len(), all.len());
    for (bits, theirs) in all.chunks(1000).zip(theirs.chunks(1000)) {
        let numbers: Vec<f64> = bits.iter().map(|bits| f64::from_bits(*bits)).collect();
        let text =
            Invocation::new("say", ORIGIN).args(&numbers).unwrap().sign(&link, &key(2), now()).await.unwrap();
        assert_eq!(take(&text).unwrap().args.unwrap(), format!("[{}]", theirs.join(",")));
    }
}
