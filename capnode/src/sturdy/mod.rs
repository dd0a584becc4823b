//! Sturdy references: texts for objects, which outlive connections and the programs at both ends.
//!
//! An [`Owner`] keeps what it needs to make an object again, and gives a text for it: a [`Sturdy`]. Whoever has the text hands
//! it to the owner's [`Gatekeeper`], over any connection, and has a live reference. Before a holder passes the text on, it can
//! add [caveats](Caveat) without asking anybody; who gets that text cannot take them out.
//!
//! ```
//! use capnode::sturdy::{Caveat, GatekeeperClient, MemoryStore, Owner, Sturdy};
//! use capnode::{Client as _, Node};
//!
//! #[capnode::interface]
//! trait Note {
//!     #[capnode(read)]
//!     async fn text(&self) -> String;
//!     async fn erase(&self);
//! }
//!
//! struct Paper(Vec<u8>);
//!
//! impl Note for Paper {
//!     async fn text(&self) -> String {
//!         String::from_utf8_lossy(&self.0).into_owned()
//!     }
//!     async fn erase(&self) {}
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let owner = Owner::builder(MemoryStore::default(), |kept| Ok(NoteClient::new(Paper(kept.data.clone())).into()))
//!     .authenticator(|credential| (credential == "Bearer of the example").then(|| NoteClient::new(Paper(vec![])).into()))
//!     .open()?;
//! let node = Node::new(GatekeeperClient::new(owner.clone()));
//! let listener = node.listen("tcp://127.0.0.1:0").await?;
//!
//! let text = owner.keep("note", b"milk")?;
//! let for_the_reader = text.with(&Caveat::ReadOnly)?.reveal();
//!
//! // Another program has been given the text.
//! let sturdy: Sturdy = for_the_reader.parse()?;
//! let gatekeeper: GatekeeperClient = capnode::connect(&listener.url()).await?;
//! // The call of `text` goes with that of `redeem`, in one round trip.
//! let note = NoteClient::from_cap(sturdy.redeem(&gatekeeper).pipeline_cap());
//! assert_eq!(note.text().await?, "milk");
//! assert!(note.erase().await.is_err());
//!
//! // The owner takes back what was given, and what is held by it ends.
//! owner.revoke(&sturdy)?;
//! assert!(note.text().await.is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! * The secret of a text is HMAC-SHA256, 256 bits, over the ids of key, object and issue and the addresses, and then over each
//!   caveat with the secret before it as the key. Each part is preceded by its length.
//! * Whoever reads a text can use it. Pass it over a connection that is encrypted, and add a [`Caveat::Until`].
//! * A store has the keys, so whoever reads it can make texts. Of the texts themselves it has no secrets.
//! * Counters belong to a caveat, and are shared by all texts that have it. They are kept in the store until an `Until` before
//!   them is over, and until their object is forgotten if there is none: at most 1,024 for all that was made from one text of the owner's. Who holds
//!   a text can use up those of its own alone, so give each holder another: [`Owner::text`].
//! * All calls are refused by one word; [`OwnerBuilder::on_refusal`] tells the owner the [`Rule`].

mod admit;
mod caveat;
mod counters;
pub(crate) mod documents;
#[cfg(feature = "redb")]
mod file_store;
mod gatekeeper;
mod limit;
mod mac;
mod owner;
mod present;
pub(crate) mod reference;
mod refusal;
mod results;
mod revoked;
mod rows;
mod store;
mod sweep;
#[cfg(test)]
mod tests;
mod text;

pub use self::admit::Live;
pub use self::caveat::Caveat;
pub use self::documents::Challenge;
#[cfg(feature = "redb")]
pub use self::file_store::FileStore;
pub use self::gatekeeper::{Gatekeeper, GatekeeperClient};
pub use self::owner::{Kept, Owner, OwnerBuilder};
pub use self::reference::Signed;
pub use self::refusal::{Refusal, Rule};
pub use self::store::{Change, MemoryStore, Store};
pub use self::text::Sturdy;
