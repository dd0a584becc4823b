//! `Func` is told the type of a function.

use capnode::Func;

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn on(&self, f: Func<u32>) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn on(&self, _: Func<u32>) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _on: u32 = chat.on(|_: u32| async {}).await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
