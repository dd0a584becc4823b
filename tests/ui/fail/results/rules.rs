//! A method whose result breaks a rule is named after the rule, and gives one error, at the result.

use std::fmt::Display;

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn no_borrows(&self) -> &str;
    async fn no_borrows_inside(&self) -> Option<&[String]>;
    async fn no_impl_trait(&self) -> impl Display;
    async fn no_dyn_trait(&self) -> Box<dyn Display>;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn no_borrows(&self) -> &str {
        ""
    }

    async fn no_borrows_inside(&self) -> Option<&[String]> {
        None
    }

    async fn no_impl_trait(&self) -> impl Display {
        3
    }

    async fn no_dyn_trait(&self) -> Box<dyn Display> {
        Box::new(3)
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let topic = chat.no_borrows().await?;
    let _topics: usize = topic.len() + chat.no_borrows_inside().await?.map_or(0, |topics| topics.len());
    chat.no_impl_trait().await?;
    chat.no_dyn_trait().await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
