//! `rename_all` takes what serde takes.

#[capnode::interface(rename_all = "camelcase")]
pub trait Chat {
    async fn say_it(&self);
}

struct Room;

impl Chat for Room {
    async fn say_it(&self) {}
}

async fn use_it() -> Result<(), capnode::Error> {
    ChatClient::new(Room).say_it().await
}

fn main() {}
