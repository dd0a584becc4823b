//! Puts a tour server to the checks, whichever library it is written with.
//!
//! ```text
//! cargo run --example tour_client -- --connect ws://127.0.0.1:5004 --strict
//! ```

use std::error::Error;
use std::process::ExitCode;

use capnode::{Connection, Dialect};
use capnode_conformance::Expect;
use capnode_examples::cli;

const USAGE: &str = "usage: tour_client --connect URL [--dialect capnweb|capnode|q] [--strict]

Runs the checks against the tour server at URL, such as ws://127.0.0.1:5004, in Cap'n Web or the
given language. With --strict it expects what a server written in Rust does, also where one in
JavaScript does something else; without it, what one in JavaScript does.

Prints `ok NAME` or `FAILED NAME: why` for each check and last `N passed, M failed`. Exits with 1 if
any failed.";

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Some(options) =
        cli::options(std::env::args().skip(1), &["--connect", "--dialect"], &["--strict"], USAGE)?
    else {
        return Ok(ExitCode::SUCCESS);
    };
    let url = options.iter().find(|(name, _)| name == "--connect").map(|(_, url)| url);
    let url = url.ok_or_else(|| cli::misuse("--connect is missing", USAGE))?;
    let strict = options.iter().any(|(name, _)| name == "--strict");

    let dialect = match options.iter().rfind(|(name, _)| name == "--dialect") {
        Some((_, name)) => {
            name.parse().map_err(|error: capnode::Error| cli::misuse(error.to_string(), USAGE))?
        }
        None => Dialect::CapnWeb,
    };

    let connection: Connection = capnode::connect(url).dialect(dialect).await?;
    let expect = if strict { Expect::Rust } else { Expect::Any };
    let tell = |line: &str| println!("{line}");
    let summary = if url.starts_with("http") {
        capnode_conformance::run_batches(&connection, expect, tell).await
    } else {
        capnode_conformance::run(&connection, expect, tell).await
    };
    println!("{summary}");
    Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
