//! Shared code of the programs of this workspace: the peers, the scenarios, and their measurement.

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
