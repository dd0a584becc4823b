//! An option that is unknown, given twice or has the wrong form gives one error, which lists those that there are.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    #[capnode(propery)]
    async fn unknown(&self) -> u32;
    #[capnode]
    async fn none(&self) -> u32;
    #[capnode()]
    async fn none_in_brackets(&self) -> u32;
    #[capnode(name)]
    async fn without_its_value(&self) -> u32;
    #[capnode(no_cancel)]
    #[capnode(blocking, no_cancel)]
    async fn twice(&self) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn unknown(&self) -> u32 {
        3
    }

    async fn none(&self) -> u32 {
        3
    }

    async fn none_in_brackets(&self) -> u32 {
        3
    }

    async fn without_its_value(&self) -> u32 {
        3
    }

    async fn twice(&self) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    chat.unknown().await?;
    chat.none().await?;
    chat.none_in_brackets().await?;
    chat.without_its_value().await?;
    chat.twice().await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
