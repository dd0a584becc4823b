//! The other side must know the type.

use std::fmt::Display;

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn some(&self) -> impl Display;
    async fn boxed(&self) -> Box<dyn Display>;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn some(&self) -> impl Display {
        3
    }

    async fn boxed(&self) -> Box<dyn Display> {
        Box::new(3)
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _some = chat.some().await?;
    let _boxed = chat.boxed().await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
