//! Errors travel without references.

use capnode::{Cap, Func};
use serde::{Deserialize, Serialize};

#[capnode::interface]
pub trait Queue {
    async fn wait(&self);
}

macro_rules! error {
    ($name:ident, $reference:ty) => {
        #[derive(Debug, Serialize, Deserialize)]
        pub struct $name {
            pub in_it: Vec<$reference>,
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("full")
            }
        }
    };
}

error!(WithClient, Option<QueueClient>);
error!(WithFunc, Func<fn(u32)>);
error!(WithCap, Cap);

#[capnode::interface]
pub trait Room {
    async fn enter(&self) -> Result<(), WithClient>;
    async fn leave(&self) -> Result<(), WithFunc>;
    async fn look(&self) -> Result<(), WithCap>;
}

fn main() {}
