//! Signed references and sturdy texts over lines that are cut.

use std::sync::atomic::AtomicBool;

use super::documents::{DAY, ORIGIN, key};
use super::*;
use crate::signed::{Delegation, Invocation, Link, PublicKey, SecretKey, Signer, Verifier};
use crate::testing::{Crossing, Cutter, Line};
use crate::{Connection, Error, Fate, Node};

#[crate::interface(crate = crate)]
trait Work {
    async fn done(&self, about: String) -> Result<String, Error>;
    async fn rest(&self);
}

/// Work that is done when it may be.
struct Desk(Arc<tokio::sync::Semaphore>);

impl Work for Desk {
    async fn done(&self, about: String) -> Result<String, Error> {
        self.0.acquire().await.unwrap().forget();
        if about == "refused" { Err(Error::rejected(about)) } else { Ok(about) }
    }

    async fn rest(&self) {}
}

/// An owner of a desk, which may be restarted.
struct Office {
    place: Place,
    may: Arc<tokio::sync::Semaphore>,
    store: Arc<MemoryStore>,
    /// `true` if the restorer fails.
    fails: Arc<Mutex<Option<Fault>>>,
    url: String,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Error,
    Panic,
    BrokenPromise,
}

impl Office {
    fn new(former: Option<&Office>) -> Self {
        let store = former.map(|former| former.store.clone()).unwrap_or_default();
        let verifier = Verifier::new(key(1).public_key(), ORIGIN, UNIX_EPOCH).unwrap();
        let may = Arc::new(tokio::sync::Semaphore::new(0));
        let fails = Arc::<Mutex<Option<Fault>>>::default();
        let (desk, faults) = (may.clone(), fails.clone());
        let restore = move |_: &Kept| match *lock(&faults) {
            Some(Fault::Error) => Err(Error::rejected("a secret of the owner's")),
            Some(Fault::Panic) => panic!("a secret of the owner's"),
            Some(Fault::BrokenPromise) => {
                let (work, resolver) = crate::promise::<WorkClient>();
                tokio::spawn(async move { resolver.reject(Error::rejected("a secret of the owner's")) });
                Ok(work.into())
            }
            None => Ok(WorkClient::new(Desk(desk.clone())).into()),
        };
        let place = place_of(store.clone(), restore, |builder| builder.documents(verifier, key(1)));
        let url = former.map(|former| former.url.clone()).unwrap_or_else(|| {
            let id = place.owner.keep("desk", b"").unwrap().object().to_owned();
            place.owner.url(&id).unwrap()
        });
        Self { place, may, store, fails, url }
    }

    /// Returns a link for the key 2.
    async fn linked(&self, actions: &[&str]) -> Signed<WorkClient> {
        let new = Delegation::new(key(2).public_key(), at(1000) + DAY).actions(actions.iter().copied());
        Signed::new(new.issue(&self.url, &key(1), at(1000)).await.unwrap())
    }

    /// Keeps the result of a call by the key 2, for the key 3.
    async fn kept(&self, gatekeeper: &GatekeeperClient, about: &str) -> Signed<String> {
        let link = self.linked(&["done", "await"]).await;
        let call = Invocation::new("done", ORIGIN).args(&[about]).unwrap();
        let url = link.keep(call, gatekeeper, &key(2), at(1000)).await.unwrap();
        for_carol(link.link(), url).await
    }

    fn refused(&self) -> Vec<Rule> {
        lock(&self.place.refused).drain(..).map(|refused| refused.0).collect()
    }
}

async fn for_carol(link: &Link, url: String) -> Signed<String> {
    let new = Delegation::new(key(3).public_key(), at(1000) + DAY).actions(["await"]).target(url);
    Signed::new(new.delegate(link, &key(2), at(1000)).await.unwrap())
}

/// A durable gatekeeper.
struct Door {
    gatekeeper: GatekeeperClient,
    /// Of the lines, in their order.
    cutters: Arc<Mutex<Vec<Cutter>>>,
}

impl Door {
    /// The first line is to the first owner, and so on; each after the last is to the last. `cuts` says upon which frame on its way a line
    /// is cut.
    async fn new(owners: &[&Office], cuts: impl Fn(&Crossing) -> bool + Send + Sync + 'static) -> Self {
        let owners: Vec<Owner> = owners.iter().map(|office| office.place.owner.clone()).collect();
        let cutters = Arc::<Mutex<Vec<Cutter>>>::default();
        let (all, cuts) = (cutters.clone(), Arc::new(cuts));
        let gatekeeper = crate::reconnecting(move || {
            let number = lock(&all).len();
            let (witnessing, cuts) = (all.clone(), cuts.clone());
            let line = Line::new().witness(move |frame| {
                if cuts(&frame) {
                    lock(&witnessing)[number].cut();
                }
            });
            let (client, server) = line.ends();
            lock(&all).push(client.cutter());
            let node = Node::new(GatekeeperClient::new(owners[number.min(owners.len() - 1)].clone()));
            async move {
                node.serve(server).await?;
                crate::connect_over::<Connection>(client).await
            }
        });
        Self { gatekeeper: gatekeeper.await.unwrap(), cutters }
    }

    async fn open(owner: &Office) -> Self {
        Self::new(&[owner], |_| false).await
    }

    /// Cuts the present line, and waits for the next one.
    async fn cut(&self) {
        let lines = self.lines();
        lock(&self.cutters).last().unwrap().clone().cut();
        while self.gatekeeper.challenge("0123456789abcdef").await.is_err() || self.lines() == lines {}
    }

    fn lines(&self) -> usize {
        lock(&self.cutters).len()
    }
}

fn code(error: &Error) -> String {
    error.property("code").unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_reference_for_an_invocation_ends_with_its_connection() {
    let office = Office::new(None);
    let door = Door::open(&office).await;
    let signed = office.linked(&["redeem", "rest"]).await;
    let work = signed.redeem(&door.gatekeeper, &key(2), at(1000)).await.unwrap();
    work.rest().await.unwrap();
    door.cut().await;
    for _ in 0..2 {
        let error = work.rest().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
    }
    // Nothing was sent again.
    assert_eq!(office.refused(), []);
    let work = signed.redeem(&door.gatekeeper, &key(2), at(1000)).await.unwrap();
    work.rest().await.unwrap();
}

/// Returns `true` once for a frame to the server with this in it.
fn first(with: &'static str, counted: Arc<AtomicUsize>) -> impl Fn(&Crossing) -> bool {
    move |frame| &*frame.to == "server" && frame.frame.contains(with) && counted.fetch_add(1, Relaxed) == 0
}

#[tokio::test(start_paused = true)]
async fn an_invocation_is_not_sent_twice() {
    let office = Office::new(None);
    let sent = Arc::<AtomicUsize>::default();
    let door = Door::new(&[&office], first("capabilityAction", sent.clone())).await;
    let signed = office.linked(&["redeem"]).await;
    let error = signed.redeem(&door.gatekeeper, &key(2), at(1000)).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Disconnected, Fate::MayHaveRun));
    door.gatekeeper.challenge("0123456789abcdef").await.unwrap();
    assert_eq!((sent.load(Relaxed), door.lines(), office.refused()), (1, 2, vec![]));
}

/// A signer before whom the line is cut.
struct Slow<'a> {
    door: &'a Door,
    key: SecretKey,
    signed: AtomicBool,
}

impl Signer for Slow<'_> {
    fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], Error> {
        if !self.signed.swap(true, Relaxed) {
            self.door.cut().await;
        }
        self.key.sign(message).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_nonce_is_for_the_owner_who_has_given_it() {
    let former = Office::new(None);
    let office = Office::new(Some(&former));
    let door = Door::new(&[&former, &office], |_| false).await;
    let slow = Slow { door: &door, key: key(2), signed: AtomicBool::new(false) };
    let signed = office.linked(&["redeem", "rest"]).await;
    let work = signed.redeem(&door.gatekeeper, &slow, at(1000)).await.unwrap();
    work.rest().await.unwrap();
    assert_eq!((former.refused(), office.refused(), door.lines()), (vec![], vec![], 2));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_result_asks_again_on_the_next_connection() {
    let office = Office::new(None);
    let sent = Arc::<AtomicUsize>::default();
    let door = Door::new(&[&office], first(r#"capabilityAction\":\"await"#, sent.clone())).await;
    let result = office.kept(&door.gatekeeper, "it").await;
    office.may.add_permits(1);
    assert_eq!(result.result(&door.gatekeeper, &key(3), at(1000)).await.unwrap(), "it");
    assert_eq!((sent.load(Relaxed), office.refused()), (2, vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_comes_of_a_result_is_told_apart() {
    let former = Office::new(None);
    let door = Door::open(&former).await;
    let runs = former.kept(&door.gatekeeper, "long").await;
    let office = Office::new(Some(&former));
    let door = Door::open(&office).await;
    office.may.add_permits(1);
    let own = office.kept(&door.gatekeeper, "refused").await;
    let result = async |of: &Signed<String>, by| {
        let error = of.result(&door.gatekeeper, &key(by), at(1000)).await.unwrap_err();
        assert_eq!(error.fate(), Fate::Answered);
        (error.kind(), code(&error), error.message().to_owned())
    };
    let none = for_carol(office.linked(&["await"]).await.link(), format!("{}/none", office.url)).await;
    let late = result(&none, 3).await;
    assert_eq!((late.0, &*late.1), (ErrorKind::Timeout, "ENORESULT"));
    let interrupted = result(&runs, 3).await;
    assert_eq!(interrupted, (ErrorKind::Refused, "EINTERRUPTED".to_owned(), "interrupted".to_owned()));
    assert_eq!(result(&own, 3).await, (ErrorKind::Rejected, String::new(), "refused".to_owned()));
    // The link is Carol's no longer.
    office.place.owner.revoke_link(own.link()).unwrap();
    let refused = (ErrorKind::Refused, "EREFUSED".to_owned(), "refused".to_owned());
    assert_eq!(result(&own, 3).await, refused);
}

#[tokio::test(start_paused = true)]
async fn a_durable_reference_outlives_a_failure_of_the_restorer() {
    let unavailable = Some(("unavailable", "EUNAVAILABLE".to_owned()));
    for fault in [Fault::Error, Fault::Panic, Fault::BrokenPromise] {
        let office = Office::new(None);
        let door = Door::open(&office).await;
        let text = office.place.owner.keep("desk", b"").unwrap();
        let work = WorkClient::from_cap(text.redeem(&door.gatekeeper).await.unwrap());
        work.rest().await.unwrap();
        *lock(&office.fails) = Some(fault);
        door.cut().await;
        let error = work.rest().await.unwrap_err();
        assert_eq!((error.fate(), error.message()), (Fate::NotSent, "unavailable"), "{fault:?}");
        let error = text.redeem(&door.gatekeeper).await.unwrap_err();
        assert_eq!(error.as_error().map(|error| (error.message(), code(error))), unavailable, "{fault:?}");
        assert_eq!(office.refused(), [Rule::Owner; 2], "{fault:?}");
        *lock(&office.fails) = None;
        work.rest().await.unwrap();
        // A text that is refused is given up.
        office.place.owner.revoke(&text).unwrap();
        door.cut().await;
        for _ in 0..2 {
            assert_eq!(work.rest().await.unwrap_err().message(), "refused");
        }
        assert_eq!(office.refused(), [Rule::Revoked]);
    }
}

#[tokio::test]
async fn a_call_that_nobody_could_await_is_not_signed() {
    let office = Office::new(None);
    let door = Door::open(&office).await;
    let link = office.linked(&["done"]).await;
    let call = Invocation::new("done", ORIGIN).args(&["it"]).unwrap();
    let error = link.keep(call, &door.gatekeeper, &key(2), at(1000)).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().downcast_ref::<signed::Refusal>();
    assert_eq!(source.unwrap().rule(), signed::Rule::Action);
    assert_eq!(office.refused(), []);
}
