//! Signed references: what may be done to an object, delegated from key to key, away from its owner.
//!
//! The owner of an object signs a [`Link`] to the key of a holder. The holder signs a narrower one to the key of another,
//! without asking anybody. The last one signs an [`Invocation`] and hands it to the owner, whose [`Verifier`] says what
//! it allows: a [`Permit`]. All that is kept and passed on is text; the secret is the key of each holder.
//!
//! The documents are Authorization Capabilities (zcap) 0.4 with proofs of the type `eddsa-jcs-2022`, and keys are `did:key`.
//! npm's `@digitalbazaar/zcap` makes and takes the same. Here fewer are taken: see [`Rule`].
//!
//! ```
//! use capnode::signed::{Delegation, Invocation, SecretKey, Signer, Verifier};
//! use std::time::{Duration, SystemTime, UNIX_EPOCH};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (owner, bob, carol) = (SecretKey::random(), SecretKey::random(), SecretKey::random());
//! let now = SystemTime::now();
//! let day = Duration::from_secs(86_400);
//!
//! // The owner gives Bob a room. Bob gives Carol one seat in it, for a shorter time.
//! let room = Delegation::new(bob.public_key(), now + 7 * day)
//!     .actions(["redeem", "say", "leave"])
//!     .issue("https://node.example/rooms/7", &owner, now)
//!     .await?;
//! let seat = Delegation::new(carol.public_key(), now + day)
//!     .actions(["say"])
//!     .target("https://node.example/rooms/7/seat")
//!     .delegate(&room, &bob, now)
//!     .await?;
//!
//! // Carol uses it at the owner, whom she has not met.
//! let invocation = Invocation::new("say", "https://node.example")
//!     .args(&["hello"])?
//!     .sign(&seat, &carol, now)
//!     .await?;
//! let verifier = Verifier::new(owner.public_key(), "https://node.example", UNIX_EPOCH)?;
//! let permit = verifier.take(&invocation, None, now, |_| false)?;
//! assert_eq!((permit.root.as_str(), permit.path), ("https://node.example/rooms/7", vec!["seat".to_owned()]));
//! assert_eq!(permit.args.as_deref(), Some(r#"["hello"]"#));
//! // Once.
//! assert!(verifier.take(&invocation, None, now, |_| false).is_err());
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
//! ```

pub(crate) mod base58;
mod caveat;
mod document;
mod invocation;
mod key;
mod link;
mod proof;
mod refusal;
mod replay;
mod rules;
pub(crate) mod target;
#[cfg(test)]
mod tests;
pub(crate) mod time;
pub(crate) mod tree;
mod verifier;

pub use self::caveat::Caveat;
pub use self::invocation::Invocation;
pub use self::key::{PublicKey, SecretKey, Signer};
pub use self::link::{Delegation, Link};
pub use self::proof::{EddsaJcs2022, ProofType};
pub use self::refusal::{Refusal, Rule};
pub use self::verifier::{LinkName, Permit, Step, Verifier};
