//! A client offers all methods.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn count(&self) -> u32
    where
        Self: Sized;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn count(&self) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _count: u32 = chat.count().await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
