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
//!
//! # What npm's verifier takes and this one refuses
//!
//! All that `@digitalbazaar/zcap` 9.0.1 refuses is refused here. Beyond that:
//!
//! | wrong with a document | rule |
//! |---|---|
//! | too long | [`Rule::Size`] |
//! | a key that is there twice | [`Rule::Json`] |
//! | a signed lone surrogate | [`Rule::Json`] |
//! | too deep | [`Rule::Json`] |
//! | an unknown member | [`Rule::Shape`] |
//! | an unknown member of a proof | [`Rule::Shape`] |
//! | an unknown member of an invocation | [`Rule::Shape`] |
//! | nine addresses | [`Rule::Shape`] |
//! | two holders | [`Rule::Shape`] |
//! | an empty chain | [`Rule::Chain`] |
//! | a backslash | [`Rule::Target`] |
//! | a dotted segment | [`Rule::Target`] |
//! | a fragment | [`Rule::Target`] |
//! | a needless escape | [`Rule::Target`] |
//! | a query | [`Rule::Target`] |
//! | a property that a caveat above leaves out | [`Rule::Target`] |
//! | a slash at the end | [`Rule::Target`] |
//! | an empty segment | [`Rule::Target`] |
//! | an escaped dotted segment | [`Rule::Target`] |
//! | letters beyond ASCII | [`Rule::Target`] |
//! | more than 32 segments | [`Rule::Target`] |
//! | a first link without actions | [`Rule::Action`] |
//! | a caveat | [`Rule::Caveat`] |
//! | an unknown caveat of ours | [`Rule::Caveat`] |
//! | more than 256 names in caveats | [`Rule::Caveat`] |
//! | a holder by the method | [`Rule::Controller`] |
//! | a link from the future | [`Rule::Time`] |
//! | a time with an offset | [`Rule::Time`] |
//! | a time without seconds | [`Rule::Time`] |
//! | an invocation from the future | [`Rule::Time`] |
//! | an old invocation | [`Rule::Time`] |
//! | a link for a year | [`Rule::Expiry`] |
//! | a link that ends before it begins | [`Rule::Expiry`] |
//! | an end a moment ago | [`Rule::Expiry`] |
//! | another domain | [`Rule::Domain`] |
//! | no domain | [`Rule::Domain`] |
//! | an invocation for the second time | [`Rule::Replay`] |
//!
//! A target in the table is that of a link or an invocation, and the caveat is the member of that name in earlier drafts. An
//! invocation of the root itself is refused as well: the owner needs none.

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
#[cfg(all(feature = "sturdy", any(fuzzing, test)))]
pub(crate) use self::replay::Entry;
pub use self::verifier::{LinkName, Permit, Step, Verifier};
#[cfg(feature = "sturdy")]
pub(crate) use self::{proof::written, replay::Taken, rules::AWAIT};
