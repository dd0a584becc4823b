//! The peak memory for each byte that a peer sends, for everything that can be written into a message. `amplification`
//! counts the rest.

use capnode::Dialect;
use capnode_tests::amplification::constructs::{Construct, constructs};
use capnode_tests::amplification::{Use, is_result, start};
use peak_alloc::PeakAlloc;

#[global_allocator]
static GLOBAL: PeakAlloc = PeakAlloc;

const SMALL: usize = 16 << 10;

/// Bytes in use at once for a byte of the message, and for any message.
const PEAK: f64 = 160.0;
const ANYWAY: usize = 16 << 10;

/// The most growth of the peak for a message of four times the size.
const GROWTH: f64 = 4.5;

/// The length of a message, and how much more is in use while it is worked off and answered.
fn peak(dialect: Dialect, construct: &Construct, used: Use, n: usize) -> (usize, usize) {
    let (mut session, frame) = start(dialect, construct, used, n);
    GLOBAL.reset_peak_usage();
    let before = GLOBAL.current_usage();
    session.end.core().receive(&frame);
    let mut taken = false;
    let outcome = session.pump(|frame| taken |= is_result(dialect, &frame));
    let peak = GLOBAL.peak_usage().saturating_sub(before);
    taken |= matches!(outcome, Some(Ok(_)));
    let right = n < SMALL || construct.taken.fits(used, taken);
    assert!(right, "{dialect:?}, {}, {used:?}: taken is {taken}", construct.name);
    (frame.len(), peak)
}

#[test]
fn nothing_takes_up_more_than_in_proportion() {
    let mut wrong = Vec::new();
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        println!("\n{:<52} {:>8} {:>8}", format!("{dialect:?}, a byte"), "peak", "growth");
        for construct in constructs(dialect) {
            for used in [Use::Echoed, Use::Ignored, Use::Answered] {
                peak(dialect, &construct, used, 256);
                let (short, small) = peak(dialect, &construct, used, SMALL);
                let (long, large) = peak(dialect, &construct, used, 4 * SMALL);
                let name = format!("{}, {used:?}", construct.name).to_lowercase();
                let growth = large as f64 / small as f64;
                println!("{name:<52} {:>8.1} {growth:>8.1}", large as f64 / long as f64);
                let at_most = |peak: usize, n: usize| peak as f64 <= PEAK * n as f64 + ANYWAY as f64;
                let grows = large as f64 > GROWTH * small as f64 + ANYWAY as f64;
                if grows || !at_most(small, short) || !at_most(large, long) {
                    wrong.push(format!("{dialect:?}, {name}: {small} for {short}, {large} for {long}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
