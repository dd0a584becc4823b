//! The emitted code needs no prelude.
#![no_implicit_prelude]

#[::capnode::interface]
pub trait Chat {
    async fn join(
        &self,
        name: &str,
        f: ::capnode::Func<fn(::std::string::String) -> u32>,
    ) -> ::core::result::Result<ChatClient, ::std::string::String>;
    async fn all(&self, names: &[::std::string::String]);
    #[capnode(property)]
    async fn count(&self) -> u32 {
        3
    }
    #[cfg(any())]
    async fn gone(&self);
}

#[::capnode::interface(extends(Chat))]
pub trait Store<T> {
    async fn put(&self, value: T) -> ::core::option::Option<T>;
}

#[::capnode::interface(extends(Store<T>))]
pub trait Shelf<T> {}

struct Room;

impl Chat for Room {
    async fn join(
        &self,
        _name: &str,
        _f: ::capnode::Func<fn(::std::string::String) -> u32>,
    ) -> ::core::result::Result<ChatClient, ::std::string::String> {
        ::core::result::Result::Ok(ChatClient::new(Room))
    }

    async fn all(&self, _names: &[::std::string::String]) {}
}

fn main() {
    let chat = ChatClient::new(Room);
    let count = ::capnode_ui::run(chat.count());
    ::core::assert_eq!(::core::result::Result::unwrap(count), 3);
}
