//! The macro does not know the result of a `cfg_attr`.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    #[cfg_attr(unix, cfg(all()))]
    async fn say(&self) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn say(&self) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _said: u32 = chat.say().await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
