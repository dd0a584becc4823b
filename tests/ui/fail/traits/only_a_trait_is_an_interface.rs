//! The attribute goes on the trait, not on what implements it.

pub struct Room;

#[capnode::interface]
impl Room {
    pub async fn say(&self) {}
}

#[capnode::interface]
pub struct Hall;

#[capnode::interface]
pub async fn say() {}

fn main() {}
