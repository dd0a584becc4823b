//! A stream has one holder: a method takes its reader, and not a borrow of it.

use capnode::Reader;

#[capnode::interface]
pub trait Plot {
    async fn plot(&self, numbers: &Reader<u32>);
}

fn main() {}
