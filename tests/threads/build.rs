//! Has the library take shuttle's locks.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(capnode_shuttle)");
    println!("cargo::rustc-cfg=capnode_shuttle");
}
