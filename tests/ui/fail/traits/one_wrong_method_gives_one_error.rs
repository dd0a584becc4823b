//! The code around a trait with a mistake is not blamed for it.

use capnode::Func;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
pub struct Message {
    text: String,
    by: SeatClient,
}

#[capnode::interface]
pub trait Seat {
    async fn leave(&self);
}

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str, on_message: Func<fn(Message)>) -> Result<SeatClient, String>;
    async fn history(&mut self, from: &Message) -> Result<Vec<Message>, String>;
    #[capnode(property)]
    async fn topic(&self) -> String {
        String::new()
    }
}

#[capnode::interface(extends(Chat))]
pub trait Moderated {
    async fn mute(&self, name: &str);
}

#[derive(Default)]
struct Room(Vec<Message>);

impl Chat for Room {
    async fn join(&self, _: &str, _: Func<fn(Message)>) -> Result<SeatClient, String> {
        Err("full".to_owned())
    }

    async fn history(&mut self, from: &Message) -> Result<Vec<Message>, String> {
        self.0.push(from.clone());
        Ok(self.0.clone())
    }
}

impl Moderated for Room {
    async fn mute(&self, _: &str) {}
}

async fn use_it() -> Result<(), capnode::CallError<String>> {
    let moderated = ModeratedClient::new(Room::default());
    moderated.mute("bob").await?;
    let chat: ChatClient = moderated.into();
    let seat = chat.join("ann", |message: Message| async move { drop(message.text) }).await?;
    chat.join("bob", |_: Message| async {}).pipeline().leave().await?;
    let message = Message { text: chat.topic().await?, by: seat };
    for message in chat.history(&message).await? {
        message.by.leave().await?;
    }
    let _offered = (chat.clone() == chat, ChatClient::promise(), serde_of(&chat));
    Ok(())
}

fn serde_of<T: Serialize + for<'a> Deserialize<'a> + Send + Sync>(_: &T) {}

fn main() {}
