//! A method that breaks a rule is named after the rule, and gives one error, at its place.

use std::sync::Arc;

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    fn async_only(&self) -> u32;
    async fn called_on_an_object(name: String) -> u32;
    async fn not_by_mut_self(&mut self) -> u32;
    async fn not_by_value(self) -> u32;
    async fn not_by_arc(self: Arc<Self>) -> u32;
    async fn not_generic<T: Clone>(&self, value: T) -> T;
    async fn no_lifetime_parameters<'a>(&'a self, text: &'a str) -> u32;
    async fn no_where_clause(&self) -> u32
    where
        Self: Sized;
    async unsafe fn not_unsafe(&self) -> u32;
    async extern "C" fn not_extern(&self) -> u32;
    const fn not_const(&self) -> u32;
    #[capnode(property)]
    async fn a_property_has_no_arguments(&self, of: u32) -> u32;
    #[cfg_attr(unix, cfg(all()))]
    async fn no_conditional_conditions(&self) -> u32;
    async fn twelve_arguments_at_most(
        &self,
        a: u8,
        b: u8,
        c: u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
        i: u8,
        j: u8,
        k: u8,
        l: u8,
        m: u8,
    ) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    fn async_only(&self) -> u32 {
        3
    }

    async fn called_on_an_object(_: String) -> u32 {
        3
    }

    async fn not_by_mut_self(&mut self) -> u32 {
        3
    }

    async fn not_by_value(self) -> u32 {
        3
    }

    async fn not_by_arc(self: Arc<Self>) -> u32 {
        3
    }

    async fn not_generic<T: Clone>(&self, value: T) -> T {
        value
    }

    async fn no_lifetime_parameters<'a>(&'a self, text: &'a str) -> u32 {
        text.len() as u32
    }

    async fn no_where_clause(&self) -> u32 {
        3
    }

    async unsafe fn not_unsafe(&self) -> u32 {
        3
    }

    async extern "C" fn not_extern(&self) -> u32 {
        3
    }

    fn not_const(&self) -> u32 {
        3
    }

    async fn a_property_has_no_arguments(&self, of: u32) -> u32 {
        of
    }

    async fn no_conditional_conditions(&self) -> u32 {
        3
    }

    async fn twelve_arguments_at_most(
        &self,
        a: u8,
        b: u8,
        c: u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
        i: u8,
        j: u8,
        k: u8,
        l: u8,
        m: u8,
    ) -> u32 {
        u32::from(a + b + c + d + e + f + g + h + i + j + k + l + m)
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    chat.async_only().await?;
    ChatClient::called_on_an_object("x".to_owned()).await?;
    chat.not_by_mut_self().await?;
    chat.not_by_value().await?;
    chat.not_by_arc().await?;
    chat.not_generic(3).await?;
    chat.no_lifetime_parameters("hi").await?;
    chat.no_where_clause().await?;
    chat.not_unsafe().await?;
    chat.not_extern().await?;
    chat.not_const().await?;
    chat.a_property_has_no_arguments(3).await?;
    chat.no_conditional_conditions().await?;
    chat.twelve_arguments_at_most(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1).await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
