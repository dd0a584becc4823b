//! Without an interface the arguments of a call are a tuple.

use capnode::Cap;

fn calls(cap: &Cap) {
    drop(cap.invoke::<u32>("double", 2));
}

fn main() {}
