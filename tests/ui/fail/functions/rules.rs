//! A method with a function that breaks a rule is named after the rule, and gives one error, at the function.

use capnode::Func;

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn no_borrows(&self, f: Func<fn(&str)>) -> u32;
    async fn no_function_pointers(&self, f: fn(u32) -> u32) -> u32;
    async fn six_arguments_at_most(&self, f: Func<fn(u8, u8, u8, u8, u8, u8, u8)>) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn no_borrows(&self, _: Func<fn(&str)>) -> u32 {
        3
    }

    async fn no_function_pointers(&self, f: fn(u32) -> u32) -> u32 {
        f(3)
    }

    async fn six_arguments_at_most(&self, _: Func<fn(u8, u8, u8, u8, u8, u8, u8)>) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    chat.no_borrows(|_: &str| async {}).await?;
    chat.no_function_pointers(|n| n + 1).await?;
    chat.six_arguments_at_most(|_: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8| async {}).await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
