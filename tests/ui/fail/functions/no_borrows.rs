//! A function that travels owns its arguments and results.

use capnode::Func;

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn on(&self, f: Func<fn(&str)>) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn on(&self, _: Func<fn(&str)>) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _on: u32 = chat.on(|_: &str| async {}).await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
