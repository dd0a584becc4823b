//! It is read, not called.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    #[capnode(property)]
    async fn topic(&self, of: u32) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn topic(&self, of: u32) -> u32 {
        of
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _topic: u32 = chat.topic(3).await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
