//! An interface is extended once, with any type parameters.

#[capnode::interface]
pub trait Holder<T> {
    async fn held(&self) -> T;
}

#[capnode::interface(extends(Holder<u32>, Holder<String>))]
pub trait Both {
    async fn both(&self);
}

#[capnode::interface(extends(Own))]
pub trait Own {
    async fn own(&self);
}

fn main() {}
