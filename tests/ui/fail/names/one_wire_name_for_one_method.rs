//! Two methods need two names.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn set_topic(&self) -> u32;
    #[capnode(name = "setTopic")]
    async fn change(&self) -> u32;
    async fn leave_(&self) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn set_topic(&self) -> u32 {
        1
    }

    async fn change(&self) -> u32 {
        2
    }

    async fn leave_(&self) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _sum: u32 = chat.set_topic().await? + chat.change().await? + chat.leave_().await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
