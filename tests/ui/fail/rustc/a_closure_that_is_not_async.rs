//! Where a function is wanted, its closure returns a future.

use capnode::Func;

#[capnode::interface]
pub trait Chat {
    async fn on(&self, f: Func<fn(u32) -> u32>);
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    chat.on(|n: u32| n + 1).await
}

fn main() {}
