//! An option that is unknown, given twice or has the wrong form gives one error, which lists those that there are.

#[capnode::interface(rename = "camelCase")]
pub trait Unknown {
    async fn say(&self);
}

#[capnode::interface(rename_all = "camelcase")]
pub trait UnknownConvention {
    async fn say_it(&self);
}

struct Room;

impl UnknownConvention for Room {
    async fn say_it(&self) {}
}

async fn use_it() -> Result<(), capnode::Error> {
    UnknownConventionClient::new(Room).say_it().await
}

#[capnode::interface(crate = 3)]
pub trait NotAPath {
    async fn say(&self);
}

#[capnode::interface(extends = Chat)]
pub trait NotInBrackets {
    async fn say(&self);
}

#[capnode::interface(name = "a", name = "b")]
pub trait Twice {
    async fn say(&self);
}

fn main() {}
