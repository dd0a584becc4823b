//! What an owner needs to take signed documents, and what these come to.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::limit::{Limit, Names, tag};
use super::mac::{Secret, Tag, hex, is_same, mac, unhex};
use super::refusal::{Refusal, Rule};
use super::store::{Change, Store};
use crate::error::Error;
use crate::runtime::random;
use crate::signed::{self, AWAIT, LinkName, Permit, PublicKey, Signer, Step, Taken, Verifier, target};

/// The action that gives a reference.
pub(super) const REDEEM: &str = "redeem";
/// The action that takes back the link, or one below it.
pub(super) const REVOKE: &str = "revoke";
/// Actions that are no methods.
pub(super) const VERBS: [&str; 3] = [REDEEM, REVOKE, AWAIT];

/// The most seconds for which a nonce is good.
const FRESH: u64 = 60;

/// An owner's answer to a nonce, by which it shows who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Challenge {
    /// The nonce that the next invocation carries, within a minute.
    pub nonce: String,
    /// The signature of the owner's key over `capnode challenge 1`, its origin, the caller's nonce and its own, with a line
    /// break between each and the next: in base58, behind a `z`.
    pub signature: String,
}

impl Challenge {
    /// Checks that the owner of a key and an origin has given this for the nonce.
    ///
    /// # Errors
    ///
    /// If it has not.
    pub fn check(&self, owner: &PublicKey, origin: &str, nonce: &str) -> Result<(), signed::Refusal> {
        owner.verify(message(origin, nonce, &self.nonce).as_bytes(), &self.signature)
    }
}

fn message(origin: &str, nonce: &str, own: &str) -> String {
    ["capnode challenge 1", origin, nonce, own].join("\n")
}

type Signing = Pin<Box<dyn Future<Output = Result<[u8; 64], Error>> + Send>>;

/// What an owner needs to take documents.
pub(crate) struct Documents {
    pub(super) verifier: Verifier,
    sign: Box<dyn Fn(Vec<u8>) -> Signing + Send + Sync>,
    /// Proves that a nonce is one of this program's.
    key: Secret,
}

/// The begin of the names under which the store has invocations that were taken.
const TAKEN: &str = "taken/";
/// The name of the time since when the store has all of them.
const SINCE: &str = "taken since";

impl Documents {
    pub(crate) fn new(verifier: Verifier, signer: impl Signer + Send + 'static) -> Self {
        let signer = Arc::new(signer);
        let sign = move |message: Vec<u8>| -> Signing {
            let signer = signer.clone();
            Box::pin(async move { signer.sign(&message).await })
        };
        Self { verifier, sign: Box::new(sign), key: Secret::new(random::bytes()) }
    }

    /// Goes on with the memory of invocations that the store has, or begins one there.
    pub(super) fn go_on(&self, store: &dyn Store) -> Result<(), Error> {
        let kept = since(store)?;
        let names = store.names(TAKEN)?;
        let entries = names.iter().filter_map(|name| Some(name.strip_prefix(TAKEN)?.parse()));
        let began = self.verifier.go_on(kept, entries.collect::<Result<Vec<_>, _>>()?.into_iter());
        if kept.is_some() { Ok(()) } else { store.put(SINCE, &began.to_be_bytes()) }
    }

    /// Returns a nonce that says when it was made, so that none has to be kept.
    fn nonce(&self, now: u64) -> String {
        let head = format!("{now}.{}", hex(&random::bytes::<16>()));
        let proof = hex(&*mac(&self.key, "capnode nonce 1", &[&head]));
        format!("{head}.{proof}")
    }

    pub(crate) fn is_fresh(&self, nonce: &str, now: u64) -> bool {
        let Some((head, proof)) = nonce.rsplit_once('.') else { return false };
        let made: Option<u64> = head.split('.').next().and_then(|made| made.parse().ok());
        let is_recent = made.is_some_and(|made| now.saturating_sub(made) <= FRESH);
        let is_own = |proof| is_same(&proof, &mac(&self.key, "capnode nonce 1", &[head]));
        is_recent && unhex(proof).is_some_and(is_own)
    }

    pub(crate) async fn challenge(&self, nonce: &str, now: u64) -> Result<Challenge, Refusal> {
        let is_nonce = (16..=128).contains(&nonce.len()) && nonce.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_nonce {
            return Err(Rule::Shape.broken());
        }
        let own = self.nonce(now);
        let message = message(self.verifier.origin(), nonce, &own);
        let signature = (self.sign)(message.into_bytes()).await.map_err(Refusal::owner)?;
        Ok(Challenge { nonce: own, signature: signed::written(&signature) })
    }
}

fn since(store: &dyn Store) -> Result<Option<i64>, Error> {
    Ok(store.get(SINCE)?.and_then(|since| since.try_into().ok()).map(i64::from_be_bytes))
}

/// Keeps that an invocation was taken. Nobody else does so meanwhile.
pub(super) fn keep(store: &dyn Store, taken: &Taken) -> Result<(), Error> {
    let since = since(store)?.map_or(taken.since, |kept| kept.max(taken.since)).to_be_bytes();
    let name = |entry: &_| format!("{TAKEN}{entry}");
    let (new, forgotten) = (name(&taken.entry), taken.forgotten.iter().map(name).collect::<Vec<_>>());
    let mut changes: Vec<Change<'_>> = forgotten.iter().map(|name| (name.as_str(), None)).collect();
    changes.extend([(new.as_str(), Some(&[][..])), (SINCE, Some(&since[..]))]);
    store.write(&changes)
}

/// Returns the URL of what is invoked.
pub(super) fn url(permit: &Permit) -> String {
    permit.path.iter().fold(permit.root.clone(), |url, name| format!("{url}/{}", target::escape(name)))
}

/// Names the result at a URL, of a call that was made by a key.
pub(super) fn result_tag(maker: &str, url: String) -> Tag {
    tag(&LinkName { delegator: maker.to_owned(), id: url }, None)
}

pub(super) fn branch(links: &[Step]) -> String {
    links.first().map_or(String::new(), |first| hex(&tag(&first.name, None)))
}

/// Returns all that limits what is done by the permit.
pub(super) fn limits(permit: &Permit) -> Vec<Limit> {
    let methods = permit.actions.iter().filter(|action| !VERBS.contains(&action.as_str())).cloned();
    let mut all = vec![Limit::Methods(Names::Listed(methods.collect()))];
    for (at, link) in permit.links.iter().enumerate() {
        all.push(Limit::Until(link.expires));
        all.extend((0..link.caveats.len()).filter_map(|caveat| Limit::of_link(&permit.links, at, caveat)));
    }
    all
}
