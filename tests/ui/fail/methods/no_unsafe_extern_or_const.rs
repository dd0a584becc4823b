//! A method is an ordinary one.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async unsafe fn a(&self) -> u32;
    async extern "C" fn b(&self) -> u32;
    const fn c(&self) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async unsafe fn a(&self) -> u32 {
        1
    }

    async extern "C" fn b(&self) -> u32 {
        2
    }

    fn c(&self) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    let _sum: u32 = chat.a().await? + chat.b().await? + chat.c().await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
