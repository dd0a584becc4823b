//! An interface that is extended in two ways is the same in both, also in its parameters.

#[capnode::interface]
pub trait Holder<T> {
    async fn held(&self) -> T;
}

#[capnode::interface(extends(Holder<u32>))]
pub trait Number {}

#[capnode::interface(extends(Holder<String>))]
pub trait Text {}

#[capnode::interface(extends(Number, Text))]
pub trait Both {}

#[capnode::interface(extends(Holder<Option<T>>))]
pub trait Maybe<T> {}

/// The types count, not the parameters of a parent that stand for them.
#[capnode::interface(extends(Maybe<Vec<T>>, Holder<Option<T>>))]
pub trait Deep<T> {}

mod other {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Item;

    #[capnode::interface(extends(super::Holder<Item>))]
    pub trait Held {}
}

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Item;

#[capnode::interface(extends(Holder<Item>, other::Held))]
pub trait Names {}

fn main() {}
