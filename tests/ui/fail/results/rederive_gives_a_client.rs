//! What can be had again by the same call is one client.

#[capnode::interface]
pub trait Room {
    async fn say(&self, line: &str);
}

#[capnode::interface]
pub trait Chat {
    #[capnode(rederive)]
    async fn login(&self) -> RoomClient;
    #[capnode(rederive)]
    async fn try_login(&self) -> Result<RoomClient, String>;
    #[capnode(rederive, property)]
    async fn hall(&self) -> RoomClient;
    #[capnode(rederive)]
    async fn rooms(&self) -> Vec<RoomClient>;
    #[capnode(rederive)]
    async fn leave(&self);
}

fn main() {}
