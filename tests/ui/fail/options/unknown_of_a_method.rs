//! The message lists those that there are.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    #[capnode(propery)]
    async fn topic(&self) -> u32;
    #[capnode]
    async fn other(&self) -> u32;
    #[capnode(name)]
    async fn nameless(&self) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn topic(&self) -> u32 {
        1
    }

    async fn other(&self) -> u32 {
        2
    }

    async fn nameless(&self) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _sum: u32 = chat.topic().await? + chat.other().await? + chat.nameless().await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
