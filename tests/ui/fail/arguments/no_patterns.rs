//! An argument is a plain name.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn put(&self, (a, b): (u32, u32)) -> u32;
    async fn add(&self, mut n: u32) -> u32 {
        n += 1;
        n
    }
    async fn drop(&self, _: u32) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn put(&self, (a, b): (u32, u32)) -> u32 {
        a + b
    }

    async fn drop(&self, _: u32) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _sum: u32 = chat.put((1, 2)).await? + chat.add(1).await? + chat.drop(1).await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
