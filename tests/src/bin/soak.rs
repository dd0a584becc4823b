//! Ten million calls, a million callbacks and a hundred thousand connections cut in the middle of a call, over real
//! sockets; and whether the memory is flat at the end. Takes a while.
//!
//! ```text
//! cargo run --release -p capnode-tests --bin soak
//! cargo run --release -p capnode-tests --bin soak -- --dialect q --percent 1
//! ```

use std::alloc::System;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use capnode::Dialect;
use capnode_examples::cli;
use capnode_tests::memory::{allocated, resident};
use capnode_tests::panics;
use capnode_tests::soak::{Amount, Soak};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const USAGE: &str = "usage: soak [--dialect capnweb|capnode|q] [--percent N]

Makes 10,000,000 calls, makes and drops 1,000,000 callbacks, and opens 100,000 connections that are
cut in the middle of a call, or N percent of each. Exits with 1 if memory, tables or what is alive
are not at the end what they were after the warm-up, which is a tenth more in advance.";

const FULL: Amount = Amount { calls: 10_000_000, callbacks: 1_000_000, connections: 100_000 };

const PARTS: usize = 10;

/// The bytes that the allocator may retain.
const SLACK_RESIDENT: u64 = 8 << 20;

/// The bytes that grown buffers and tables may retain.
const SLACK_ALLOCATED: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Some(options) = cli::options(std::env::args().skip(1), &["--dialect", "--percent"], &[], USAGE)?
    else {
        return Ok(ExitCode::SUCCESS);
    };
    let mut dialect = Dialect::CapnWeb;
    let mut percent = 100;
    for (name, value) in &options {
        match name.as_str() {
            "--dialect" => dialect = value.parse().map_err(|error: capnode::Error| misuse(&error))?,
            _ => percent = value.parse().map_err(|error: std::num::ParseIntError| misuse(&error))?,
        }
    }
    let part = FULL.divided_by(PARTS * 100);
    let part = Amount {
        calls: part.calls * percent,
        callbacks: part.callbacks * percent,
        connections: part.connections * percent,
    };

    println!(
        "{:>9} {:>10} {:>10} {:>10} {:>9} {:>10}",
        "", "calls/s", "backs/s", "cuts/s", "RSS MiB", "heap KiB"
    );
    let row = |what: &str, rates: &str, memory: Memory| {
        println!("{what:>9} {rates:>32} {:>9} {:>10}", mebibytes(memory.resident), memory.allocated >> 10);
    };
    let begun = Instant::now();
    let soak = Soak::start(dialect).await;
    row("start", "", Memory::now());
    soak.run(part).await;
    let left_before = soak.quiet().await;
    let before = Memory::now();
    row("warm", "", before);
    let mut took = Duration::ZERO;
    for number in 1..=PARTS {
        let start = Instant::now();
        let each = soak.run(part).await;
        took += start.elapsed();
        soak.quiet().await;
        let rates = [
            rate(part.calls, each.calls),
            rate(part.callbacks, each.callbacks),
            rate(part.connections, each.connections),
        ];
        let rates = rates.map(|rate| format!("{rate:>10}")).join(" ");
        row(&format!("{number}/{PARTS}"), &rates, Memory::now());
    }
    let left = soak.quiet().await;
    let after = Memory::now();
    let (connections, ended) = soak.end().await;
    println!(
        "{} calls, {} callbacks, {} connections cut, in {took:.0?}, {:.0?} with the warm-up",
        part.calls * PARTS,
        part.callbacks * PARTS,
        part.connections * PARTS,
        begun.elapsed(),
    );
    println!("before: {left_before}\nafter:  {left}\nended:  {ended}; {connections} connections were left");

    let mut flat = true;
    let mut check = |what: &str, holds: bool| {
        if !holds {
            println!("NOT FLAT: {what}");
            flat = false;
        }
    };
    let resident = after.resident.zip(before.resident);
    check("RSS has grown", resident.is_none_or(|(after, before)| after <= before + SLACK_RESIDENT));
    check("the heap has grown", after.allocated <= before.allocated + SLACK_ALLOCATED);
    check("tables and what is alive differ", left.is_like(&left_before, dialect));
    check("something has panicked", panics::count() == 0);
    check("something is left at the end", ended.is_empty());
    if resident.is_none() {
        println!("RSS is left out: there is no /proc here");
    }
    println!("{}", if flat { "flat" } else { "not flat" });
    Ok(if flat { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Clone, Copy)]
struct Memory {
    resident: Option<u64>,
    allocated: usize,
}

impl Memory {
    fn now() -> Self {
        Self { resident: resident(std::process::id()), allocated: allocated(ALLOCATED) }
    }
}

fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "?".to_owned(), |bytes| format!("{:.1}", bytes as f64 / f64::from(1 << 20)))
}

fn rate(count: usize, took: Duration) -> String {
    format!("{:.0}", count as f64 / took.as_secs_f64())
}

fn misuse(problem: &dyn std::fmt::Display) -> cli::Misuse {
    cli::misuse(problem.to_string(), USAGE)
}
