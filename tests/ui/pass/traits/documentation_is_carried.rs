//! Under `#![deny(missing_docs)]` the documentation of the trait is enough; `#[deprecated]` is
//! carried as well, and does not warn within what is emitted.
#![deny(missing_docs, deprecated, warnings)]

/// Interfaces.
pub mod interfaces {
    /// Talks.
    ///
    /// For as long as there is somebody.
    #[capnode::interface]
    pub trait Chat {
        /// Says something.
        async fn say(&self, text: &str);

        /// The subject of the room.
        #[capnode(property)]
        async fn topic(&self) -> String {
            String::new()
        }

        /// Shouts.
        #[deprecated = "say it"]
        async fn shout(&self, text: &str) {
            let _ = text;
        }
    }
}

use interfaces::{Chat, ChatClient};

struct Room;

impl Chat for Room {
    async fn say(&self, _: &str) {}
}

fn main() {
    let _chat = ChatClient::new(Room);
}
