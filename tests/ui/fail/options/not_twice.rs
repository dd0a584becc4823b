//! An option is given once.

#[capnode::interface(name = "a", name = "b")]
pub trait Chat {
    #[capnode(no_cancel)]
    #[capnode(blocking, no_cancel)]
    async fn say(&self);
}

fn main() {}
