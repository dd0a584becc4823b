//! More are put in a struct.

use capnode::Func;

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn on(&self, f: Func<fn(u8, u8, u8, u8, u8, u8, u8)>) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn on(&self, _: Func<fn(u8, u8, u8, u8, u8, u8, u8)>) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let f = |_: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8| async {};
    let _on: u32 = chat.on(f).await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
