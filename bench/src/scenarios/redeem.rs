//! What references cost that outlive connections: sturdy texts, and signed links. This library alone has them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capnode::Node;
use capnode::signed::{Delegation, Invocation, Link, SecretKey, Signer as _, Verifier};
use capnode::sturdy::{Caveat, Gatekeeper as _, GatekeeperClient, MemoryStore, Owner};

use super::throughput::one_after_another;
use crate::measure::{Measurement, Meter};
use crate::peers::capnode::{Server, ServiceClient};

/// The text or invocation that is handed to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// A sturdy text with two caveats, one of which is a time.
    Text,
    /// Such a text whose secret does not belong to it.
    WrongText,
    /// An invocation by so many links.
    Links(u8),
}

impl By {
    pub fn id(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::WrongText => "wrong-text".to_owned(),
            Self::Links(links) => format!("{links}-links"),
        }
    }
}

const ORIGIN: &str = "https://node.example";
const DAY: Duration = Duration::from_secs(86_400);
/// The invocations of one key, fewer than which are taken in five minutes. Each is good for one use.
const MADE: u32 = 1_000;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn verifier() -> Verifier {
    Verifier::new(key(0).public_key(), ORIGIN, UNIX_EPOCH).expect("it is an origin")
}

fn owner() -> Owner {
    let builder = Owner::builder(MemoryStore::default(), |_| Ok(ServiceClient::new(Server).into()));
    builder.documents(verifier(), key(0)).open().expect("memory does not fail")
}

/// Returns a text of the owner's, or one that it refuses.
fn text(owner: &Owner, is_wrong: bool) -> String {
    let text = owner.keep("service", b"").expect("memory does not fail");
    let text =
        text.with(&Caveat::Until(SystemTime::now() + DAY)).and_then(|text| text.with(&Caveat::ReadOnly));
    let text = text.expect("it is short").reveal();
    let secret = text.rsplit('/').next().expect("it has parts");
    let other = secret.chars().rev().collect::<String>();
    if is_wrong { text.replace(secret, &other) } else { text.to_string() }
}

/// Returns a link for the key of that number, with so many above it less one.
async fn link(url: &str, links: u8, now: SystemTime) -> Link {
    let new = |to| Delegation::new(key(to).public_key(), now + DAY).actions(["redeem", "add"]);
    let mut link = new(1).issue(url, &key(0), now).await.expect("it keeps to the rules");
    for at in 1..links {
        link = new(at + 1).delegate(&link, &key(at), now).await.expect("it keeps to the rules");
    }
    link
}

/// Makes invocations with a nonce that the owner gave.
async fn invocations(owner: &Owner, links: u8) -> Vec<String> {
    let now = SystemTime::now();
    let object = owner.keep("service", b"").expect("memory does not fail");
    let link = link(&owner.url(object.object()).expect("it is kept"), links, now).await;
    let nonce = owner.challenge("0123456789abcdef").await.expect("the owner signs").nonce;
    let mut all = Vec::new();
    for _ in 0..MADE {
        let new = Invocation::new("redeem", ORIGIN).challenge(&nonce);
        all.push(new.sign(&link, &key(links), now).await.expect("it keeps to the rules"));
    }
    all
}

fn in_micros(measured: Measurement) -> Measurement {
    Measurement { value: 1e6 / measured.value, ..measured }
}

/// Microseconds in which a live reference is had for it over a connection, and given back.
pub async fn over_a_wire(by: By, time: Duration) -> Measurement {
    let owner = owner();
    let node = Node::new(GatekeeperClient::new(owner.clone()));
    let listener = node.listen("tcp://127.0.0.1:0").await.expect("there is a port");
    let gatekeeper: GatekeeperClient = capnode::connect(&listener.url()).await.expect("nobody is refused");
    let By::Links(links) = by else {
        let text = text(&owner, false);
        let (gatekeeper, text) = (&gatekeeper, &text);
        let redeem = move |_| async move { drop(gatekeeper.redeem(text).await.expect("it is taken")) };
        return in_micros(one_after_another(time, redeem).await);
    };
    let all = invocations(&owner, links).await;
    let meter = Meter::start();
    for invocation in &all {
        drop(gatekeeper.redeem(invocation).await.expect("it is taken"));
    }
    in_micros(meter.rate(all.len() as u64))
}

/// Microseconds that the owner takes for it in its own program.
pub async fn by_the_owner(by: By, time: Duration) -> Measurement {
    let owner = owner();
    let By::Links(links) = by else {
        let is_wrong = by == By::WrongText;
        let text = text(&owner, is_wrong);
        let (owner, text) = (&owner, &text);
        let redeem = move |_| async move { assert_eq!(owner.redeem(text).await.is_err(), is_wrong) };
        return in_micros(one_after_another(time, redeem).await);
    };
    let (all, verifier) = (invocations(&owner, links).await, verifier());
    let meter = Meter::start();
    for invocation in &all {
        verifier.take(invocation, None, SystemTime::now(), |_| false).expect("it is taken");
    }
    in_micros(meter.rate(all.len() as u64))
}
