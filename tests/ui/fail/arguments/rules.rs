//! A method whose argument breaks a rule is named after the rule, and gives one error, at the argument.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::mpsc;

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    async fn no_borrows_inside(&self, names: Vec<&str>) -> u32;
    async fn no_borrows_in_a_borrow(&self, names: &[&str]) -> u32;
    async fn no_borrows_by_lifetime(&self, name: Option<Cow<'_, str>>) -> u32;
    async fn no_dyn_trait(&self, what: &dyn Display) -> u32;
    async fn no_dyn_trait_in_a_box(&self, what: Box<dyn Display>) -> u32;
    async fn no_impl_trait(&self, f: impl Fn(u32) -> u32 + Send) -> u32;
    async fn no_impl_stream(&self, numbers: impl Stream<Item = u32> + Send) -> u32;
    async fn no_channel(&self, numbers: mpsc::Receiver<u32>) -> u32;
    async fn no_mut_borrows(&self, list: &mut Vec<u32>) -> u32;
    async fn no_patterns(&self, (a, b): (u32, u32)) -> u32;
    async fn not_mut(&self, mut n: u32) -> u32 {
        n += 1;
        n
    }
    async fn not_nameless(&self, _: u32) -> u32;
    async fn not_lent_for_ever(&self, text: &'static str) -> u32;
    async fn not_the_implementation(&self, other: &Self) -> u32;
    async fn leave(&self);
}

pub trait Stream {
    type Item;
}

impl<T> Stream for Option<T> {
    type Item = T;
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn no_borrows_inside(&self, names: Vec<&str>) -> u32 {
        names.len() as u32
    }

    async fn no_borrows_in_a_borrow(&self, names: &[&str]) -> u32 {
        names.len() as u32
    }

    async fn no_borrows_by_lifetime(&self, name: Option<Cow<'_, str>>) -> u32 {
        name.is_some().into()
    }

    async fn no_dyn_trait(&self, what: &dyn Display) -> u32 {
        what.to_string().len() as u32
    }

    async fn no_dyn_trait_in_a_box(&self, what: Box<dyn Display>) -> u32 {
        what.to_string().len() as u32
    }

    async fn no_impl_trait(&self, f: impl Fn(u32) -> u32 + Send) -> u32 {
        f(3)
    }

    async fn no_impl_stream(&self, _numbers: impl Stream<Item = u32> + Send) -> u32 {
        3
    }

    async fn no_channel(&self, numbers: mpsc::Receiver<u32>) -> u32 {
        numbers.recv().unwrap_or_default()
    }

    async fn no_mut_borrows(&self, list: &mut Vec<u32>) -> u32 {
        list.push(3);
        3
    }

    async fn no_patterns(&self, (a, b): (u32, u32)) -> u32 {
        a + b
    }

    async fn not_nameless(&self, _: u32) -> u32 {
        3
    }

    async fn not_lent_for_ever(&self, text: &'static str) -> u32 {
        text.len() as u32
    }

    async fn not_the_implementation(&self, _: &Self) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    chat.no_borrows_inside(vec!["a"]).await?;
    chat.no_borrows_in_a_borrow(&["a"]).await?;
    chat.no_borrows_by_lifetime(None).await?;
    chat.no_dyn_trait(&3).await?;
    chat.no_dyn_trait_in_a_box(Box::new(3)).await?;
    chat.no_impl_trait(|n| n + 1).await?;
    chat.no_impl_stream(Some(3)).await?;
    chat.no_channel(mpsc::channel::<u32>().1).await?;
    chat.no_mut_borrows(&mut Vec::new()).await?;
    chat.no_patterns((1, 2)).await?;
    chat.not_mut(1).await?;
    chat.not_nameless(1).await?;
    chat.not_lent_for_ever("hi").await?;
    chat.not_the_implementation(&Room).await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
