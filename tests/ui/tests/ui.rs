//! Every rule of `#[capnode::interface]`, by the name of its file or, in a `rules.rs`, of its method: the code in `pass` is
//! right and runs, and that in `fail` is wrong and refused with a message that tells what to write instead.
//!
//! After a change of messages: `TRYBUILD=overwrite cargo test -p capnode-ui`, and read the diff.

use std::process::Command;

/// The compiler whose words stand in the `.stderr` files.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn ui() {
    let tests = trybuild::TestCases::new();
    tests.pass("pass/*/*.rs");
    let version =
        Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("--version").output();
    let version = String::from_utf8(version.expect("the compiler runs").stdout).expect("a version is text");
    if version.starts_with(COMPILER) {
        tests.compile_fail("fail/*/*.rs");
    } else {
        // Half of each message is the compiler's, which words it anew in every version.
        eprintln!(
            "left out: what is refused, since the messages are those of {COMPILER}x and this is {version}"
        );
    }
}
