//! An error in an attribute is reported at the attribute.

#[capnode::interface]
pub trait Chat {
    #[capnode()]
    async fn one(&self);

    #[capnode(name)]
    async fn two(&self);
}

fn main() {}
