//! Signed documents at the gatekeeper.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::revoked::Revocation;
use super::*;
use crate::signed::{self, Delegation, Invocation, Link, LinkName, SecretKey, Signer as _, Verifier};
use crate::sturdy::limit;

pub(super) const ORIGIN: &str = "https://node.example";
pub(super) const DAY: Duration = Duration::from_secs(86_400);

#[crate::interface(crate = crate)]
trait Desk {
    #[capnode(property)]
    async fn drawer(&self) -> NoteClient;
    async fn note(&self) -> NoteClient;
}

struct Wood;

impl Desk for Wood {
    async fn drawer(&self) -> NoteClient {
        NoteClient::new(Paper(b"drawer".to_vec()))
    }

    async fn note(&self) -> NoteClient {
        NoteClient::new(Paper(b"note".to_vec()))
    }
}

pub(super) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// An owner of a note and a desk, and the URL of the note.
struct Office {
    place: Place,
    url: String,
}

fn office() -> Office {
    office_with(Arc::default(), UNIX_EPOCH)
}

/// An owner whose process has begun at a time.
fn office_with(store: Arc<MemoryStore>, since: SystemTime) -> Office {
    let verifier = Verifier::new(key(1).public_key(), ORIGIN, since).unwrap();
    let place = place_with(store, |builder| builder.documents(verifier, key(1)));
    let id = place.owner.keep("note", b"x").unwrap().object().to_owned();
    let url = place.owner.url(&id).unwrap();
    Office { place, url }
}

impl Office {
    fn now(&self) -> SystemTime {
        *lock(&self.place.now)
    }

    /// Returns a link to the note for the key 2.
    async fn issue(&self, actions: &[&str], caveat: Option<signed::Caveat>) -> Link {
        let mut new = Delegation::new(key(2).public_key(), self.now() + DAY).actions(actions.iter().copied());
        if let Some(caveat) = caveat {
            new = new.caveat(caveat);
        }
        new.issue(&self.url, &key(1), self.now()).await.unwrap()
    }

    async fn delegate(&self, link: &Link, from: u8, to: u8, actions: &[&str]) -> Link {
        let new = Delegation::new(key(to).public_key(), self.now() + DAY).actions(actions.iter().copied());
        new.delegate(link, &key(from), self.now()).await.unwrap()
    }

    async fn invocation(&self, link: &Link, by: u8, action: &str) -> String {
        Invocation::new(action, ORIGIN).sign(link, &key(by), self.now()).await.unwrap()
    }

    async fn redeem(&self, link: &Link, by: u8) -> Result<NoteClient, Rule> {
        let text = self.invocation(link, by, "redeem").await;
        let taken = self.place.owner.redeem(&text).await;
        taken.map(NoteClient::from_cap).map_err(|_| self.refused().0)
    }

    /// Returns the rule of the last refusal, and that of its document.
    fn refused(&self) -> (Rule, Option<signed::Rule>) {
        lock(&self.place.refused).pop().unwrap()
    }

    async fn revoke(&self, link: &Link, by: u8, below: Option<&Link>) -> Result<(), Rule> {
        let new = Invocation::new("revoke", ORIGIN);
        let new = if let Some(below) = below { new.args(&[below]).unwrap() } else { new };
        let text = new.sign(link, &key(by), self.now()).await.unwrap();
        self.place.owner.clone().revoke_by(&text).await.map_err(|_| self.refused().0)
    }
}

impl Owner {
    async fn revoke_by(self, text: &str) -> Result<(), crate::Error> {
        Gatekeeper::revoke(&self, text).await
    }
}

#[tokio::test]
async fn a_document_is_exchanged_for_a_reference_behind_all_its_links() {
    let office = office();
    let bobs = office.issue(&["redeem", "text", "erase"], None).await;
    let carols = office.delegate(&bobs, 2, 3, &["redeem", "text"]).await;
    let note = office.redeem(&carols, 3).await.unwrap();
    assert_eq!(note.text().await.unwrap(), "x");
    assert_eq!(note.erase().await.unwrap_err().kind(), ErrorKind::Refused);
    let live = office.place.owner.live();
    let holders: Vec<_> = live[0].links.iter().map(|link| link.controller.clone()).collect();
    assert_eq!(holders, [2, 3].map(|seed| key(seed).public_key().to_string()));

    // A link that was not given to the key, or does not allow it.
    let text = office.invocation(&carols, 3, "text").await;
    office.place.owner.redeem(&text).await.unwrap_err();
    assert_eq!(office.refused(), (Rule::Document, Some(signed::Rule::Action)));

    office.place.owner.revoke_link(&bobs).unwrap();
    assert!(note.text().await.is_err() && office.place.owner.live().is_empty());
    office.redeem(&carols, 3).await.unwrap_err();
}

#[tokio::test]
async fn a_document_ends_with_its_links() {
    let office = office();
    let bobs = office.issue(&["redeem", "text"], None).await;
    let note = office.redeem(&bobs, 2).await.unwrap();
    *lock(&office.place.now) = office.now() + DAY;
    assert!(note.text().await.is_err());
}

#[tokio::test]
async fn an_invocation_calls_its_method_once() {
    let office = office();
    let link = office.issue(&["erase", "redeem"], None).await;
    let text = office.invocation(&link, 2, "erase").await;
    assert_eq!(office.place.owner.invoke(&text).await.unwrap().as_u64(), Some(7));
    office.place.owner.invoke(&text).await.unwrap_err();
    assert_eq!(office.refused(), (Rule::Document, Some(signed::Rule::Replay)));
    let text = office.invocation(&link, 2, "redeem").await;
    office.place.owner.invoke(&text).await.unwrap_err();
    assert_eq!(office.refused(), (Rule::Document, Some(signed::Rule::Action)));
    assert!(office.place.owner.live().is_empty());
}

#[tokio::test]
async fn a_count_belongs_to_its_link() {
    let office = office();
    let count = Some(signed::Caveat::Count(2));
    let bobs = office.issue(&["redeem", "text", "erase"], count.clone()).await;
    let carols = office.delegate(&bobs, 2, 3, &["redeem", "text"]).await;
    let text = office.invocation(&bobs, 2, "erase").await;
    office.place.owner.invoke(&text).await.unwrap();
    office.redeem(&carols, 3).await.unwrap().text().await.unwrap();
    let note = office.redeem(&bobs, 2).await.unwrap();
    assert_eq!(note.text().await.unwrap_err().kind(), ErrorKind::Refused);
    // Another link with the same caveat has its own.
    let other = office.issue(&["redeem", "text"], count).await;
    office.redeem(&other, 2).await.unwrap().text().await.unwrap();
}

#[tokio::test]
async fn where_anybody_reads_along_an_invocation_carries_a_nonce() {
    let office = office();
    let node = crate::Node::new(GatekeeperClient::new(office.place.owner.clone()));
    let (here, there) = crate::transport::pair();
    let (served, gatekeeper) = tokio::join!(node.serve(there), crate::connect_over::<GatekeeperClient>(here));
    let (_served, gatekeeper) = (served.unwrap(), gatekeeper.unwrap());
    let link = office.issue(&["redeem", "text"], None).await;
    let sign = async |nonce: Option<&str>| {
        let new = Invocation::new("redeem", ORIGIN);
        let new = if let Some(nonce) = nonce { new.challenge(nonce) } else { new };
        new.sign(&link, &key(2), office.now()).await.unwrap()
    };
    gatekeeper.redeem(&sign(None).await).await.unwrap_err();
    assert_eq!(office.refused(), (Rule::Document, Some(signed::Rule::Challenge)));

    let nonce = "0123456789abcdef";
    let challenge = gatekeeper.challenge(nonce).await.unwrap();
    challenge.check(&key(1).public_key(), ORIGIN, nonce).unwrap();
    challenge.check(&key(2).public_key(), ORIGIN, nonce).unwrap_err();
    challenge.check(&key(1).public_key(), "https://other.example", nonce).unwrap_err();
    challenge.check(&key(1).public_key(), ORIGIN, "0123456789abcdeg").unwrap_err();
    gatekeeper.redeem(&sign(Some(&challenge.nonce)).await).await.unwrap();

    // One of another program, one that was changed, and one of a minute ago.
    let other = self::office().place.owner.challenge(nonce).await.unwrap().nonce;
    for nonce in [other, challenge.nonce.replacen('.', "0.", 1), challenge.nonce.clone()] {
        *lock(&office.place.now) = at(if nonce == challenge.nonce { 1061 } else { 1000 });
        gatekeeper.redeem(&sign(Some(&nonce)).await).await.unwrap_err();
        assert_eq!(office.refused(), (Rule::Document, Some(signed::Rule::Challenge)));
    }
    for nonce in ["short", "0123456789abcde\n", &"a".repeat(129)] {
        gatekeeper.challenge(nonce).await.unwrap_err();
        assert_eq!(office.refused().0, Rule::Shape);
    }
}

#[tokio::test]
async fn a_holder_revokes_its_link_and_those_below() {
    let office = office();
    let bobs = office.issue(&["redeem", "text", "revoke"], None).await;
    let carols = office.delegate(&bobs, 2, 3, &["redeem", "text", "revoke"]).await;
    let daves = office.delegate(&carols, 3, 4, &["redeem", "text"]).await;
    let erins = office.delegate(&bobs, 2, 5, &["redeem", "text"]).await;
    let (of_dave, of_erin) =
        (office.redeem(&daves, 4).await.unwrap(), office.redeem(&erins, 5).await.unwrap());
    // Carol has the text of Bob's link, and Erin's was made by Bob.
    assert_eq!(office.revoke(&carols, 3, Some(&bobs)).await, Err(Rule::Link));
    assert_eq!(office.revoke(&carols, 3, Some(&erins)).await, Err(Rule::Link));
    of_erin.text().await.unwrap();
    office.revoke(&carols, 3, Some(&daves)).await.unwrap();
    assert!(of_dave.text().await.is_err());
    let of_carol = office.redeem(&carols, 3).await.unwrap();
    office.revoke(&carols, 3, None).await.unwrap();
    assert!(of_carol.text().await.is_err());
    office.redeem(&carols, 3).await.unwrap_err();
    office.revoke(&bobs, 2, Some(&erins)).await.unwrap();
    assert!(of_erin.text().await.is_err());
    // Who was not given the action cannot.
    let text = office.invocation(&bobs, 2, "redeem").await;
    assert!(office.place.owner.clone().revoke_by(&text).await.is_err());
}

/// Has one of links revoked, of which each is named by a number, by the holder of one of the first.
fn revoke(office: &Office, path: &[u32], by: usize, end: u64) -> Result<(), Rule> {
    let tag = |number: &u32| {
        let mut tag = [0; 32];
        tag[..4].copy_from_slice(&number.to_be_bytes());
        tag
    };
    let tags: Vec<_> = path.iter().map(tag).collect();
    let link = Revocation { tags: &tags, by, end };
    office.place.owner.admissions().revoke_link(&link).map_err(|refusal| refusal.rule())
}

/// Returns how many revocations are kept.
fn kept(office: &Office) -> usize {
    let names = |start| office.place.owner.admissions().store.names(start).unwrap().len();
    assert_eq!(names("ending/"), names("revoked/"));
    names("ending/")
}

#[tokio::test]
async fn revocations_by_holders_are_bounded_and_end_with_their_links() {
    let office = office();
    for link in 0..512 {
        revoke(&office, &[1, 2, 100 + link], 2, 1500 + u64::from(link)).unwrap();
    }
    *lock(&office.place.now) = at(1499);
    assert_eq!(revoke(&office, &[1, 2, 3], 2, 3000), Err(Rule::Quota));
    // Another holder of the branch, until there are too many of all, and one of another branch.
    for link in 0..512 {
        revoke(&office, &[1, 3, 100 + link], 2, 3000).unwrap();
    }
    assert_eq!(revoke(&office, &[1, 4, 5], 2, 3000), Err(Rule::Quota));
    revoke(&office, &[2, 4, 5], 2, 3000).unwrap();
    *lock(&office.place.now) = at(1501);
    revoke(&office, &[1, 4, 5], 2, 3000).unwrap();
    assert_eq!(kept(&office), 1024);
}

#[tokio::test]
async fn holders_below_do_not_keep_those_above_from_revoking() {
    let office = office();
    // Those of links with two above have filled what there is for them, and those further down as well.
    for link in 0..1024 {
        revoke(&office, &[1, link / 512, 1000 + link], 2, 3000).unwrap();
        revoke(&office, &[1, 0, 2 + link / 512, 1000 + link], 3, 3000).unwrap();
    }
    assert_eq!(revoke(&office, &[1, 0, 2, 3], 2, 3000), Err(Rule::Quota));
    // What lies below goes, and so there is room for others.
    revoke(&office, &[1, 0, 2], 1, 3000).unwrap();
    assert_eq!(kept(&office), 2048 - 512 + 1);
    revoke(&office, &[1, 0], 1, 3000).unwrap();
    assert_eq!(kept(&office), 513);
    revoke(&office, &[1, 4, 5], 2, 3000).unwrap();
    revoke(&office, &[1], 1, 3000).unwrap();
    assert_eq!(kept(&office), 1);
    revoke(&office, &[1], 0, 3000).unwrap();
}

#[tokio::test]
async fn a_revocation_by_the_owner_stays_when_a_link_above_is_revoked() {
    let office = office();
    // Another link of the name may be below one that is not revoked.
    revoke(&office, &[1, 2, 3], 0, 3000).unwrap();
    revoke(&office, &[1, 2, 4], 2, 3000).unwrap();
    revoke(&office, &[1], 0, 3000).unwrap();
    let is_revoked = |number| {
        let mut tag = [0; 32];
        tag[3] = number;
        office.place.owner.admissions().is_revoked(&tag).unwrap()
    };
    assert_eq!([1, 3, 4].map(is_revoked), [true, true, false]);
}

#[tokio::test]
async fn a_link_of_which_another_of_the_name_ends_earlier_stays_revoked() {
    let office = office();
    let links = [[1, 2, 3], [1, 4, 3]];
    revoke(&office, &links[0], 1, 3000).unwrap();
    revoke(&office, &links[0], 1, 2000).unwrap();
    revoke(&office, &links[1], 1, 2000).unwrap();
    *lock(&office.place.now) = at(2500);
    for link in 0..512 {
        let _ended_ones_go = revoke(&office, &[1, 100 + link], 1, 2001);
    }
    let mut tag = [0; 32];
    tag[3] = 3;
    assert!(office.place.owner.admissions().is_revoked(&tag).unwrap());
}

#[test]
fn a_link_is_revoked_and_counted_by_its_delegator_and_its_id() {
    let name = |delegator: &str, id: &str| LinkName { delegator: delegator.to_owned(), id: id.to_owned() };
    let of = |delegator, id, caveat| limit::tag(&name(delegator, id), caveat);
    let all = [
        of("did:key:a", "urn:1", None),
        // One of the same id, which another has made.
        of("did:key:b", "urn:1", None),
        of("did:key:a", "urn:2", None),
        // The same bytes, of another length each.
        of("did:key:au", "rn:1", None),
        of("did:key:a", "urn:1", Some(0)),
        of("did:key:a", "urn:1", Some(1)),
        of("did:key:a", "urn:10", None),
    ];
    let different: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len());
    assert_eq!(of("did:key:a", "urn:1", None), all[0]);
}

#[tokio::test]
async fn a_segment_of_a_target_names_a_property_and_no_method() {
    let verifier = Verifier::new(key(1).public_key(), ORIGIN, UNIX_EPOCH).unwrap();
    let refused: Arc<Mutex<Vec<Rule>>> = Arc::default();
    let told = refused.clone();
    let owner = Owner::builder(MemoryStore::default(), |_| Ok(DeskClient::new(Wood).into()))
        .documents(verifier, key(1))
        .on_refusal(move |refusal| lock(&told).push(refusal.rule()))
        .open()
        .unwrap();
    let url = owner.url(owner.keep("desk", b"").unwrap().object()).unwrap();
    let now = SystemTime::now();
    let new = Delegation::new(key(2).public_key(), now + DAY).actions(["redeem", "text", "note", "drawer"]);
    let link = new.issue(&url, &key(1), now).await.unwrap();
    let sign = async |name: &str| {
        let new = Invocation::new("redeem", ORIGIN).target(format!("{url}/{name}"));
        new.sign(&link, &key(2), now).await.unwrap()
    };
    let drawer = NoteClient::from_cap(owner.redeem(&sign("drawer").await).await.unwrap());
    assert_eq!(drawer.text().await.unwrap(), "drawer");
    owner.redeem(&sign("note").await).await.unwrap_err();
    assert_eq!(lock(&refused).pop(), Some(Rule::Object));
    // As by a reference, no property is read that a caveat leaves out.
    let methods = signed::Caveat::Methods(vec!["redeem".to_owned(), "text".to_owned()]);
    let new = Delegation::new(key(2).public_key(), now + DAY).actions(["redeem", "text"]).caveat(methods);
    let narrow = new.issue(&url, &key(1), now).await.unwrap();
    let desk = Invocation::new("redeem", ORIGIN).sign(&narrow, &key(2), now).await.unwrap();
    let desk = DeskClient::from_cap(owner.redeem(&desk).await.unwrap());
    assert_eq!(desk.drawer().await.unwrap_err().kind(), ErrorKind::Refused);
    let drawer = Invocation::new("redeem", ORIGIN).target(format!("{url}/drawer"));
    drawer.sign(&narrow, &key(2), now).await.unwrap_err();
    // An id of its own kind, and a URL above the object.
    for root in [format!("{ORIGIN}/rooms"), format!("{ORIGIN}/{}", "0".repeat(32)), format!("{url}/drawer")] {
        let new = Delegation::new(key(2).public_key(), now + DAY).actions(["redeem"]);
        let link = new.issue(&root, &key(1), now).await.unwrap();
        let text = Invocation::new("redeem", ORIGIN).sign(&link, &key(2), now).await.unwrap();
        owner.redeem(&text).await.unwrap_err();
        assert_eq!(lock(&refused).pop(), Some(Rule::Object), "{root}");
    }
}

#[tokio::test]
async fn a_signed_reference_travels_as_a_text_and_is_redeemed_at_its_owner_alone() {
    let office = office();
    let bobs: Signed<NoteClient> = Signed::new(office.issue(&["redeem", "text", "erase"], None).await);
    let to_carol = Delegation::new(key(3).public_key(), office.now() + DAY).actions(["redeem", "text"]);
    let text = serde_json::to_string(&bobs.delegate(to_carol, &key(2), office.now()).await.unwrap()).unwrap();
    let carols: Signed<NoteClient> = serde_json::from_str(&text).unwrap();
    assert_eq!(carols.to_string().parse::<Signed<NoteClient>>().unwrap(), carols);

    let gatekeeper = GatekeeperClient::new(office.place.owner.clone());
    let note = carols.redeem(&gatekeeper, &key(3), office.now()).await.unwrap();
    assert_eq!(note.text().await.unwrap(), "x");
    note.erase().await.unwrap_err();
    carols.redeem(&gatekeeper, &key(2), office.now()).await.unwrap_err();

    // One that is not the owner's is not sent what was signed.
    let verifier = Verifier::new(key(9).public_key(), ORIGIN, UNIX_EPOCH).unwrap();
    let other = place_with(Arc::default(), |builder| builder.documents(verifier, key(9)));
    let stranger = GatekeeperClient::new(other.owner);
    let refused = carols.redeem(&stranger, &key(3), office.now()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(lock(&other.refused).is_empty());
}

#[tokio::test]
async fn what_is_kept_of_a_link_is_kept_to_the_end_of_its_last_second() {
    let office = office();
    *lock(&office.place.now) = at(1000) + Duration::from_millis(900);
    let link = office.issue(&["redeem", "text"], Some(signed::Caveat::Count(1))).await;
    office.redeem(&link, 2).await.unwrap().text().await.unwrap();
    office.place.owner.revoke_link(&link).unwrap();
    let store = &office.place.owner.admissions().store;
    for start in ["ending/", "count/"] {
        let kept = store.get(&store.names(start).unwrap()[0]).unwrap().unwrap();
        assert!(kept.starts_with(&(1001 + DAY.as_secs()).to_be_bytes()), "{start}: {kept:?}");
    }
}

#[tokio::test]
async fn an_owner_that_was_restarted_knows_what_was_taken_and_revoked() {
    let store = Arc::new(MemoryStore::default());
    let office = office_with(store.clone(), UNIX_EPOCH);
    let link = office.issue(&["redeem", "erase"], None).await;
    let revoked = office.issue(&["redeem", "erase"], None).await;
    office.place.owner.revoke_link(&revoked).unwrap();
    let [taken, not_yet] =
        [office.invocation(&link, 2, "erase").await, office.invocation(&link, 2, "erase").await];
    office.place.owner.invoke(&taken).await.unwrap();

    let again = office_with(store.clone(), at(1000));
    again.place.owner.invoke(&taken).await.unwrap_err();
    assert_eq!(again.refused(), (Rule::Document, Some(signed::Rule::Replay)));
    again.redeem(&revoked, 2).await.unwrap_err();
    again.place.owner.invoke(&not_yet).await.unwrap();
    // One that has forgotten them since takes them as little after its clock was set back.
    *lock(&again.place.now) = at(1400);
    let late = again.invocation(&link, 2, "erase").await;
    again.place.owner.invoke(&late).await.unwrap();
    assert_eq!(store.names("taken/").unwrap().len(), 1);
    let set_back = office_with(store, at(1000));
    set_back.place.owner.invoke(&not_yet).await.unwrap_err();
    assert_eq!(set_back.refused(), (Rule::Document, Some(signed::Rule::Replay)));
}

#[tokio::test]
async fn an_owner_that_keeps_nothing_refuses_what_was_made_before_it() {
    let office = office_with(Arc::default(), at(1000));
    let link = office.issue(&["erase"], None).await;
    for (made, now) in [(990, 1000), (1000, 1299), (1009, 1309), (1011, 1309)] {
        *lock(&office.place.now) = at(now);
        let text = Invocation::new("erase", ORIGIN).sign(&link, &key(2), at(made)).await.unwrap();
        assert_eq!(office.place.owner.invoke(&text).await.is_ok(), made == 1011, "{made}");
    }
}

/// A store that is full at times.
#[derive(Default)]
pub(super) struct Full(MemoryStore, pub(super) AtomicBool);

impl Store for Full {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, crate::Error> {
        self.0.get(name)
    }

    fn write(&self, changes: &[Change<'_>]) -> Result<(), crate::Error> {
        if self.1.load(Relaxed) { Err(crate::Error::rejected("full")) } else { self.0.write(changes) }
    }

    fn names(&self, start: &str) -> Result<Vec<String>, crate::Error> {
        self.0.names(start)
    }
}

#[tokio::test]
async fn an_invocation_of_which_nothing_can_be_kept_is_refused() {
    let store = Arc::new(Full(MemoryStore::default(), false.into()));
    let verifier = Verifier::new(key(1).public_key(), ORIGIN, UNIX_EPOCH).unwrap();
    let refused: Arc<Mutex<Vec<Rule>>> = Arc::default();
    let told = refused.clone();
    let owner = Owner::builder(store.clone(), |_| Ok(NoteClient::new(Paper(vec![])).into()))
        .documents(verifier, key(1))
        .on_refusal(move |refusal| lock(&told).push(refusal.rule()))
        .open()
        .unwrap();
    let url = owner.url(owner.keep("note", b"").unwrap().object()).unwrap();
    let now = SystemTime::now();
    let new = Delegation::new(key(2).public_key(), now + DAY).actions(["erase"]);
    let link = new.issue(&url, &key(1), now).await.unwrap();
    let text = Invocation::new("erase", ORIGIN).sign(&link, &key(2), now).await.unwrap();
    store.1.store(true, Relaxed);
    owner.invoke(&text).await.unwrap_err();
    assert_eq!(*lock(&refused), [Rule::Owner]);
}

#[tokio::test]
async fn what_was_forgotten_while_nothing_could_be_kept_leaves_the_store_later() {
    let store = Arc::new(Full::default());
    let verifier = Verifier::new(key(1).public_key(), ORIGIN, UNIX_EPOCH).unwrap();
    let restore = |_: &Kept| Ok(NoteClient::new(Paper(vec![])).into());
    let place = place_of(store.clone(), restore, |builder| builder.documents(verifier, key(1)));
    let url = place.owner.url(place.owner.keep("note", b"").unwrap().object()).unwrap();
    let office = Office { place, url };
    let link = office.issue(&["erase"], None).await;
    for (secs, full) in [(1000, false), (1400, true), (1400, false)] {
        *lock(&office.place.now) = at(secs);
        store.1.store(full, Relaxed);
        let text = office.invocation(&link, 2, "erase").await;
        assert_eq!(office.place.owner.invoke(&text).await.is_ok(), !full);
    }
    assert_eq!(store.names("taken/").unwrap().len(), 1);
}

#[tokio::test]
async fn revocations_by_the_owner_end_with_their_links() {
    let office = office();
    let mut most = 0;
    for link in 0..2000 {
        *lock(&office.place.now) = at(1000 + u64::from(link));
        revoke(&office, &[link], 0, 1010 + u64::from(link)).unwrap();
        most = most.max(kept(&office));
    }
    // Ten or so have not ended.
    assert!(most <= 256 + 11, "{most}");
    // Those of holders whose branch nobody uses go as well.
    for link in 0..600 {
        revoke(&office, &[3000 + link, 1], 1, 3010).unwrap();
    }
    *lock(&office.place.now) = at(4000);
    for link in 0..1200 {
        revoke(&office, &[5000 + link], 0, 9000).unwrap();
    }
    assert_eq!(kept(&office), 1200);
}

#[tokio::test]
async fn damage_to_a_challenge_is_refused_wherever_it_is() {
    let office = office();
    let (owner, asked) = (key(1).public_key(), "0123456789abcdef");
    let whole = Gatekeeper::challenge(&office.place.owner, asked).await.unwrap();
    whole.check(&owner, ORIGIN, asked).unwrap();
    let documents = office.place.owner.documents().unwrap();
    assert!(documents.is_fresh(&whole.nonce, 1000));
    let damaged = |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= 1;
        [String::from_utf8(bytes).unwrap(), text[..at].to_owned(), format!("{}1{}", &text[..at], &text[at..])]
    };
    for (at, nonce) in
        (0..whole.nonce.len()).flat_map(|at| damaged(&whole.nonce, at).map(|nonce| (at, nonce)))
    {
        assert!(!documents.is_fresh(&nonce, 1000), "{at}: {nonce}");
        let changed = Challenge { nonce, ..whole.clone() };
        changed.check(&owner, ORIGIN, asked).unwrap_err();
    }
    for signature in (0..whole.signature.len()).flat_map(|at| damaged(&whole.signature, at)) {
        let changed = Challenge { signature, ..whole.clone() };
        assert!(changed.check(&owner, ORIGIN, asked).is_err(), "{changed:?}");
    }
}
