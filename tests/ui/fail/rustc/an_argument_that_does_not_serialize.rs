//! Arguments are written and read by serde.

/// Has no derives.
pub struct Plain;

#[capnode::interface]
pub trait Chat {
    async fn put(&self, key: &str, value: Plain) -> u32;
}

struct Room;

impl Chat for Room {
    async fn put(&self, _: &str, _: Plain) -> u32 {
        3
    }
}

fn offer() -> ChatClient {
    ChatClient::new(Room)
}

fn main() {}
