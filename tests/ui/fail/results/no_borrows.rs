//! The object may be elsewhere.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn topic(&self) -> &str;
    async fn topics(&self) -> Option<&[String]>;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn topic(&self) -> &str {
        ""
    }

    async fn topics(&self) -> Option<&[String]> {
        None
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let topic = chat.topic().await?;
    let _topics: usize = topic.len() + chat.topics().await?.map_or(0, |topics| topics.len());
    ChatClient::new(Room).leave().await
}

fn main() {}
