//! Objects outlive every borrow.

#[capnode::interface]
pub trait Chat<'a> {
    async fn say(&self, text: &'a str);
}

struct Room;

impl<'a> Chat<'a> for Room {
    async fn say(&self, _: &'a str) {}
}

async fn use_it(chat: ChatClient<'_>) -> Result<(), capnode::Error> {
    chat.say("hi").await
}

fn main() {}
