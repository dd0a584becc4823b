//! Every rule of `#[capnode::interface]`, by the name of its file: what `pass` says is right runs,
//! and what `fail` says is wrong is refused with a message that tells what to write instead.
//!
//! After a change of messages: `TRYBUILD=overwrite cargo test -p capnode-ui`, and read the diff.

#[test]
fn ui() {
    let tests = trybuild::TestCases::new();
    tests.pass("pass/*/*.rs");
    tests.compile_fail("fail/*/*.rs");
}
