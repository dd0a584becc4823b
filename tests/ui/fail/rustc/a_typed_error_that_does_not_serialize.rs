//! A typed error is printed, and written and read by serde.

/// Has no derives.
pub struct Plain;

#[capnode::interface]
pub trait Chat {
    async fn get(&self, key: &str) -> Result<u32, Plain>;
}

struct Room;

impl Chat for Room {
    async fn get(&self, _: &str) -> Result<u32, Plain> {
        Ok(3)
    }
}

fn offer() -> ChatClient {
    ChatClient::new(Room)
}

fn main() {}
