//! The costs of each byte that a peer sends. For everything that can be written into a message, at two sizes, the test
//! counts allocations, bytes of memory and bytes of answer. None may grow faster than the message.
//!
//! Counted is what is allocated, not how long it takes. The times are printed, so that work that allocates nothing and
//! still grows with the square of the message can be seen: with `CAPNODE_TIMES` set, the best of several.

use std::alloc::System;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use capnode::Dialect;
use capnode::sans_io::Core;
use capnode_tests::amplification::constructs::{Construct, constructs};
use capnode_tests::amplification::{Use, is_result, start};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Serializes the tests, since allocations are counted for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The small size. The large one is four times as much.
const SMALL: usize = 16 << 10;

/// The most allocations for each byte of a message. The bytes are all that were allocated one after the other, not all
/// at once. The costliest message has an array of its own in every two bytes, which is read, kept and written again.
const ALLOCATIONS: f64 = 3.0;
const BYTES: f64 = 400.0;
const ANSWER: f64 = 8.0;

/// The most growth for a message of four times the size, and the bytes that any message may cost.
const GROWTH: f64 = 4.5;
const ANYWAY: usize = 16 << 10;

#[derive(Debug)]
struct Cost {
    received: usize,
    allocations: usize,
    bytes: usize,
    answer: usize,
    time: Duration,
    taken: bool,
    /// The bytes that are still allocated when all is dropped.
    left: usize,
}

fn cost(dialect: Dialect, construct: &Construct, used: Use, n: usize) -> Cost {
    let (mut answer, mut taken) = (0, false);
    let whole = Region::new(GLOBAL);
    let (mut session, frame) = start(dialect, construct, used, n);
    let region = Region::new(GLOBAL);
    let start = Instant::now();
    session.end.core().receive(&frame);
    let outcome = session.pump(|frame| {
        answer += frame.len();
        taken |= is_result(dialect, &frame);
    });
    let time = start.elapsed();
    let change = region.change();
    taken |= matches!(outcome, Some(Ok(_)));
    let received = frame.len();
    drop((outcome, session, frame));
    let all = whole.change();
    Cost {
        received,
        allocations: change.allocations + change.reallocations,
        bytes: change.bytes_allocated,
        answer,
        time,
        taken,
        left: all.bytes_allocated.saturating_sub(all.bytes_deallocated),
    }
}

/// Returns the cost once nothing more is left each time, if that comes: the library keeps a few large buffers.
fn settled_cost(dialect: Dialect, construct: &Construct, used: Use, n: usize) -> Cost {
    let mut costs = (0..10).map(|_| cost(dialect, construct, used, n));
    let first = costs.next().expect("there are ten");
    if first.left <= ANYWAY { first } else { costs.find(|cost| cost.left <= ANYWAY).unwrap_or(first) }
}

#[test]
fn nothing_costs_more_than_in_proportion() {
    let _alone = alone();
    let mut wrong = Vec::new();
    let times = std::env::var_os("CAPNODE_TIMES").is_some();
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        println!(
            "\n{:<48} {:>8} {:>11} {:>8} {:>8} {:>10} {:>10}",
            format!("{dialect:?}, a byte"),
            "allocs",
            "bytes",
            "answer",
            "growth",
            "time x 4",
            "time"
        );
        for construct in constructs(dialect) {
            for used in [Use::Echoed, Use::Ignored, Use::Answered] {
                // Allocations made once in a program are made here.
                cost(dialect, &construct, used, 256);
                let [small, large] = [SMALL, 4 * SMALL].map(|n| settled_cost(dialect, &construct, used, n));
                let again = if times { 5 } else { 0 };
                let time = |once: &Cost, n| {
                    (0..again).map(|_| cost(dialect, &construct, used, n).time).fold(once.time, Ord::min)
                };
                let (soon, late) = (time(&small, SMALL), time(&large, 4 * SMALL));
                let each = |count: usize| count as f64 / large.received as f64;
                let growth = large.bytes as f64 / small.bytes as f64;
                let name = format!("{}, {used:?}", construct.name).to_lowercase();
                println!(
                    "{name:<48} {:>8.3} {:>11.1} {:>8.1} {growth:>8.1} {:>10.1} {:>10?}{}",
                    each(large.allocations),
                    each(large.bytes),
                    each(large.answer),
                    late.as_secs_f64() / soon.as_secs_f64(),
                    late,
                    if large.taken { "" } else { " refused" },
                );
                wrong.extend(
                    problems(&construct, used, &small, &large)
                        .into_iter()
                        .map(|what| format!("{dialect:?}, {name}: {what}\n  {small:?}\n  {large:?}")),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

fn problems(construct: &Construct, used: Use, small: &Cost, large: &Cost) -> Vec<&'static str> {
    let mut problems = Vec::new();
    let mut check = |what, holds: bool| {
        if !holds {
            problems.push(what);
        }
    };
    for cost in [small, large] {
        let at_most = |count: usize, each: f64| count as f64 <= each * cost.received as f64 + ANYWAY as f64;
        check("too many allocations", at_most(cost.allocations, ALLOCATIONS));
        check("too many bytes", at_most(cost.bytes, BYTES));
        check("too long an answer", at_most(cost.answer, ANSWER));
        check("something is left", cost.left <= ANYWAY);
        check("it is taken otherwise", construct.taken.fits(used, cost.taken));
    }
    let grows = |small: usize, large: usize| large as f64 <= GROWTH * small as f64 + ANYWAY as f64;
    check("allocations grow faster", grows(small.allocations, large.allocations));
    check("bytes grow faster", grows(small.bytes, large.bytes));
    check("the answer grows faster", grows(small.answer, large.answer));
    problems
}

/// An object whose property leads to itself, and whose method does not end.
#[capnode::interface]
trait Walk {
    #[capnode(property)]
    async fn onward(&self) -> WalkClient;
    async fn stay(&self);
}

struct Walker(std::sync::Weak<Walker>);

impl Walk for Walker {
    async fn onward(&self) -> WalkClient {
        WalkClient::from_arc(self.0.upgrade().unwrap())
    }

    async fn stay(&self) {
        std::future::pending().await
    }
}

/// Returns the counted bytes of a call at the end of a path of `steps` members and the bytes allocated for it, while it
/// runs.
fn walk(steps: usize) -> (usize, usize) {
    let walker = WalkClient::from_arc(std::sync::Arc::new_cyclic(|this| Walker(this.clone())));
    let core = Core::accepting(walker);
    core.receive(r#"["release",0,0]"#);
    let path = vec!["\"onward\""; steps].join(",");
    let call = format!(r#"["push",["pipeline",0,[{path},"stay"],[]]]"#);
    let region = Region::new(GLOBAL);
    core.receive(&call);
    let mut running = core.handlers();
    for _ in 0..4 * steps {
        let mut cx = Context::from_waker(Waker::noop());
        running.retain_mut(|handler| Pin::new(handler).poll(&mut cx).is_pending());
        running.extend(core.handlers());
    }
    (core.report().call_bytes, region.change().bytes_allocated)
}

#[test]
fn each_step_of_a_path_costs_the_same_and_counts() {
    let _alone = alone();
    walk(15);
    // Other threads of the test's program may allocate at the same time.
    let least = |steps| (0..3).map(|_| walk(steps)).min_by_key(|(_, allocated)| *allocated).unwrap();
    let ((few, small), (many, large)) = (least(15), least(60));
    println!("{small} bytes for 15 steps, counted as {few}; {large} for 60, counted as {many}");
    assert!(large as f64 <= GROWTH * small as f64, "{small} and {large}");
    assert!(large <= 8 * many, "{many} are counted for {large}");
    assert!(many >= few + 45 * 512, "{few} and {many}");
}
