//! Lints that a crate forbids, and an interface does not violate, reject no interface.

#![forbid(unused_must_use, deprecated, non_snake_case, unsafe_code)]

#[capnode::interface]
trait Desk {
    async fn write(&self, text: &str) -> Result<u32, String>;
}

fn main() {}
