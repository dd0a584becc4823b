//! `#[capnode(..)]` is for methods.

#[capnode::interface]
#[capnode(name = "chat")]
pub trait Chat {
    async fn say(&self);
}

fn main() {}
