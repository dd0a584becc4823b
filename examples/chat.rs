//! A chat: callbacks for messages, an object for each seat. A member that drops the seat has left, and one whose seat is
//! revoked was kicked.
//!
//! ```text
//! cargo run --example chat
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use capnode::{Error, Func, Listener, Membrane, Node, policy};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// The index of the server.
#[capnode::interface]
trait Chat {
    /// Takes a seat. `on_message` is called with each message from then on.
    async fn join(&self, name: &str, on_message: Func<fn(Message)>) -> Result<SeatClient, JoinError>;
}

/// A seat in the room. Its holder leaves by dropping it.
#[capnode::interface]
trait Seat {
    /// Says something to all other members.
    async fn say(&self, text: &str);

    /// Returns the names of the members.
    #[capnode(property)]
    async fn members(&self) -> Vec<String>;
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Message {
    from: String,
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
enum JoinError {
    NameTaken(String),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::NameTaken(name) => write!(f, "the name {name} is taken"),
        }
    }
}

impl std::error::Error for JoinError {}

/// A place in the room.
#[derive(Clone)]
struct Place {
    on_message: Func<fn(Message)>,
    /// The border around the seat that was handed out.
    border: Membrane,
}

/// The members, with the place of each.
type Members = BTreeMap<String, Place>;

#[derive(Clone, Default)]
struct Room {
    members: Arc<Mutex<Members>>,
}

impl Room {
    fn members<T>(&self, with: impl FnOnce(&mut Members) -> T) -> T {
        with(&mut self.members.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells all members but `from`. No member waits for a slow or absent one.
    fn tell(&self, from: &str, text: &str) {
        let message = Message { from: from.to_owned(), text: text.to_owned() };
        let others = self.members(|members| members.clone());
        for (_, place) in others.iter().filter(|(name, _)| *name != from) {
            // A member that cannot be reached is about to lose the seat.
            let _gone = place.on_message.call(message.clone()).send();
        }
    }

    /// Takes the seat of a member back.
    fn kick(&self, name: &str, reason: &str) {
        let place = self.members(|members| members.get(name).cloned());
        if let Some(place) = place {
            place.border.revoke(Error::rejected(reason));
        }
    }
}

impl Chat for Room {
    async fn join(&self, name: &str, on_message: Func<fn(Message)>) -> Result<SeatClient, JoinError> {
        // Nobody says more than 20 things a second.
        let border = Membrane::new(policy::rate(20, Duration::from_secs(1), |_| ()));
        let place = Place { on_message, border: border.clone() };
        let is_free = self.members(|members| {
            let is_free = !members.contains_key(name);
            if is_free {
                members.insert(name.to_owned(), place);
            }
            is_free
        });
        if !is_free {
            return Err(JoinError::NameTaken(name.to_owned()));
        }
        self.tell(name, "(comes in)");
        Ok(border.wrap(SeatClient::new(Taken { room: self.clone(), name: name.to_owned() })))
    }
}

struct Taken {
    room: Room,
    name: String,
}

impl Seat for Taken {
    async fn say(&self, text: &str) {
        self.room.tell(&self.name, text);
    }

    async fn members(&self) -> Vec<String> {
        self.room.members(|members| members.keys().cloned().collect())
    }
}

/// Runs when the seat is no longer held: it was dropped or revoked, or its holder's connection has ended.
impl Drop for Taken {
    fn drop(&mut self) {
        self.room.members(|members| members.remove(&self.name));
        self.room.tell(&self.name, "(leaves)");
    }
}

/// A user at the other end of a connection of their own.
struct Member {
    chat: ChatClient,
    name: &'static str,
    heard: Arc<Notify>,
}

impl Member {
    async fn connect(listener: &Listener, name: &'static str) -> Result<Self, capnode::Error> {
        let chat = capnode::connect(&listener.url()).await?;
        Ok(Self { chat, name, heard: Arc::default() })
    }

    /// Joins, and prints each message from then on.
    async fn join(&self) -> Result<SeatClient, capnode::CallError<JoinError>> {
        let (name, heard) = (self.name, self.heard.clone());
        let on_message = move |message: Message| {
            println!("    {name} reads: {}: {}", message.from, message.text);
            heard.notify_one();
            async {}
        };
        self.chat.join(self.name, on_message).await
    }

    /// Waits for a message.
    async fn hears(&self) {
        self.heard.notified().await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let room = Room::default();
    let listener = Node::new(ChatClient::new(room.clone())).listen("ws://127.0.0.1:0").await?;
    let ann = Member::connect(&listener, "ann").await?;
    let bob = Member::connect(&listener, "bob").await?;

    println!("ann joins");
    let anns_seat = ann.join().await?;

    println!("bob joins");
    let bobs_seat = bob.join().await?;
    ann.hears().await;

    println!("ann says hello");
    anns_seat.say("hello").await?;
    bob.hears().await;

    println!("bob says hi");
    bobs_seat.say("hi ann").await?;
    ann.hears().await;

    println!("somebody else wants to be ann");
    let impostor = Member::connect(&listener, "ann").await?;
    if let Err(error) = impostor.join().await {
        println!("    refused: {error}");
    }

    println!("bob is kicked");
    room.kick("bob", "you were rude");
    ann.hears().await;
    if let Err(error) = bobs_seat.say("rude?").await {
        println!("    refused: {error}");
    }

    println!("bob comes back, and drops his seat");
    let bobs_seat = bob.join().await?;
    ann.hears().await;
    drop(bobs_seat);
    ann.hears().await;
    println!("    still there: {}", anns_seat.members().await?.join(", "));
    Ok(())
}
