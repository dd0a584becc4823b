//! Callers elsewhere can promise nothing.

#[capnode::interface]
pub unsafe trait Chat {
    async fn say(&self);
}

struct Room;

unsafe impl Chat for Room {
    async fn say(&self) {}
}

async fn use_it() -> Result<(), capnode::Error> {
    ChatClient::new(Room).say().await
}

fn main() {}
