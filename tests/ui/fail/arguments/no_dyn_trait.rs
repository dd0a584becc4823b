//! A trait object can not travel.

use std::fmt::Display;

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn show(&self, what: &dyn Display) -> u32;
    async fn keep(&self, what: Box<dyn Display>) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn show(&self, what: &dyn Display) -> u32 {
        what.to_string().len() as u32
    }

    async fn keep(&self, what: Box<dyn Display>) -> u32 {
        what.to_string().len() as u32
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _shown: u32 = chat.show(&3).await? + chat.keep(Box::new(3)).await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
