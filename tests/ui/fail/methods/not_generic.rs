//! The other side must know every type.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn put<T: Clone>(&self, value: T) -> T;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn put<T: Clone>(&self, value: T) -> T {
        value
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _put: u32 = chat.put(3).await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
