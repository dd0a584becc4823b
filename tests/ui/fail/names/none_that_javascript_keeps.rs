//! Objects there have these of their own.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn then(&self) -> u32;
    async fn to_string(&self) -> u32;
    #[capnode(property, name = "__proto__")]
    async fn proto(&self) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn then(&self) -> u32 {
        1
    }

    async fn to_string(&self) -> u32 {
        2
    }

    async fn proto(&self) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _sum: u32 = chat.then().await? + chat.to_string().await? + chat.proto().await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
