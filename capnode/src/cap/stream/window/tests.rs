use std::time::Duration;

use super::{FIRST, LEAST, MOST, Window};

/// Recorded by `tests/js/flow_vectors.mjs`.
const VECTORS: &str = include_str!("vectors.txt");

fn at(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

#[test]
fn the_window_is_that_of_npms_capnweb() {
    let (mut window, mut sent, mut record, mut lines) = (Window::new(), Vec::new(), "", 0);
    for line in VECTORS.lines() {
        if let Some(name) = line.strip_prefix("# ") {
            (window, sent, record) = (Window::new(), Vec::new(), name);
            continue;
        }
        let (what, numbers) = line.split_once(' ').unwrap();
        let numbers: Vec<u64> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
        let [time, number, size, in_flight, startup] = numbers[..] else { panic!("{line}") };
        let index = usize::try_from(number).unwrap();
        match what {
            "send" => sent.push(window.sent(index, at(time))),
            "ack" => window.acknowledged(sent[index], at(time)),
            _ => window.failed(sent[index]),
        }
        // The original's window is a fraction, and ours is cut in each step.
        let close = window.size.abs_diff(size) <= 1 + size / (1 << 14);
        let same = (window.in_flight, window.startup) == (in_flight, startup == 1);
        assert!(close && same, "{record}: {line}: {} {} {}", window.size, window.in_flight, window.startup);
        lines += 1;
    }
    assert!(lines > 2_500, "{lines}");
}

#[test]
fn the_window_is_a_number_when_the_clock_stands() {
    let mut window = Window::new();
    for round in 0..100 {
        let sent: Vec<_> = (0..8).map(|_| window.sent(64 << 10, at(7))).collect();
        sent.into_iter().for_each(|sent| window.acknowledged(sent, at(7)));
        assert!((LEAST..=MOST).contains(&window.size), "{round}: {}", window.size);
    }
    assert_eq!(window.in_flight, 0);
    // As if each interval and round trip were of a microsecond, so it can only have grown.
    assert!(window.size >= FIRST);
}

#[test]
fn a_clock_that_begins_at_nothing_has_acknowledgements() {
    let mut window = Window::new();
    let sent = [1, 2, 3].map(|_| window.sent(100 << 10, at(0)));
    assert!(window.is_full());
    sent.into_iter().for_each(|sent| window.acknowledged(sent, at(0)));
    let later = window.sent(1, at(0));
    assert_eq!(later.last.map(|last| (last.at, last.bytes)), Some((0, 300 << 10)));
}

#[test]
fn the_window_stays_in_its_bounds() {
    let mut window = Window::new();
    // The longest time and the largest sizes do not overflow.
    for time in [0, 1, u64::MAX / 2, u64::MAX] {
        let sent = window.sent(usize::try_from(1_u64 << 40).unwrap_or(usize::MAX), at(time));
        window.acknowledged(sent, Duration::MAX);
        assert!((LEAST..=MOST).contains(&window.size), "{}", window.size);
    }
}
