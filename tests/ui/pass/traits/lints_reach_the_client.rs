//! Lints that are allowed for a trait or method are allowed for the generated code, and nothing is reported twice.

#![deny(warnings)]
#![allow(dead_code)]

#[capnode::interface]
#[allow(non_snake_case)]
pub trait Named {
    async fn getUser(&self, userId: u32) -> u32;
}

#[allow(non_camel_case_types)]
#[capnode::interface]
pub trait lower_case {
    #[expect(non_snake_case)]
    async fn getUser(&self);
}

#[capnode::interface]
#[expect(non_snake_case)]
pub trait Expected {
    async fn getUser(&self, userId: u32) -> u32;
}

#[deprecated]
#[capnode::interface]
pub trait Before {
    async fn lend(&self, text: &str) -> u8;
}

#[capnode::interface]
#[deprecated]
pub trait After {
    async fn lend(&self, text: &str) -> Result<u8, String>;
}

#[deprecated]
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Old;

#[capnode::interface]
pub trait Uses {
    #[allow(deprecated)]
    async fn one(&self, old: Old) -> Old;
}

#[allow(deprecated)]
#[capnode::interface(extends(Before))]
pub trait Child {
    async fn two(&self, old: &[u8]) -> Old;
}

fn main() {}
