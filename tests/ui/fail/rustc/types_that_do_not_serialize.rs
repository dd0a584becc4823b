//! Arguments and results are written and read by serde, and a typed error is printed as well. Each method is named
//! after the part of it that does not serialize.

/// Has no derives of serde.
#[derive(Clone)]
pub struct Plain;

#[capnode::interface]
pub trait Chat {
    async fn an_argument(&self, key: &str, value: Plain) -> u32;
    /// The caller writes it and the object reads it.
    async fn a_borrowed_argument(&self, key: &str, value: &Plain) -> u32;
    async fn a_result(&self, key: &str) -> Option<Plain>;
    async fn a_typed_error(&self, key: &str) -> Result<u32, Plain>;
}

struct Room;

impl Chat for Room {
    async fn an_argument(&self, _: &str, _: Plain) -> u32 {
        3
    }

    async fn a_borrowed_argument(&self, _: &str, _: &Plain) -> u32 {
        3
    }

    async fn a_result(&self, _: &str) -> Option<Plain> {
        None
    }

    async fn a_typed_error(&self, _: &str) -> Result<u32, Plain> {
        Ok(3)
    }
}

fn offer() -> ChatClient {
    ChatClient::new(Room)
}

fn main() {}
