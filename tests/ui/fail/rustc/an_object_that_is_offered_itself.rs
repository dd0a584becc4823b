//! A core offers a client of an object, and not the object.

use capnode::sans_io::Core;

#[capnode::interface]
pub trait Seat {
    async fn name(&self) -> String;
}

struct Window;

impl Seat for Window {
    async fn name(&self) -> String {
        String::new()
    }
}

fn main() {
    let _core = Core::accepting(Window);
}
