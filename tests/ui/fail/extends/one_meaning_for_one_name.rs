//! The client of an interface has the methods of those it extends, so that each name means one thing.

#[capnode::interface]
pub trait Store {
    async fn get(&self, key: &str) -> Option<u32>;
    async fn get_all(&self) -> Vec<u32>;
}

/// One name in Rust, by another on the wire.
#[capnode::interface(extends(Store))]
pub trait Admin {
    #[capnode(name = "read")]
    async fn get(&self) -> u32;
}

/// One name on the wire for two methods.
#[capnode::interface(extends(Store))]
pub trait Keeper {
    #[capnode(name = "getAll")]
    async fn everything(&self) -> u32;
}

#[capnode::interface]
pub trait Log {
    async fn get(&self);
}

/// Two parents with the same name.
#[capnode::interface(extends(Store, Log))]
pub trait Both {}

#[capnode::interface]
pub trait Holder<T, const N: usize> {
    async fn get(&self) -> T;
}

/// Generic interfaces too.
#[capnode::interface(extends(Store, Holder<T, N>))]
pub trait Generic<T: std::fmt::Display, const N: usize> {}

#[capnode::interface(extends(Admin))]
pub trait Deep {
    async fn get_all(&self) -> Vec<u32>;
}

fn main() {}
