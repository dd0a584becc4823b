//! References that are held by texts, and their cost to the owner.

use super::*;
use crate::signed::{LinkName, Step};
use crate::sturdy::limit::{Limit, Names};

/// Returns an owner, and how often it has made an object again.
fn counting() -> (Place, Arc<AtomicUsize>) {
    let restored = Arc::new(AtomicUsize::new(0));
    let counts = restored.clone();
    let restore = move |_: &Kept| {
        counts.fetch_add(1, Relaxed);
        Ok(NoteClient::new(Paper(vec![])).into())
    };
    (place_of(MemoryStore::default(), restore, |builder| builder), restored)
}

#[tokio::test]
async fn references_are_bounded_for_each_text_that_was_given() {
    let (place, restored) = counting();
    let text = place.owner.keep("note", b"").unwrap();
    let narrow = |count| text.with(&Caveat::Count(count)).unwrap();
    let mut held = Vec::new();
    // Texts that differ in what a holder has put in share the room.
    for count in 1..=1024 {
        held.push(place.redeem(&narrow(count)).await.unwrap());
    }
    assert_eq!(place.redeem(&narrow(7)).await.unwrap_err(), Rule::Quota);
    assert_eq!(restored.load(Relaxed), 1024);
    // Who holds the wider text or another one does not notice, nor who narrows one further.
    let further = narrow(7).with(&Caveat::ReadOnly).unwrap();
    for other in [text.clone(), further, place.owner.text(text.object()).unwrap()] {
        place.redeem(&other).await.unwrap().text().await.unwrap();
    }
    // There is room for each that is given back or ended.
    held.pop();
    held.push(place.redeem(&narrow(7)).await.unwrap());
    place.redeem(&narrow(7)).await.unwrap_err();
    place.owner.end(place.owner.live()[0].id);
    held.push(place.redeem(&narrow(7)).await.unwrap());
    place.redeem(&narrow(7)).await.unwrap_err();
    place.owner.revoke(&text).unwrap();
    assert!(place.owner.live().is_empty());
    drop(held);
    // What has ended is counted once: there is as much room as before, and no more.
    let again = place.owner.text(text.object()).unwrap();
    let mut held = Vec::new();
    for _ in 0..1024 {
        held.push(place.redeem(&again).await.unwrap());
    }
    assert_eq!(place.redeem(&again).await.unwrap_err(), Rule::Quota);
}

#[tokio::test]
async fn a_text_that_is_revoked_restores_nothing() {
    let (place, restored) = counting();
    let text = place.owner.keep("note", b"").unwrap();
    place.owner.revoke(&text).unwrap();
    for text in [text.clone(), text.with(&Caveat::ReadOnly).unwrap()] {
        assert_eq!(place.redeem(&text).await.unwrap_err(), Rule::Revoked);
    }
    assert_eq!(restored.load(Relaxed), 0);
}

#[tokio::test]
async fn a_rate_begins_anew_when_a_clock_that_was_ahead_is_back() {
    let place = place(Arc::default());
    let rate = Caveat::Rate { calls: 1, period: Duration::from_secs(60) };
    let note = place.redeem(&place.owner.keep("note", b"").unwrap().with(&rate).unwrap()).await.unwrap();
    *lock(&place.now) = at(1000 + 365 * 86_400);
    note.erase().await.unwrap();
    note.erase().await.unwrap_err();
    *lock(&place.now) = at(1000);
    note.erase().await.unwrap();
    note.erase().await.unwrap_err();
    *lock(&place.now) = at(1060);
    note.erase().await.unwrap();
}

/// The names that holders choose are most of what a reference costs.
#[test]
fn names_are_kept_as_a_text_has_them_and_those_of_links_with_these() {
    let names = vec!["a".to_owned(); 1900];
    let limit = Limit::of_text(Caveat::Methods(names.clone()), mac::Tag::default());
    let Limit::Methods(Names::Written(written)) = &limit else { panic!("they are copied") };
    assert!(written.capacity() < 2 * names.len());
    assert_eq!(limit.written(&[]), Caveat::Methods(names.clone()).to_string());

    let step = |names: &[&str]| Step {
        name: LinkName { delegator: "did:key:z".to_owned(), id: "urn:x".to_owned() },
        controller: "did:key:z".to_owned(),
        target: "https://node.example/x".to_owned(),
        caveats: vec![
            signed::Caveat::ReadOnly,
            signed::Caveat::Methods(names.iter().map(|name| (*name).to_owned()).collect()),
        ],
        expires: at(2000),
    };
    let links = [step(&["say"]), step(&["a,b", "c"])];
    let limit = Limit::of_link(&links, 1, 1).unwrap();
    let Limit::Methods(names @ Names::OfLink(1, 1)) = &limit else { panic!("they are copied") };
    assert_eq!(limit.written(&links), "methods=a,b,c");
    let passed = ["a,b", "c", "a", "b", "say", ""].map(|name| names.has(&links, name));
    assert_eq!(passed, [true, true, false, false, false, false]);
}

/// A store that counts its writes.
#[derive(Default)]
struct Writes(MemoryStore, AtomicUsize);

impl Store for Writes {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, crate::Error> {
        self.0.get(name)
    }

    fn write(&self, changes: &[Change<'_>]) -> Result<(), crate::Error> {
        self.1.fetch_add(1, Relaxed);
        self.0.write(changes)
    }

    fn names(&self, start: &str) -> Result<Vec<String>, crate::Error> {
        self.0.names(start)
    }
}

#[tokio::test]
async fn all_counters_of_a_call_are_written_at_once() {
    let store = Arc::new(Writes::default());
    let restore = |_: &Kept| Ok(NoteClient::new(Paper(vec![])).into());
    let place = place_of(store.clone(), restore, |builder| builder);
    let mut text = place.owner.keep("note", b"").unwrap();
    for _ in 0..16 {
        text = text.with(&Caveat::Count(9)).unwrap();
    }
    let note = place.redeem(&text).await.unwrap();
    for _ in 0..2 {
        let before = store.1.load(Relaxed);
        note.erase().await.unwrap();
        assert_eq!(store.1.load(Relaxed), before + 1);
    }
    assert_eq!(rows(&store.0, "count/"), 16);
}

#[tokio::test]
async fn a_call_that_one_counter_refuses_is_counted_by_none() {
    let place = place(Arc::default());
    let text = place.owner.keep("note", b"").unwrap();
    let rate = Caveat::Rate { calls: 1, period: Duration::from_secs(60) };
    let both = text.with(&rate).and_then(|text| text.with(&Caveat::Count(2))).unwrap();
    let note = place.redeem(&both).await.unwrap();
    note.erase().await.unwrap();
    note.erase().await.unwrap_err();
    *lock(&place.now) = at(1060);
    note.erase().await.unwrap();
    *lock(&place.now) = at(1120);
    note.erase().await.unwrap_err();
}

#[tokio::test]
async fn counters_for_which_there_is_no_room_together_are_not_made() {
    let store = Arc::new(MemoryStore::default());
    let place = place(store.clone());
    let text = place.owner.keep("note", b"").unwrap();
    for count in 1..=1023 {
        place.redeem(&text.with(&Caveat::Count(count)).unwrap()).await.unwrap().erase().await.unwrap();
    }
    let two = text.with(&Caveat::Count(2000)).and_then(|text| text.with(&Caveat::Count(2000))).unwrap();
    place.redeem(&two).await.unwrap().erase().await.unwrap_err();
    assert_eq!(rows(&store, "count/"), 1023);
    let one = text.with(&Caveat::Count(2000)).unwrap();
    place.redeem(&one).await.unwrap().erase().await.unwrap();
}
