//! The trait of `ts-rs`, with a derive that accounts for all attributes of serde.

// What is named hides what a glob brings: the derive of the name here, and not the trait.
#[allow(unused_imports)]
pub use capnode_derive::TS;
pub use ts_rs::*;
