//! An object is shared by threads.

use std::cell::Cell;

#[capnode::interface]
pub trait Chat {
    async fn say(&self) -> u32;
}

struct Room(Cell<u32>);

impl Chat for Room {
    async fn say(&self) -> u32 {
        3
    }
}

fn main() {}
