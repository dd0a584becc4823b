//! What the programs of this workspace share: the peers, the scenarios, and how both are measured.

pub mod js;
pub mod measure;
pub mod one;
pub mod peer;
pub mod peers;
pub mod record;
pub mod report;
pub mod runtime;
pub mod scenarios;
pub mod socket;

// The generated code expects to be here.
#[rustfmt::skip]
#[allow(clippy::all, unused_qualifications)]
#[path = "generated/schema_capnp.rs"]
mod schema_capnp;
