use std::sync::{Arc, Mutex};

use capnode::{Func, Node};
use hello::{Chat, ChatClient, Seat, SeatClient};

/// A member's callback, called with each message.
type OnMessage = Func<fn(String)>;

/// The chat room: one callback for each member.
#[derive(Clone, Default)]
struct Room {
    members: Arc<Mutex<Vec<OnMessage>>>,
}

impl Room {
    fn tell_all(&self, message: &str) {
        println!("{message}");
        let members = self.members.lock().unwrap().clone();
        for on_message in members {
            // An error means that this member has disconnected, or reads so slowly that it misses this message.
            let _unsent = on_message.call(message.to_owned()).send();
        }
    }
}

impl Chat for Room {
    async fn join(&self, name: &str, on_message: Func<fn(String)>) -> SeatClient {
        self.members.lock().unwrap().push(on_message.clone());
        self.tell_all(&format!("* {name} joins"));
        SeatClient::new(Member { name: name.to_owned(), on_message, room: self.clone() })
    }
}

/// One member's seat. It lives as long as the member holds a client for it.
struct Member {
    name: String,
    on_message: OnMessage,
    room: Room,
}

impl Seat for Member {
    async fn say(&self, text: &str) {
        self.room.tell_all(&format!("{}: {text}", self.name));
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.room.members.lock().unwrap().retain(|other| *other != self.on_message);
        self.room.tell_all(&format!("* {} leaves", self.name));
    }
}

#[tokio::main]
async fn main() -> Result<(), capnode::Error> {
    let url = std::env::args().nth(1).unwrap_or("ws://127.0.0.1:5004".to_owned());
    let node =
        Node::builder().index(ChatClient::new(Room::default())).allow_origin("http://localhost:8000").build();
    let listener = node.listen(&url).await?;
    println!("listening on {}", listener.url());
    std::future::pending().await
}
