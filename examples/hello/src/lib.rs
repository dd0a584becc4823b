use capnode::Func;

#[capnode::interface]
pub trait Chat {
    /// Enters the room. `on_message` is called with each message from then on.
    async fn join(&self, name: &str, on_message: Func<fn(String)>) -> SeatClient;
}

#[capnode::interface]
pub trait Seat {
    /// Says something to everyone in the room.
    async fn say(&self, text: &str);
}
