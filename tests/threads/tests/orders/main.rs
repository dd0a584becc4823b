//! Threads that meet in the library, in many of the orders in which they can: shuttle decides at each lock and each
//! atomic who goes on. A lost wake-up or two locks taken crosswise end as a deadlock, which shuttle reports; whatever
//! fails, it prints the order, for `shuttle::replay`.
//!
//! `CAPNODE_ORDERS=20000` tries that many of each kind instead, `SHUTTLE_RANDOM_SEED=7` others.

mod calls;
mod end;
mod promises;
mod references;
mod things;
mod wakers;
mod harness;

use std::env;
use std::time::Instant;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread::JoinHandle;
use shuttle::{Config, Runner};

/// The number of orders of each kind that are tried.
const ORDERS: usize = 500;

/// Runs a scenario in many orders: half of them with a choice at each step, half with few changes of thread at places
/// that are hard to hit.
fn in_many_orders(scenario: fn()) {
    let orders = env::var("CAPNODE_ORDERS").ok().and_then(|orders| orders.parse().ok());
    explore(orders.unwrap_or(ORDERS), scenario);
}

/// Runs a slow scenario in a fifth of the orders.
fn in_some_orders(scenario: fn()) {
    explore(ORDERS / 5, scenario);
}

fn explore(orders: usize, scenario: fn()) {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.silence_warnings = true;
    let began = Instant::now();
    let random = Runner::new(RandomScheduler::new_from_seed(1, orders), config.clone()).run(scenario);
    let few_changes = Runner::new(PctScheduler::new_from_seed(1, 3, orders), config).run(scenario);
    println!("{} orders in {:?}", random + few_changes, began.elapsed());
}

fn join<T, const N: usize>(threads: [JoinHandle<T>; N]) {
    for thread in threads {
        thread.join().unwrap();
    }
}
