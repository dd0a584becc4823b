//! Signed references with the interface of their object.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::documents::{Challenge, REDEEM};
use super::gatekeeper::GatekeeperClient;
use super::mac::hex;
use super::refusal::answered;
use crate::Wire;
use crate::cap::Cap;
use crate::cap::payload::encode;
use crate::cap::slot::decode;
use crate::error::{Error, Fate};
use crate::interface::client::Client;
use crate::runtime::{Instant, random};
use crate::signed::{AWAIT, Delegation, Invocation, Link, PublicKey, Refusal, Rule, Signer};
use crate::value::Value;

/// A signed reference to an object that a client of the type `C` calls: a [`Link`], which its holder can pass on narrower,
/// and redeem.
///
/// It is a text in any format of serde, over any connection, and on paper. Nothing connects and nothing is verified when it is
/// read. Only the holder of its key can use it.
///
/// One for the action `await` is a promise that can be passed on: of the result of a call, which is a `C` then and
/// [comes](Self::result) when it is there.
///
/// ```
/// use capnode::signed::{Delegation, SecretKey, Signer as _, Verifier};
/// use capnode::sturdy::{GatekeeperClient, MemoryStore, Owner, Signed};
/// use capnode::Node;
/// use std::time::{Duration, SystemTime};
///
/// #[capnode::interface]
/// trait Note {
///     async fn text(&self) -> String;
///     async fn erase(&self);
/// }
///
/// struct Paper(Vec<u8>);
///
/// impl Note for Paper {
///     async fn text(&self) -> String {
///         String::from_utf8_lossy(&self.0).into_owned()
///     }
///     async fn erase(&self) {}
/// }
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let (key, bob, carol) = (SecretKey::random(), SecretKey::random(), SecretKey::random());
///     let (now, day) = (SystemTime::now(), Duration::from_secs(86_400));
///     let verifier = Verifier::new(key.public_key(), "https://node.example", now)?;
///     let owner = Owner::builder(MemoryStore::default(), |kept| Ok(NoteClient::new(Paper(kept.data.clone())).into()))
///         .documents(verifier, key.clone())
///         .open()?;
///     let listener = Node::new(GatekeeperClient::new(owner.clone())).listen("tcp://127.0.0.1:0").await?;
///
///     // The owner gives Bob a note. Bob lets Carol read it, and asks nobody.
///     let url = owner.url(owner.keep("note", b"milk")?.object())?;
///     let to_bob = Delegation::new(bob.public_key(), now + 7 * day).actions(["redeem", "text", "erase"]);
///     let bobs: Signed<NoteClient> = Signed::new(to_bob.issue(&url, &key, now).await?);
///     let to_carol = Delegation::new(carol.public_key(), now + day).actions(["redeem", "text"]);
///     let text = bobs.delegate(to_carol, &bob, now).await?.to_string();
///
///     // Carol has the text, and has never met Bob.
///     let gatekeeper: GatekeeperClient = capnode::connect(&listener.url()).await?;
///     let note = text.parse::<Signed<NoteClient>>()?.redeem(&gatekeeper, &carol, SystemTime::now()).await?;
///     assert_eq!(note.text().await?, "milk");
///     assert!(note.erase().await.is_err());
///
///     owner.revoke_link(bobs.link())?;
///     assert!(note.text().await.is_err());
///     Ok(())
/// }
/// ```
pub struct Signed<C> {
    link: Link,
    client: PhantomData<fn(C) -> C>,
}

impl<C> Signed<C> {
    /// Takes a link to an object of this interface, or to a property that is one.
    pub fn new(link: Link) -> Self {
        Self { link, client: PhantomData }
    }

    /// Returns the link.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Delegates it to another, narrower: see [`Delegation::delegate`].
    ///
    /// # Errors
    ///
    /// Those of [`Delegation::delegate`].
    pub async fn delegate(
        &self,
        delegation: Delegation,
        signer: &impl Signer,
        now: SystemTime,
    ) -> Result<Self, Error> {
        Ok(Self::new(delegation.delegate(&self.link, signer, now).await?))
    }
}

impl<C> Signed<C> {
    /// Has a method called, and its result kept for others: see [`Gatekeeper::keep`](super::Gatekeeper::keep). Returns the URL
    /// of the result, to [narrow](Delegation::target) a link for the action `await` to. If it fails after the invocation was
    /// sent, the call may run, and nobody knows its URL.
    ///
    /// # Errors
    ///
    /// Those of [`redeem`](Self::redeem). With [`Rule::Action`] as the source if the link does not allow `await`.
    pub async fn keep(
        &self,
        call: Invocation,
        gatekeeper: &GatekeeperClient,
        signer: &impl Signer,
        now: SystemTime,
    ) -> Result<String, Error> {
        if !self.link.actions().iter().any(|action| action == AWAIT) {
            return Err(Rule::Action.broken("without `await` nobody could have the result").into());
        }
        let (call, ()) = self.hand_in(call, "keep", &Asked { gatekeeper, signer, now, again: false }).await?;
        Ok(Invocation::result(&call)?)
    }

    /// Signs an invocation and hands it to a method of the owner's. Both its nonce and the call are of one connection.
    async fn hand_in<T: Wire>(
        &self,
        invocation: Invocation,
        method: &str,
        asked: &Asked<'_, impl Signer>,
    ) -> Result<(String, T), Error> {
        let since = Instant::now();
        loop {
            let present = asked.gatekeeper.cap().pinned()?;
            let outcome = self.hand_once(invocation.clone(), method, &present.cap, asked, since).await;
            let error = match outcome {
                Ok(done) => return Ok(done),
                Err(error) => answered(error),
            };
            let is_harmless = match error.fate() {
                Fate::NotSent => true,
                Fate::MayHaveRun => asked.again,
                Fate::Answered => false,
            };
            if !is_harmless || present.lost().is_none_or(|time| since.elapsed() >= time) {
                return Err(error);
            }
        }
    }

    async fn hand_once<T: Wire>(
        &self,
        invocation: Invocation,
        method: &str,
        present: &Cap,
        asked: &Asked<'_, impl Signer>,
        since: Instant,
    ) -> Result<(String, T), Error> {
        let (nonce, origin) = (hex(&random::bytes::<16>()), self.link.origin());
        let challenge = present.invoke::<Challenge>("challenge", (&nonce,)).await;
        let challenge = challenge.map_err(|error| match error.fate() {
            Fate::Answered => error,
            // Nothing was signed for it.
            Fate::NotSent | Fate::MayHaveRun => error.with_fate(Fate::NotSent),
        })?;
        challenge.check(&self.link.owner().parse::<PublicKey>()?, origin, &nonce)?;
        let invocation = invocation.challenge(challenge.nonce);
        let invocation = invocation.sign(&self.link, asked.signer, asked.now + since.elapsed()).await?;
        let result = present.invoke(method, (&invocation,)).await?;
        Ok((invocation, result))
    }
}

/// The parts that an invocation is made of.
struct Asked<'a, S> {
    gatekeeper: &'a GatekeeperClient,
    signer: &'a S,
    now: SystemTime,
    /// `true` if another one may be made when it is not known if this one was taken.
    again: bool,
}

impl<C: Client> Signed<C> {
    /// Exchanges it for a live reference at the owner's gatekeeper, which proves first that it is the owner's: what is signed
    /// is not sent to another. `now` is the time of this call.
    ///
    /// An invocation is good for one use, and for one connection. So the reference ends with its connection, with
    /// [`ErrorKind::Disconnected`](crate::ErrorKind::Disconnected), also if the gatekeeper is a
    /// [durable reference](crate::guide::reconnecting): it is to be redeemed again then. If a connection of such a one is lost before
    /// the invocation is sent, another is signed for the next connection.
    ///
    /// # Errors
    ///
    /// The signer's, and those of the call. The owner's refusal is of the kind [`ErrorKind::Refused`](crate::ErrorKind::Refused),
    /// with a property `code`: see [`Refusal`](super::Refusal). With [`Rule::Signature`](crate::signed::Rule::Signature) as the source if the
    /// gatekeeper is not the owner's.
    pub async fn redeem(
        &self,
        gatekeeper: &GatekeeperClient,
        signer: &impl Signer,
        now: SystemTime,
    ) -> Result<C, Error> {
        let invocation = Invocation::new(REDEEM, self.link.origin());
        let asked = Asked { gatekeeper, signer, now, again: false };
        let (_, cap) = self.hand_in::<Cap>(invocation, "redeem", &asked).await?;
        Ok(C::from_cap(cap))
    }
}

impl<T: DeserializeOwned> Signed<T> {
    /// Waits for the result of a call that another has [made](Self::keep), and of which this is the link. The gatekeeper proves
    /// first that it is the owner's. `now` is the time of this call.
    ///
    /// If the gatekeeper is a [durable reference](crate::guide::reconnecting) and its connection is lost meanwhile, the result is
    /// asked for again over the next one, by another invocation, which counts as another call. If it is not, whoever waits asks again.
    ///
    /// # Errors
    ///
    /// The kind and the property `code` tell them apart, also over a connection:
    ///
    /// * [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) and `ENORESULT`: no call has come in 30 seconds, or the result has expired.
    /// * [`ErrorKind::Refused`](crate::ErrorKind::Refused) and `EINTERRUPTED`: the call ran when the owner was restarted, and
    ///   whether it was made is not known.
    /// * `Refused` and `EUNAVAILABLE`: the owner's store fails, or could not keep the result.
    /// * `Refused` and `EREFUSED`: the owner does not take the link.
    /// * [`ErrorKind::Rejected`](crate::ErrorKind::Rejected), without a `code`: the call's own error, or that the link has ended meanwhile.
    /// * Those of [`redeem`](Self::redeem).
    pub async fn result(
        &self,
        gatekeeper: &GatekeeperClient,
        signer: &impl Signer,
        now: SystemTime,
    ) -> Result<T, Error> {
        let invocation = Invocation::new(AWAIT, self.link.origin());
        let asked = Asked { gatekeeper, signer, now, again: true };
        let (_, value) = self.hand_in::<Value>(invocation, "invoke", &asked).await?;
        decode(&encode(&value)?)
    }
}

impl<C> Clone for Signed<C> {
    fn clone(&self) -> Self {
        Self::new(self.link.clone())
    }
}

impl<C> PartialEq for Signed<C> {
    fn eq(&self, other: &Self) -> bool {
        self.link == other.link
    }
}

impl<C> FromStr for Signed<C> {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        text.parse().map(Self::new)
    }
}

impl<C> fmt::Display for Signed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.link.fmt(f)
    }
}

impl<C> fmt::Debug for Signed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signed").field(&self.link).finish()
    }
}

impl<C> Serialize for Signed<C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.link.serialize(serializer)
    }
}

impl<'de, C> Deserialize<'de> for Signed<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Link::deserialize(deserializer).map(Self::new)
    }
}

/// Has the peer prove that it is the owner of a key and one of the origins.
pub(crate) async fn prove(
    gatekeeper: &GatekeeperClient,
    owner: &PublicKey,
    origins: &[String],
) -> Result<(), Error> {
    let nonce = hex(&random::bytes::<16>());
    let challenge = gatekeeper.challenge(&nonce).await.map_err(|error| {
        let error = Error::from(error);
        Error::new(error.kind(), format!("the peer has not proved that it is the owner: {error}"))
    })?;
    let mut proved = Err(Rule::Target.broken("no origin"));
    for origin in origins {
        proved = proved.or_else(|_| challenge.check(owner, origin, &nonce));
    }
    Ok(proved?)
}
