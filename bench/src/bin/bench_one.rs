//! Makes one measurement, and prints it as a line of JSON.

fn main() {
    capnode_bench::one::main();
}
