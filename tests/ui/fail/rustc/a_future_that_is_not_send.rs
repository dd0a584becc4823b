//! A handler may go on in another thread.

use std::rc::Rc;

#[capnode::interface]
pub trait Chat {
    async fn say(&self, text: &str) -> u32;
}

struct Room;

impl Chat for Room {
    async fn say(&self, text: &str) -> u32 {
        let count = Rc::new(text.len());
        std::future::ready(()).await;
        *count as u32
    }
}

fn main() {}
