//! capnode may have another name, or be reached by a path: see the crate with these interfaces.

use capnode_ui::run;
use capnode_ui_renamed::{ByPath, ByPathClient, Chat, ChatClient, Child, ChildClient};

mod reexports {
    pub use capnode as library;
}

#[reexports::library::interface(crate = reexports::library)]
pub trait Relative {
    async fn four(&self) -> u32 {
        4
    }
}

struct Room;

impl Chat for Room {
    async fn say(&self, text: &str, heard: capnode::Func<fn(u32)>) -> Result<u32, String> {
        heard.call(2).await.map_err(|error| error.to_string())?;
        Ok(text.len() as u32)
    }
}

impl Child<u32> for Room {
    async fn put(&self, value: u32) -> u32 {
        value
    }
}

impl ByPath for Room {}
impl Relative for Room {}

fn main() {
    run(async {
        let child = ChildClient::<u32>::new(Room);
        assert_eq!(child.put(2).await.unwrap(), 2);
        assert_eq!(ChatClient::from(child).say("a", |_: u32| async {}).await.unwrap(), 1);
        assert_eq!(ByPathClient::new(Room).three().await.unwrap(), 3);
        assert_eq!(RelativeClient::new(Room).four().await.unwrap(), 4);
    });
}
