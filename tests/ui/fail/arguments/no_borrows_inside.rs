//! Only an argument as a whole is lent.

use std::borrow::Cow;

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn all(&self, names: Vec<&str>) -> u32;
    async fn each(&self, names: &[&str]) -> u32;
    async fn maybe(&self, name: Option<Cow<'_, str>>) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn all(&self, names: Vec<&str>) -> u32 {
        names.len() as u32
    }

    async fn each(&self, names: &[&str]) -> u32 {
        names.len() as u32
    }

    async fn maybe(&self, name: Option<Cow<'_, str>>) -> u32 {
        name.is_some().into()
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _sum: u32 = chat.all(vec!["a"]).await? + chat.each(&["a"]).await? + chat.maybe(None).await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
