//! The client of an interface has a `clone`, a `cap` and others itself, and would hide those of the interface it extends.

#[capnode::interface]
pub trait Odd {
    async fn clone(&self) -> u32;
}

#[capnode::interface(extends(Odd))]
pub trait Odder {}

#[capnode::interface]
pub trait Hat {
    async fn cap(&self) -> u32;
}

#[capnode::interface(extends(Hat))]
pub trait Shop<T> {
    async fn sell(&self, price: T);
}

#[capnode::interface]
pub trait Log {}

#[capnode::interface]
pub trait Logged {
    async fn as_log(&self) -> u32;
}

#[capnode::interface(extends(Logged, Log))]
pub trait Both {}

fn main() {}
