//! The message lists those that there are.

#[capnode::interface(rename = "camelCase")]
pub trait Chat {
    async fn say(&self);
}

#[capnode::interface(crate = 3)]
pub trait Other {
    async fn say(&self);
}

#[capnode::interface(extends = Chat)]
pub trait Child {
    async fn say(&self);
}

fn main() {}
