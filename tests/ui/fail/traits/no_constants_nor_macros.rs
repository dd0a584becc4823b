//! An interface has methods only.

macro_rules! more {
    () => {};
}

#[capnode::interface]
pub trait Chat {
    const SEATS: usize;
    more!();
    async fn say(&self);
}

struct Room;

impl Chat for Room {
    const SEATS: usize = 3;

    async fn say(&self) {}
}

fn main() {}
