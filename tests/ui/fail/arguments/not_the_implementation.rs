//! `Self` is known to the implementation only.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn meet(&self, other: &Self) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn meet(&self, _: &Self) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _met: u32 = chat.meet(&Room).await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
