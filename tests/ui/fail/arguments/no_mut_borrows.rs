//! Changes do not travel back.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn fill(&self, list: &mut Vec<u32>) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn fill(&self, list: &mut Vec<u32>) -> u32 {
        list.push(3);
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _filled: u32 = chat.fill(&mut Vec::new()).await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
