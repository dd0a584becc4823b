//! Results are written and read by serde.

/// Has no derives.
pub struct Plain;

#[capnode::interface]
pub trait Chat {
    async fn get(&self, key: &str) -> Option<Plain>;
}

struct Room;

impl Chat for Room {
    async fn get(&self, _: &str) -> Option<Plain> {
        None
    }
}

fn offer() -> ChatClient {
    ChatClient::new(Room)
}

fn main() {}
