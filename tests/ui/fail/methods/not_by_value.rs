//! A call can not consume the object.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn close(self) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn close(self) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _closed: u32 = chat.close().await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
