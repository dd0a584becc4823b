//! Results that are kept for others.

use std::future::Future as _;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures_util::FutureExt as _;
use tokio::sync::Semaphore;

use super::documents::{DAY, Full, ORIGIN, key};
use super::*;
use crate::signed::{Delegation, Invocation, Link, Signer as _, Verifier};
use crate::sturdy::results as kept;
use crate::value::Value;

#[crate::interface(crate = crate)]
trait Work {
    async fn done(&self, about: String) -> Result<String, crate::Error>;
    async fn note(&self) -> NoteClient;
    async fn long(&self) -> String;
}

/// Work that is done when it may be.
struct Desk(Arc<Semaphore>);

impl Work for Desk {
    async fn done(&self, about: String) -> Result<String, crate::Error> {
        self.0.acquire().await.unwrap().forget();
        if about.is_empty() {
            return Err(crate::Error::rejected("about what?").with_name("TypeError"));
        }
        Ok(format!("done: {about}"))
    }

    async fn note(&self) -> NoteClient {
        NoteClient::new(Paper(Vec::new()))
    }

    async fn long(&self) -> String {
        "x".repeat(65_536)
    }
}

/// An owner of a desk, whose maker has the key 2 and whose third has the key 3.
struct Office {
    place: Place,
    may: Arc<Semaphore>,
    store: Arc<MemoryStore>,
    url: String,
}

impl Office {
    fn new(url: Option<String>, store: Arc<MemoryStore>) -> Self {
        Self::over(url, store.clone(), store)
    }

    /// An owner over a store that may fail.
    fn over(url: Option<String>, store: Arc<MemoryStore>, over: impl Store) -> Self {
        let verifier = Verifier::new(key(1).public_key(), ORIGIN, UNIX_EPOCH).unwrap();
        let may = Arc::new(Semaphore::new(0));
        let desk = may.clone();
        let restore = move |_: &Kept| Ok(WorkClient::new(Desk(desk.clone())).into());
        let place = place_of(over, restore, |builder| builder.documents(verifier, key(1)));
        let url = url.unwrap_or_else(|| {
            let id = place.owner.keep("desk", b"").unwrap().object().to_owned();
            place.owner.url(&id).unwrap()
        });
        Self { place, may, store, url }
    }

    fn now(&self) -> SystemTime {
        *lock(&self.place.now)
    }

    fn refused(&self) -> Refused {
        lock(&self.place.refused).pop().unwrap()
    }

    async fn issue(&self) -> Link {
        let new = Delegation::new(key(2).public_key(), self.now() + DAY);
        let new = new.actions(["done", "note", "long", "await", "redeem"]);
        new.issue(&self.url, &key(1), self.now()).await.unwrap()
    }

    /// Returns a call by the maker.
    async fn call(&self, link: &Link, method: &str, about: &str) -> String {
        let args: &[&str] = if method == "done" { &[about] } else { &[] };
        let new = Invocation::new(method, ORIGIN).args(&args).unwrap();
        new.sign(link, &key(2), self.now()).await.unwrap()
    }

    async fn delegate(&self, link: &Link, url: &str, from: u8, to: u8) -> Link {
        let new = Delegation::new(key(to).public_key(), self.now() + DAY).actions(["await"]).target(url);
        new.delegate(link, &key(from), self.now()).await.unwrap()
    }

    /// Keeps the result of a call, for the third.
    async fn keep(&self, method: &str, about: &str) -> Link {
        let link = self.issue().await;
        let call = self.call(&link, method, about).await;
        self.place.owner.keep_by(&call).await.unwrap();
        self.delegate(&link, &Invocation::result(&call).unwrap(), 2, 3).await
    }

    async fn get(&self, link: &Link, by: u8) -> Result<Value, crate::Error> {
        let new = Invocation::new("await", ORIGIN);
        let text = new.sign(link, &key(by), self.now()).await.unwrap();
        self.place.owner.invoke(&text).await
    }
}

impl Owner {
    async fn keep_by(&self, text: &str) -> Result<(), crate::Error> {
        Gatekeeper::keep(self, text).await
    }
}

#[tokio::test]
async fn a_third_has_the_result_of_a_call_whose_maker_has_gone() {
    let office = Office::new(None, Arc::default());
    let carols = office.keep("done", "a note").await;
    let (got, ()) = tokio::join!(office.get(&carols, 3), async { office.may.add_permits(1) });
    assert_eq!(got.unwrap().as_str(), Some("done: a note"));
    // As often as it is asked for, and for whom the third lets have it.
    let daves = office.delegate(&carols, carols.target(), 3, 4).await;
    assert_eq!(office.get(&daves, 4).await.unwrap().as_str(), Some("done: a note"));
    assert!(office.place.owner.live().is_empty());
}

#[tokio::test]
async fn a_promise_travels_as_a_text() {
    let office = Office::new(None, Arc::default());
    let gatekeeper = GatekeeperClient::new(office.place.owner.clone());
    let bobs: Signed<WorkClient> = Signed::new(office.issue().await);
    let call = Invocation::new("done", ORIGIN).args(&["it"]).unwrap();
    let url = bobs.keep(call, &gatekeeper, &key(2), office.now()).await.unwrap();
    let text = office.delegate(bobs.link(), &url, 2, 3).await.to_string();

    let carols: Signed<String> = text.parse().unwrap();
    office.may.add_permits(1);
    assert_eq!(carols.result(&gatekeeper, &key(3), office.now()).await.unwrap(), "done: it");
    let other: Signed<u32> = text.parse().unwrap();
    let unfit = other.result(&gatekeeper, &key(3), office.now()).await.unwrap_err();
    assert_eq!(unfit.kind(), ErrorKind::Decode);
    carols.result(&gatekeeper, &key(4), office.now()).await.unwrap_err();
}

#[tokio::test]
async fn what_a_call_has_failed_with_is_kept() {
    let office = Office::new(None, Arc::default());
    office.may.add_permits(1);
    let failed = office.keep("done", "").await;
    let error = office.get(&failed, 3).await.unwrap_err();
    assert_eq!((error.message(), error.name()), ("about what?", "TypeError"));
    for (method, why) in [("note", "references"), ("long", "bytes")] {
        let unkept = office.keep(method, "").await;
        let error = office.get(&unkept, 3).await.unwrap_err();
        assert!(error.message().contains(why), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_is_had_by_those_alone_to_whom_its_maker_delegates_it() {
    let office = Office::new(None, Arc::default());
    let link = office.issue().await;
    let call = office.call(&link, "done", "a secret").await;
    let url = Invocation::result(&call).unwrap();
    office.may.add_permits(1);
    office.place.owner.keep_by(&call).await.unwrap();
    // Who may await what others make names it by the key of its own.
    let new = Delegation::new(key(3).public_key(), office.now() + DAY).actions(["await", "done"]);
    let carols = new.delegate(&link, &key(2), office.now()).await.unwrap();
    let daves = office.delegate(&carols, &url, 3, 4).await;
    assert_eq!(office.get(&daves, 4).await.unwrap_err().kind(), ErrorKind::Timeout);
    // The maker itself needs no link for it.
    let own = Invocation::new("await", ORIGIN).target(&url);
    let own = own.sign(&link, &key(2), office.now()).await.unwrap();
    office.place.owner.invoke(&own).await.unwrap();
    let not_own = Invocation::new("await", ORIGIN).target(&url);
    let not_own = not_own.sign(&carols, &key(3), office.now()).await.unwrap();
    assert_eq!(office.place.owner.invoke(&not_own).await.unwrap_err().kind(), ErrorKind::Timeout);
    // By the action that it allows alone.
    let mine = office.delegate(&link, &url, 2, 3).await;
    Invocation::new("redeem", ORIGIN).sign(&mine, &key(3), office.now()).await.unwrap_err();
    office.place.owner.keep_by(&own).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_result_is_waited_for_before_its_call_has_come() {
    let office = Office::new(None, Arc::default());
    let link = office.issue().await;
    let call = office.call(&link, "done", "it").await;
    let carols = office.delegate(&link, &Invocation::result(&call).unwrap(), 2, 3).await;
    let late = tokio::time::Instant::now();
    assert_eq!(office.get(&carols, 3).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(late.elapsed().as_secs(), 30);
    let come = async {
        tokio::time::sleep(Duration::from_secs(29)).await;
        office.place.owner.keep_by(&call).await.unwrap();
        // As long as the call takes.
        tokio::time::sleep(Duration::from_secs(60)).await;
        office.may.add_permits(1);
    };
    let (got, ()) = tokio::join!(office.get(&carols, 3), come);
    assert_eq!(got.unwrap().as_str(), Some("done: it"));
}

#[tokio::test]
async fn only_so_many_wait_and_whoever_is_revoked_no_longer() {
    let office = Office::new(None, Arc::default());
    let link = office.issue().await;
    let call = office.call(&link, "done", "it").await;
    office.place.owner.keep_by(&call).await.unwrap();
    let url = Invocation::result(&call).unwrap();
    let mut carols = Vec::new();
    for _ in 0..4 {
        carols.push(office.delegate(&link, &url, 2, 3).await);
    }
    let other = office.delegate(&link, &url, 2, 4).await;
    let all = async {
        let waits = (0..64).map(|number| office.get(&carols[number % 4], 3));
        futures_util::future::join_all(waits).await
    };
    let then = async {
        while office.place.owner.live().len() < 65 {
            tokio::task::yield_now().await;
        }
        assert_eq!(office.get(&other, 4).await.unwrap_err().kind(), ErrorKind::Refused);
        assert_eq!(office.refused().0, Rule::Quota);
        // Those with more links above them have room of their own.
        let below = office.delegate(&other, other.target(), 4, 5).await;
        assert!(office.get(&below, 5).now_or_never().is_none());
        for link in &carols {
            office.place.owner.revoke_link(link).unwrap();
        }
    };
    let (all, ()) = tokio::join!(all, then);
    assert!(all.iter().all(|got| got.as_ref().unwrap_err().kind() == ErrorKind::Refused));
    // They have left room.
    office.may.add_permits(1);
    office.get(&other, 4).await.unwrap();
}

#[tokio::test]
async fn who_waits_by_one_link_leaves_room_for_others() {
    let office = Office::new(None, Arc::default());
    let link = office.issue().await;
    let call = office.call(&link, "done", "it").await;
    office.place.owner.keep_by(&call).await.unwrap();
    let url = Invocation::result(&call).unwrap();
    let carols = office.delegate(&link, &url, 2, 3).await;
    let other = office.delegate(&link, &url, 2, 4).await;
    let all = async {
        let waits = (0..17).map(|_| office.get(&carols, 3));
        futures_util::future::join_all(waits).await
    };
    let then = async {
        while office.place.owner.live().len() < 17 {
            tokio::task::yield_now().await;
        }
        assert_eq!(office.refused().0, Rule::Quota);
        assert!(office.get(&other, 4).now_or_never().is_none());
        office.may.add_permits(1);
    };
    let (all, ()) = tokio::join!(all, then);
    assert_eq!(all.iter().filter(|got| got.is_ok()).count(), 16);
}

#[tokio::test]
async fn only_so_many_results_are_kept_until_they_expire() {
    let office = Office::new(None, Arc::default());
    office.may.add_permits(1000);
    let first = office.issue().await;
    let mut all = 0;
    let mut last = None;
    for holder in 0..5 {
        let time = if holder < 4 { DAY / 2 } else { DAY };
        let new = Delegation::new(key(2).public_key(), office.now() + time).actions(["done", "await"]);
        let link = new.delegate(&first, &key(2), office.now()).await.unwrap();
        // The last finds what its siblings have left, which is nothing.
        let most = if holder < 4 { 64 } else { 0 };
        for number in 0..=most {
            let call = office.call(&link, "done", "it").await;
            let kept = office.place.owner.keep_by(&call).await;
            assert_eq!(kept.is_ok(), number < most, "{holder} {number}");
            all += usize::from(kept.is_ok());
        }
        assert_eq!(office.refused().0, Rule::Quota);
        last = Some(link);
    }
    // Above and below there is room of their own, and what was made from another link has its own.
    let call = office.call(&first, "done", "it").await;
    office.place.owner.keep_by(&call).await.unwrap();
    office.keep("done", "that").await;
    assert_eq!(office.store.names("result/").unwrap().len(), all + 2);
    while !office.place.owner.live().is_empty() {
        tokio::task::yield_now().await;
    }
    // Those that have expired make room.
    *lock(&office.place.now) += DAY / 2;
    let call = office.call(&last.unwrap(), "done", "it").await;
    office.place.owner.keep_by(&call).await.unwrap();
    assert_eq!(office.store.names("result/").unwrap().len(), 3);
    let object = office.url.rsplit('/').next().unwrap();
    office.place.owner.forget(object).unwrap();
    assert!(office.store.names("result/").unwrap().is_empty());
}

#[tokio::test]
async fn results_that_have_expired_go_although_nobody_calls_by_their_links() {
    let office = Office::new(None, Arc::default());
    office.may.add_permits(1000);
    for day in 0..3 {
        for _ in 0..128 {
            office.keep("done", "it").await;
            while !office.place.owner.live().is_empty() {
                tokio::task::yield_now().await;
            }
        }
        assert!(office.store.names("result/").unwrap().len() <= 256, "{day}");
        *lock(&office.place.now) += DAY;
    }
}

#[tokio::test]
async fn a_result_survives_a_restart_and_a_call_that_runs_does_not() {
    let office = Office::new(None, Arc::default());
    office.may.add_permits(1);
    let (done, runs) = (office.keep("done", "this").await, office.keep("done", "that").await);
    office.get(&done, 3).await.unwrap();
    let office = Office::new(Some(office.url.clone()), office.store.clone());
    assert_eq!(office.get(&done, 3).await.unwrap().as_str(), Some("done: this"));
    let error = office.get(&runs, 3).await.unwrap_err();
    assert_eq!(error.public_message(), "interrupted");
    assert_eq!(office.refused(), (Rule::Interrupted, None));
}

#[tokio::test]
async fn a_caveat_that_lists_methods_leaves_results_to_await() {
    let office = Office::new(None, Arc::default());
    office.may.add_permits(1);
    let new = Delegation::new(key(2).public_key(), office.now() + DAY).actions(["done", "await"]);
    let new = new.caveat(signed::Caveat::Methods(vec!["done".to_owned()]));
    let link = new.issue(&office.url, &key(1), office.now()).await.unwrap();
    let call = office.call(&link, "done", "it").await;
    office.place.owner.keep_by(&call).await.unwrap();
    let url = Invocation::result(&call).unwrap();
    let carols = office.delegate(&link, &url, 2, 3).await;
    assert_eq!(office.get(&carols, 3).await.unwrap().as_str(), Some("done: it"));
    // Another action on what is named there would read it.
    let both =
        Delegation::new(key(3).public_key(), office.now() + DAY).actions(["await", "done"]).target(url);
    both.delegate(&link, &key(2), office.now()).await.unwrap_err();
}

#[tokio::test]
async fn a_call_is_kept_for_those_who_may_be_given_it() {
    let office = Office::new(None, Arc::default());
    let new = Delegation::new(key(2).public_key(), office.now() + DAY).actions(["done"]);
    let link = new.issue(&office.url, &key(1), office.now()).await.unwrap();
    let call = office.call(&link, "done", "it").await;
    office.place.owner.keep_by(&call).await.unwrap_err();
    assert_eq!(office.refused(), (Rule::Document, Some(signed::Rule::Action)));
    assert!(office.store.names("result/").unwrap().is_empty());
}

/// A place of its own for a result of a call by the holder of a link.
fn place_for(office: &Office, name: u8) -> kept::Place {
    kept::Place::new(office.url.rsplit('/').next().unwrap(), &[], &[name; 32])
}

#[tokio::test]
async fn no_result_is_kept_of_an_object_that_was_forgotten_meanwhile() {
    let office = Office::new(None, Arc::default());
    let (owner, place) = (&office.place.owner, place_for(&office, 1));
    let object = office.url.rsplit('/').next().unwrap();
    let begin = || owner.results().begin(&place, office.now() + DAY, || owner.kept(object).map(drop));
    begin().unwrap();
    owner.forget(object).unwrap();
    assert_eq!(begin().unwrap_err().rule(), Rule::Object);
    owner.results().end(&place, Ok(Value::from("late"))).unwrap();
    assert!(office.store.names("result/").unwrap().is_empty());
}

#[tokio::test]
async fn a_result_that_could_not_be_kept_is_no_interrupted_one() {
    let store = Arc::new(Full::default());
    let office = Office::over(None, Arc::default(), store.clone());
    let lost = office.keep("done", "it").await;
    let get = office.get(&lost, 3);
    let full = async {
        while office.place.owner.live().len() < 2 {
            tokio::task::yield_now().await;
        }
        store.1.store(true, Relaxed);
        office.may.add_permits(1);
    };
    let (got, ()) = tokio::join!(get, full);
    // Who waits is told one word; the owner is told twice, by the call and by who has asked.
    let error = got.unwrap_err();
    assert_eq!(error.public_message(), "unavailable");
    assert!(error.message().contains("Owner: full"), "{error}");
    assert_eq!([office.refused(), office.refused()], [(Rule::Owner, None); 2]);
    store.1.store(false, Relaxed);
    assert_eq!(office.get(&lost, 3).await.unwrap_err().kind(), ErrorKind::Refused);
    // As long as there could have been one.
    *lock(&office.place.now) += DAY;
    office.keep("done", "that").await;
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[tokio::test]
async fn the_end_of_a_call_wakes_those_alone_who_wait_for_its_result() {
    let office = Office::new(None, Arc::default());
    let owner = &office.place.owner;
    let places = [1, 2].map(|name| place_for(&office, name));
    let mut waits = Vec::new();
    for place in &places {
        owner.results().begin(place, office.now() + DAY, || Ok(())).unwrap();
        let (woken, mut wait) = (Arc::new(Woken::default()), Box::pin(owner.results().get(place)));
        let waker = woken.clone().into();
        assert!(wait.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        waits.push((woken, wait));
    }
    owner.results().end(&places[0], Ok(Value::from("one"))).unwrap();
    let woken: Vec<_> = waits.iter().map(|(woken, _)| woken.0.load(Relaxed)).collect();
    assert_eq!(woken, [1, 0]);
    let (_, one) = waits.remove(0);
    assert_eq!(one.await.unwrap().unwrap().as_str(), Some("one"));
}

/// Returns the step of a link that the owner itself has issued.
fn link_of(id: u32, expires: SystemTime) -> signed::Step {
    signed::Step {
        name: signed::LinkName { delegator: "a".to_owned(), id: id.to_string() },
        controller: "b".to_owned(),
        target: "c".to_owned(),
        caveats: Vec::new(),
        expires,
    }
}

#[tokio::test]
async fn results_of_all_objects_go_when_they_have_expired() {
    let office = Office::new(None, Arc::default());
    let owner = &office.place.owner;
    let other = owner.keep("desk", b"").unwrap().object().to_owned();
    let objects = [office.url.rsplit('/').next().unwrap(), &other];
    let mut most = 0;
    for call in 0..2000_u32 {
        *lock(&office.place.now) = at(1000 + u64::from(call));
        let until = at(1010 + u64::from(call));
        let place = kept::Place::new(objects[call as usize % 2], &[link_of(call, until)], &[0; 32]);
        owner.results().begin(&place, until, || Ok(())).unwrap();
        owner.results().end(&place, Ok(Value::from("it"))).unwrap();
        most = most.max(rows(&office.store, "result/"));
    }
    // Ten or so live at a time.
    assert!(most <= 256 + 11, "{most}");
    // What is added of another kind is enough for them to go.
    *lock(&office.place.now) = at(5000);
    let text = owner.keep("desk", b"").unwrap();
    for calls in 0..257 {
        let text = text.with(&Caveat::Until(at(6000))).unwrap().with(&Caveat::Count(calls)).unwrap();
        owner.revoke(&text).unwrap();
    }
    assert_eq!(rows(&office.store, "result/"), 0);
}

#[tokio::test]
async fn a_call_whose_object_is_forgotten_while_it_is_taken_leaves_no_result() {
    // The clock is asked several times, and each time could be the one.
    let mut asked = 0_u32;
    loop {
        let office = Office::new(None, Arc::default());
        let object = office.url.rsplit('/').next().unwrap().to_owned();
        let link = office.issue().await;
        let call = office.call(&link, "done", "it").await;
        let forgets = office.place.owner.clone();
        let mut left = asked;
        *lock(&office.place.asked) = Some(Box::new(move || {
            if left == 0 {
                forgets.forget(&object).unwrap();
            }
            left = left.checked_sub(1)?;
            Some(())
        }));
        let kept = office.place.owner.keep_by(&call).await;
        if lock(&office.place.asked).take().is_some() {
            kept.unwrap();
            break;
        }
        assert_eq!(rows(&office.store, "result/"), 0, "{asked}");
        asked += 1;
    }
    assert!(asked > 2, "{asked}");
}

#[tokio::test]
async fn an_owner_has_settled_when_no_kept_call_runs() {
    let office = Office::new(None, Arc::default());
    let owner = &office.place.owner;
    owner.settled().now_or_never().unwrap();
    office.keep("done", "this").await;
    office.keep("done", "that").await;
    let (woken, mut settled) = (Arc::new(Woken::default()), Box::pin(owner.settled()));
    let waker = woken.clone().into();
    assert!(settled.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    office.may.add_permits(1);
    while owner.live().len() > 1 {
        tokio::task::yield_now().await;
    }
    assert!(settled.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    office.may.add_permits(1);
    settled.await;
    assert_eq!(rows(&office.store, "result/"), 2);
    // One whose outcome is lost has ended as well.
    let store = Arc::new(Full::default());
    let office = Office::over(None, Arc::default(), store.clone());
    office.keep("done", "it").await;
    store.1.store(true, Relaxed);
    office.may.add_permits(1);
    office.place.owner.settled().await;
    assert_eq!(office.refused(), (Rule::Owner, None));
}
