//! A server that shouts, and its client.
//!
//! ```text
//! cargo run --example transform
//! ```

use capnode::{Error, Node};

/// The index of the server.
#[capnode::interface]
trait Shouting {
    /// Replaces the first run of vowels by `oo`, and shouts.
    async fn transform(&self, text: &str) -> String;
}

struct Shouter;

impl Shouting for Shouter {
    async fn transform(&self, text: &str) -> String {
        let vowel = |letter| "aeiou".contains(letter);
        let Some(start) = text.find(vowel) else { return text.to_uppercase() };
        let (before, rest) = text.split_at(start);
        format!("{before}oo{}", rest.trim_start_matches(vowel)).to_uppercase()
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    // The server. Port 0 takes any that is free.
    let node = Node::new(ShoutingClient::new(Shouter));
    let listener = node.listen("ws://127.0.0.1:0").await?;

    // The client. It could be any other program that knows the URL, also one in JavaScript.
    let shouting: ShoutingClient = capnode::connect(&listener.url()).await?;
    println!("beep => {}", shouting.transform("beep").await?);
    Ok(())
}
