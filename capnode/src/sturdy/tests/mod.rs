use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::signed;
use crate::sync::{Mutex, lock};
use crate::{Cap, Client as _, ErrorKind, Registry, RestorerClient};

mod documents;
#[cfg(feature = "redb")]
mod file;
mod held;
#[cfg(feature = "testing")]
mod lines;
mod results;

#[crate::interface(crate = crate)]
trait Note {
    #[capnode(read)]
    async fn text(&self) -> String;
    async fn erase(&self) -> u32;
}

struct Paper(Vec<u8>);

impl Note for Paper {
    async fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    async fn erase(&self) -> u32 {
        7
    }
}

/// A rule that was broken, and that of a signed document.
type Refused = (Rule, Option<signed::Rule>);

/// An owner, with what it was told of refusals, and its clock.
struct Place {
    owner: Owner,
    refused: Arc<Mutex<Vec<Refused>>>,
    now: Arc<Mutex<SystemTime>>,
    asked: OnTime,
}

/// What is done when the clock is asked, until there is nothing more to do.
type OnTime = Arc<Mutex<Option<Box<dyn FnMut() -> Option<()> + Send>>>>;

fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

fn place(store: Arc<MemoryStore>) -> Place {
    place_with(store, |builder| builder)
}

fn place_with(store: Arc<MemoryStore>, with: impl FnOnce(OwnerBuilder) -> OwnerBuilder) -> Place {
    let restore = |kept: &Kept| Ok(NoteClient::new(Paper(kept.data.clone())).into());
    place_of(store, restore, with)
}

fn place_of(
    store: impl Store,
    restore: impl Fn(&Kept) -> Result<Cap, crate::Error> + Send + Sync + 'static,
    with: impl FnOnce(OwnerBuilder) -> OwnerBuilder,
) -> Place {
    let refused: Arc<Mutex<Vec<_>>> = Arc::default();
    let now = Arc::new(Mutex::new(at(1000)));
    let asked = OnTime::default();
    let (told, clock, ask) = (refused.clone(), now.clone(), asked.clone());
    let builder = Owner::builder(store, restore)
        .address("wss://node.example/rpc?a=b")
        .clock(move || {
            let does = lock(&ask).take();
            if let Some(mut does) = does {
                let goes_on = does().map(|()| does);
                *lock(&ask) = goes_on;
            }
            *lock(&clock)
        })
        .on_refusal(move |refusal| {
            lock(&told).push((refusal.rule(), refusal.document().map(signed::Refusal::rule)));
        });
    let owner = with(builder).open().unwrap();
    Place { owner, refused, now, asked }
}

impl Place {
    async fn redeem(&self, text: &Sturdy) -> Result<NoteClient, Rule> {
        let taken = self.owner.redeem(&text.reveal()).await;
        taken.map(NoteClient::from_cap).map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::Refused);
            lock(&self.refused).pop().unwrap().0
        })
    }
}

#[tokio::test]
async fn a_text_survives_a_restart_of_its_owner() {
    let store = Arc::new(MemoryStore::default());
    let text = place(store.clone()).owner.keep("note", b"a\nb").unwrap();
    let place = place(store);
    assert_eq!(place.redeem(&text).await.unwrap().text().await.unwrap(), "a\nb");
    assert_eq!(text.addresses(), ["wss://node.example/rpc?a=b"]);
}

#[tokio::test]
async fn each_damage_of_a_text_is_refused() {
    let place = place(Arc::default());
    let text = place.owner.keep("note", b"").unwrap().with(&Caveat::Count(9)).unwrap().reveal();
    for index in 0..text.len() {
        for byte in [b'0', b'1', b'f', b'F', b'/', b'?', b'&', b'=', b'-', b' '] {
            let mut damaged = text.as_bytes().to_vec();
            if damaged[index] != byte {
                damaged[index] = byte;
                let damaged = String::from_utf8(damaged).unwrap();
                assert!(place.owner.redeem(&damaged).await.is_err(), "{damaged}");
            }
        }
        assert!(place.owner.redeem(&text[..index]).await.is_err());
    }
    assert!(place.owner.live().is_empty());
}

#[tokio::test]
async fn white_space_around_a_text_does_not_count() {
    let place = place(Arc::default());
    let text = place.owner.keep("note", b"milk").unwrap().reveal();
    for spaced in [format!("{}\n", *text), format!(" \t{}\r\n", *text)] {
        assert_eq!(*spaced.parse::<Sturdy>().unwrap().reveal(), *text);
    }
    let inside = text.replacen('/', " /", 1);
    assert_eq!(inside.parse::<Sturdy>().unwrap_err().rule(), Rule::Shape);
}

#[tokio::test]
async fn a_caveat_cannot_be_taken_out_or_put_before_another() {
    let place = place(Arc::default());
    let text = place.owner.keep("note", b"").unwrap();
    let narrow = text.with(&Caveat::ReadOnly).unwrap().with(&Caveat::Count(5)).unwrap().reveal();
    assert!(place.owner.redeem(&narrow).await.is_ok());
    for changed in
        [narrow.replace("/read-only", ""), narrow.replace("read-only/count=5", "count=5/read-only")]
    {
        assert!(place.owner.redeem(&changed).await.is_err());
        assert_eq!(lock(&place.refused).pop(), Some((Rule::Mac, None)));
    }
}

#[tokio::test]
async fn nothing_but_a_text_reaches_the_object() {
    let place = place(Arc::default());
    let text = place.owner.keep("note", b"").unwrap();
    let id = text.object();
    let restorer = RestorerClient::new(Registry::default());
    assert!(restorer.restore(id).await.is_err());
    assert!(place.owner.redeem(id).await.is_err());
    let guessed = text.reveal().replace(&mac::hex(&*text_secret(&text)), &"0".repeat(64));
    assert!(place.owner.redeem(&guessed).await.is_err());
    assert_eq!(lock(&place.refused).pop(), Some((Rule::Mac, None)));
}

fn text_secret(text: &Sturdy) -> mac::Secret {
    let revealed = text.reveal();
    let path = revealed.split('?').next().unwrap();
    mac::unhex(path.rsplit('/').next().unwrap()).unwrap()
}

#[tokio::test]
async fn the_secret_is_told_by_reveal_alone() {
    let place = place(Arc::default());
    let text = place.owner.keep("note", b"").unwrap();
    let secret = mac::hex(&*text_secret(&text));
    let refused = place.owner.redeem(&format!("{}x", *text.reveal())).await;
    let told = format!("{text} {text:?} {:?} {:?} {refused:?}", place.owner, place.owner.live());
    assert!(!told.contains(&secret) && text.reveal().contains(&secret), "{told}");
}

#[test]
fn a_secret_is_the_chain_of_hashes_that_version_1_says() {
    // Computed by another program: HMAC-SHA256, each part behind its length in eight bytes, the domain as the first.
    let secret = "81ec99ba954d716e9506c20e91d02c9491447da7897cf403431f5f1b142380f6";
    let text = format!(
        "capnode:1/0011223344556677/00112233445566778899aabbccddeeff/8899aabbccddeeff/read-only/count=3/{secret}\
         ?at=wss://node.example/rpc"
    );
    let text: Sturdy = text.parse().unwrap();
    let key = mac::Secret::new(std::array::from_fn(|at| at as u8));
    let tags = text.verify(&key).unwrap();
    let tag = "1c292c7b99aae9d07d15d7a93fb021e0c2da76a12059432db663f1af76b05d47";
    assert_eq!((tags.len(), mac::hex(&tags[2])), (3, tag.to_owned()));
}

#[tokio::test]
async fn a_peer_is_told_one_word_whatever_rule_is_broken() {
    let place = place(Arc::default());
    let node = crate::Node::new(GatekeeperClient::new(place.owner.clone()));
    let (here, there) = crate::transport::pair();
    let (served, gatekeeper) = tokio::join!(node.serve(there), crate::connect_over::<GatekeeperClient>(here));
    let (_served, gatekeeper) = (served.unwrap(), gatekeeper.unwrap());
    let (text, forgotten) = (place.owner.keep("note", b"").unwrap(), place.owner.keep("note", b"").unwrap());
    let revoked = text.with(&Caveat::ReadOnly).unwrap();
    place.owner.revoke(&revoked).unwrap();
    place.owner.forget(forgotten.object()).unwrap();
    let over = text.with(&Caveat::Until(at(999))).unwrap().reveal();
    let wrong = text.reveal().replace(&mac::hex(&*text_secret(&text)), &"0".repeat(64));
    let key = text.reveal().replacen(text.key(), &"0".repeat(16), 1);
    let texts = [
        (revoked.reveal().to_string(), Rule::Revoked),
        (forgotten.reveal().to_string(), Rule::Object),
        (over.to_string(), Rule::Expiry),
        (wrong, Rule::Mac),
        (key, Rule::Key),
        ("capnode:1/".to_owned(), Rule::Shape),
        ("{}".to_owned(), Rule::Shape),
        (format!("capnode:{}", "a".repeat(4096)), Rule::Size),
    ];
    for (text, rule) in texts {
        let told = gatekeeper.redeem(&text).await.unwrap_err();
        assert_eq!(told.as_error().unwrap().message(), "refused");
        assert_eq!(lock(&place.refused).pop(), Some((rule, None)), "{text}");
    }
}

/// A store that counts how often it is asked.
#[derive(Default)]
struct Asked(MemoryStore, AtomicUsize);

impl Store for Asked {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, crate::Error> {
        self.1.fetch_add(1, Relaxed);
        self.0.get(name)
    }

    fn write(&self, changes: &[Change<'_>]) -> Result<(), crate::Error> {
        self.1.fetch_add(1, Relaxed);
        self.0.write(changes)
    }

    fn names(&self, start: &str) -> Result<Vec<String>, crate::Error> {
        self.1.fetch_add(1, Relaxed);
        self.0.names(start)
    }
}

#[tokio::test]
async fn the_store_is_not_asked_about_a_text_that_nobody_was_given() {
    let store = Arc::new(Asked::default());
    let restore = |_: &Kept| Ok(NoteClient::new(Paper(vec![])).into());
    let place = place_of(store.clone(), restore, |builder| builder);
    let text = place.owner.keep("note", b"").unwrap().with(&Caveat::ReadOnly).unwrap();
    let before = store.1.load(Relaxed);
    let wrong = text.reveal().replace(&mac::hex(&*text_secret(&text)), &"0".repeat(64));
    let wider = text.reveal().replace("/read-only", "");
    let key = text.reveal().replacen(text.key(), &"0".repeat(16), 1);
    for text in [wrong, wider, key, "capnode:1/".to_owned()] {
        place.owner.redeem(&text).await.unwrap_err();
    }
    assert_eq!(store.1.load(Relaxed), before);
    place.redeem(&text).await.unwrap();
    assert!(store.1.load(Relaxed) > before);
}

#[tokio::test]
async fn a_call_that_is_asked_about_while_its_object_is_forgotten_leaves_no_counter() {
    let store = Arc::new(MemoryStore::default());
    let owner: Arc<Mutex<Option<(Owner, String)>>> = Arc::default();
    let forgets = owner.clone();
    // The time is asked for between the caveats.
    let clock = move || {
        let forgotten = lock(&forgets).take();
        if let Some((owner, object)) = forgotten {
            owner.forget(&object).unwrap();
        }
        at(1000)
    };
    let restore = |_: &Kept| Ok(NoteClient::new(Paper(vec![])).into());
    let place = place_of(store.clone(), restore, |builder| builder.clock(clock));
    let text = place.owner.keep("note", b"").unwrap();
    let counted = text.with(&Caveat::Until(at(2000))).and_then(|text| text.with(&Caveat::Count(5))).unwrap();
    let note = place.redeem(&counted).await.unwrap();
    *lock(&owner) = Some((place.owner.clone(), text.object().to_owned()));
    note.erase().await.unwrap_err();
    assert!(lock(&owner).is_none());
    assert_eq!(rows(&store, "count/"), 0);
}

#[tokio::test]
async fn methods_and_read_only_hold() {
    let place = place(Arc::default());
    let text = place.owner.keep("note", b"x").unwrap();
    let reader = place.redeem(&text.with(&Caveat::ReadOnly).unwrap()).await.unwrap();
    assert_eq!(reader.text().await.unwrap(), "x");
    assert_eq!(reader.erase().await.unwrap_err().kind(), ErrorKind::Refused);
    let methods = Caveat::Methods(vec!["erase".to_owned()]);
    let eraser = place.redeem(&text.with(&methods).unwrap()).await.unwrap();
    assert_eq!(eraser.erase().await.unwrap(), 7);
    assert_eq!(eraser.text().await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn a_caveat_that_would_be_read_as_a_wider_one_is_not_written() {
    let text = place(Arc::default()).owner.keep("note", b"").unwrap();
    let names = |names: &[&str]| Caveat::Methods(names.iter().map(|name| (*name).to_owned()).collect());
    for caveat in [
        names(&["text,erase"]),
        names(&[]),
        names(&["a/b"]),
        names(&["é"]),
        Caveat::Rate { calls: 1, period: Duration::from_millis(1500) },
        Caveat::Rate { calls: 1, period: Duration::from_millis(500) },
    ] {
        assert_eq!(text.with(&caveat).unwrap_err().rule(), Rule::Caveat, "{caveat}");
    }
    let part_of_a_second = text.with(&Caveat::Until(at(5) + Duration::from_millis(900))).unwrap();
    assert_eq!(part_of_a_second.caveats(), ["until=5"]);
}

#[tokio::test]
async fn a_text_is_bounded() {
    let mut text = place(Arc::default()).owner.keep("note", b"").unwrap();
    let wide = Caveat::Methods(vec!["a".repeat(3900)]);
    assert_eq!(text.with(&wide).and_then(|text| text.with(&wide)).unwrap_err().rule(), Rule::Size);
    for _ in 0..16 {
        text = text.with(&Caveat::ReadOnly).unwrap();
    }
    assert_eq!(text.with(&Caveat::ReadOnly).unwrap_err().rule(), Rule::Size);
    let more = text.reveal().replacen("/read-only", "/read-only/read-only", 1);
    assert_eq!(more.parse::<Sturdy>().unwrap_err().rule(), Rule::Size);
    let many = format!("{}{}", *text.reveal(), "&at=a".repeat(8));
    assert_eq!(many.parse::<Sturdy>().unwrap_err().rule(), Rule::Size);
    let long = text.reveal().replacen("read-only", &"a".repeat(4096), 1);
    assert_eq!(long.parse::<Sturdy>().unwrap_err().rule(), Rule::Size);
}

#[tokio::test]
async fn a_text_is_redeemed_again_on_each_connection() {
    let place = place(Arc::default());
    let node = crate::Node::new(GatekeeperClient::new(place.owner.clone()));
    let last: Arc<Mutex<Option<crate::Connection>>> = Arc::default();
    let dialed = last.clone();
    let gatekeeper: GatekeeperClient = crate::reconnecting(move || {
        let (node, dialed) = (node.clone(), dialed.clone());
        async move {
            let (here, there) = crate::transport::pair();
            node.serve(there).await?;
            let connection = crate::connect_over::<crate::Connection>(here).await?;
            *lock(&dialed) = Some(connection.clone());
            Ok(connection)
        }
    })
    .await
    .unwrap();
    let text = place.owner.keep("note", b"milk").unwrap().with(&Caveat::Count(3)).unwrap();
    let note = NoteClient::from_cap(text.redeem(&gatekeeper).await.unwrap());
    assert_eq!(note.text().await.unwrap(), "milk");
    let first = place.owner.live()[0].id;

    let lost = lock(&last).take().unwrap();
    lost.close_because("the test goes on");
    assert_eq!(note.text().await.unwrap(), "milk");
    assert!(place.owner.live().iter().any(|live| live.id != first));

    // What the owner has revoked meanwhile is not redeemed again.
    let lost = lock(&last).take().unwrap();
    lost.close_because("the test goes on");
    place.owner.revoke(&text).unwrap();
    note.text().await.unwrap_err();
    assert_eq!(lock(&place.refused).pop(), Some((Rule::Revoked, None)));
}

#[tokio::test]
async fn an_unknown_caveat_refuses() {
    let place = place(Arc::default());
    let text = place.owner.keep("note", b"").unwrap();
    let secret = mac::hex(&*mac::next(&text_secret(&text), "moon=full"));
    let old = mac::hex(&*text_secret(&text));
    let unknown: Sturdy = text.reveal().replace(&old, &format!("moon=full/{secret}")).parse().unwrap();
    assert_eq!(place.redeem(&unknown).await.unwrap_err(), Rule::Caveat);
}

#[tokio::test]
async fn a_count_is_shared_and_outlives_the_owner() {
    let store = Arc::new(MemoryStore::default());
    let first = place(store.clone());
    let text = first.owner.keep("note", b"").unwrap().with(&Caveat::Count(3)).unwrap();
    let narrower = text.with(&Caveat::ReadOnly).unwrap();
    first.redeem(&text).await.unwrap().erase().await.unwrap();
    first.redeem(&narrower).await.unwrap().text().await.unwrap();
    let second = place(store);
    let note = second.redeem(&text).await.unwrap();
    note.erase().await.unwrap();
    assert_eq!(note.erase().await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn refused_calls_of_a_narrower_text_leave_the_wider_one_its_count() {
    let place = place(Arc::default());
    let wide = place.owner.keep("note", b"").unwrap().with(&Caveat::Count(3)).unwrap();
    let narrow = place.redeem(&wide.with(&Caveat::Count(1)).unwrap()).await.unwrap();
    narrow.erase().await.unwrap();
    for _ in 0..5 {
        narrow.erase().await.unwrap_err();
    }
    let wide = place.redeem(&wide).await.unwrap();
    wide.erase().await.unwrap();
    wide.erase().await.unwrap();
    assert_eq!(wide.erase().await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn a_rate_begins_anew() {
    let place = place(Arc::default());
    let rate = Caveat::Rate { calls: 1, period: Duration::from_secs(60) };
    let note = place.redeem(&place.owner.keep("note", b"").unwrap().with(&rate).unwrap()).await.unwrap();
    note.erase().await.unwrap();
    note.erase().await.unwrap_err();
    *lock(&place.now) = at(1060);
    note.erase().await.unwrap();
}

#[tokio::test]
async fn counters_are_bounded_for_each_text_that_was_given() {
    let place = place(Arc::default());
    let text = place.owner.keep("note", b"").unwrap();
    let counted = |count| text.with(&Caveat::Until(at(2000))).unwrap().with(&Caveat::Count(count)).unwrap();
    for count in 1..=1024 {
        place.redeem(&counted(count)).await.unwrap().erase().await.unwrap();
    }
    let late = text.with(&Caveat::Count(5)).unwrap();
    let note = place.redeem(&late).await.unwrap();
    assert_eq!(note.erase().await.unwrap_err().kind(), ErrorKind::Refused);
    // Who was given another text for the object does not notice.
    let other = place.owner.text(text.object()).unwrap().with(&Caveat::Count(5)).unwrap();
    place.redeem(&other).await.unwrap().erase().await.unwrap();
    // There is room once they have expired.
    *lock(&place.now) = at(2000);
    note.erase().await.unwrap();
}

#[cfg(feature = "testing")]
#[tokio::test(start_paused = true)]
async fn a_live_reference_ends_when_it_expires() {
    let place = place(Arc::default());
    let text = place.owner.keep("note", b"").unwrap().with(&Caveat::Until(at(1010))).unwrap();
    let note = place.redeem(&text).await.unwrap();
    let (sender, ended) = futures_channel::oneshot::channel();
    let _watch = note.cap().on_broken(move |error| drop(sender.send(error)));
    let began = tokio::time::Instant::now();
    ended.await.unwrap();
    assert!((10..11).contains(&began.elapsed().as_secs()));
    *lock(&place.now) = at(1010);
    assert_eq!(place.redeem(&text).await.unwrap_err(), Rule::Expiry);
}

#[tokio::test]
async fn what_is_revoked_ends_with_all_made_from_it() {
    let place = place(Arc::default());
    let text = place.owner.keep("note", b"").unwrap();
    let bobs = text.with(&Caveat::Count(100)).unwrap();
    let carols = bobs.with(&Caveat::ReadOnly).unwrap();
    let (mine, hers) = (place.redeem(&text).await.unwrap(), place.redeem(&carols).await.unwrap());
    let another = place.redeem(&place.owner.text(text.object()).unwrap()).await.unwrap();
    place.owner.revoke(&bobs).unwrap();
    assert!(hers.text().await.is_err());
    mine.erase().await.unwrap();
    place.owner.revoke(&text).unwrap();
    assert!(mine.erase().await.is_err());
    another.erase().await.unwrap();
    assert_eq!(place.redeem(&carols).await.unwrap_err(), Rule::Revoked);
    place.owner.forget(text.object()).unwrap();
    assert!(another.erase().await.is_err());
    assert_eq!(place.redeem(&text).await.unwrap_err(), Rule::Object);
}

#[tokio::test]
async fn a_former_key_is_taken_until_it_is_retired() {
    let place = place(Arc::default());
    let old = place.owner.keep("note", b"").unwrap();
    place.owner.rotate().unwrap();
    let new = place.owner.text(old.object()).unwrap();
    let held = place.redeem(&old).await.unwrap();
    place.owner.retire().unwrap();
    assert!(held.erase().await.is_err());
    assert_eq!(place.redeem(&old).await.unwrap_err(), Rule::Key);
    place.redeem(&new).await.unwrap().erase().await.unwrap();
}

#[tokio::test]
async fn the_owner_lists_what_is_live_and_ends_it() {
    let place = place(Arc::default());
    let text = place.owner.keep("note", b"").unwrap().with(&Caveat::ReadOnly).unwrap();
    let (one, two) = (place.redeem(&text).await.unwrap(), place.redeem(&text).await.unwrap());
    drop(one);
    let live = place.owner.live();
    assert_eq!((live.len(), live[0].caveats.as_slice()), (1, &["read-only".to_owned()][..]));
    place.owner.end(live[0].id);
    assert!(two.text().await.is_err() && place.owner.live().is_empty());
    place.redeem(&text).await.unwrap();
}

#[tokio::test]
async fn another_credential_is_asked_about() {
    let owner = Owner::builder(MemoryStore::default(), |_| Err(crate::Error::rejected("none")))
        .authenticator(|text| (text == "Bearer x").then(|| Cap::from(NoteClient::new(Paper(vec![])))))
        .open()
        .unwrap();
    assert!(owner.redeem("Bearer x").await.is_ok());
    assert!(owner.redeem("Bearer y").await.is_err());
}

/// Counts what the store has below a name.
fn rows(store: &MemoryStore, start: &str) -> usize {
    store.names(start).unwrap().len()
}

#[tokio::test]
async fn counters_of_texts_that_have_expired_are_forgotten_although_nobody_uses_these() {
    let store = Arc::new(MemoryStore::default());
    let place = place(store.clone());
    let counted =
        |secs| place.owner.keep("note", b"").unwrap().with(&Caveat::Until(at(secs)))?.with(&Caveat::Count(5));
    let mut most = 0;
    for secs in 0..2000 {
        *lock(&place.now) = at(1000 + secs);
        let text = counted(1010 + secs).unwrap();
        place.redeem(&text).await.unwrap().erase().await.unwrap();
        most = most.max(rows(&store, "count/"));
    }
    // Ten or so live at a time.
    assert!(most <= 256 + 11, "{most}");
}

#[tokio::test]
async fn revocations_of_texts_that_have_expired_are_forgotten() {
    let store = Arc::new(MemoryStore::default());
    let place = place(store.clone());
    let mut most = 0;
    for secs in 0..2000 {
        *lock(&place.now) = at(1000 + secs);
        let text = place.owner.keep("note", b"").unwrap().with(&Caveat::Until(at(1010 + secs))).unwrap();
        place.owner.revoke(&text).unwrap();
        assert_eq!(place.redeem(&text).await.unwrap_err(), Rule::Revoked);
        most = most.max(rows(&store, "revoked/"));
    }
    assert!(most <= 256 + 11, "{most}");
    // One that does not expire is kept.
    let text = place.owner.keep("note", b"").unwrap();
    place.owner.revoke(&text).unwrap();
    *lock(&place.now) = at(1_000_000);
    for secs in 0..600 {
        let text = text.with(&Caveat::Until(at(2_000_000 + secs))).unwrap();
        place.owner.revoke(&text).unwrap();
    }
    assert_eq!(place.redeem(&text).await.unwrap_err(), Rule::Revoked);
}

#[tokio::test]
async fn a_clock_that_was_ahead_makes_nothing_good_again() {
    let store = Arc::new(MemoryStore::default());
    let place = self::place(store.clone());
    let text = place.owner.keep("note", b"").unwrap();
    let gone = text.with(&Caveat::Until(at(2000))).unwrap();
    let counted = gone.with(&Caveat::Count(1)).unwrap();
    let note = place.redeem(&counted).await.unwrap();
    note.erase().await.unwrap();
    let revoked = gone.with(&Caveat::ReadOnly).unwrap();
    place.owner.revoke(&revoked).unwrap();
    *lock(&place.now) = at(3000);
    // Its program begins anew, and forgets both.
    let again = self::place(store.clone());
    *lock(&again.now) = at(3000);
    again.owner.revoke(&text.with(&Caveat::Until(at(4000))).unwrap()).unwrap();
    assert_eq!((rows(&store, "count/"), rows(&store, "ending/")), (0, 1));
    for place in [&place, &again] {
        *lock(&place.now) = at(1500);
        for text in [&revoked, &counted, &gone] {
            assert_eq!(place.redeem(text).await.unwrap_err(), Rule::Expiry);
        }
    }
    assert_eq!(note.erase().await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn whoever_adds_one_does_not_wait_for_all_that_is_kept() {
    let store = Arc::new(Asked::default());
    let (object, value) = ("0".repeat(32), [&u64::MAX.to_be_bytes()[..], &[0; 16]].concat());
    for number in 0..2000 {
        let place = format!("{number}/{}", "0".repeat(64));
        store.0.put(&format!("count/{object}/{place}"), &value).unwrap();
        store.0.put(&format!("result/{object}/{place}"), &value).unwrap();
    }
    let place = place_of(store.clone(), |_| Ok(NoteClient::new(Paper(vec![])).into()), |builder| builder);
    let text = place.owner.keep("note", b"").unwrap();
    for calls in 1..20 {
        let note = place.redeem(&text.with(&Caveat::Count(calls)).unwrap()).await.unwrap();
        let before = store.1.load(Relaxed);
        note.erase().await.unwrap();
        let asked = store.1.load(Relaxed) - before;
        assert!(asked < 300, "{asked}");
    }
    // What was kept of one object goes by a few writes.
    let before = store.1.load(Relaxed);
    place.owner.forget(&object).unwrap();
    let asked = store.1.load(Relaxed) - before;
    assert!(asked <= 5, "{asked}");
    assert_eq!((rows(&store.0, "count/"), rows(&store.0, "result/")), (19, 0));
}

#[tokio::test]
async fn an_owner_finds_its_objects_again() {
    let store = Arc::new(MemoryStore::default());
    let place = place(store.clone());
    let kept = ["a", "b"].map(|kind| place.owner.keep(kind, b"of\nit").unwrap().object().to_owned());
    place.owner.forget(&kept[1]).unwrap();
    let objects = self::place(store.clone()).owner.objects().unwrap();
    let expected = Kept { id: kept[0].clone(), kind: "a".to_owned(), data: b"of\nit".to_vec() };
    assert_eq!(objects, [expected]);
    store.put("object/0", b"no kind").unwrap();
    assert_eq!(place.owner.objects().unwrap_err().kind(), ErrorKind::Refused);
}
