//! Recordings with one wrong bit, played by a whole node. After any outcome of the session, it ends when its transport
//! does, nothing panics, and another session of the same node goes on. A few bits of each recording: all its bytes are
//! damaged in `damage`, where there is only a core.

use std::time::Duration;

use capnode::{Cap, Connection, Dialect, Func, Node, Value};
use capnode_tests::lab::Rng;
use capnode_tests::panics;
use capnode_tests::recordings::{
    self, Line, Recording, Side,
    script::{self, LONG, Script},
    table::{self, Cover},
    well::{self, WELL},
};

use crate::player::play_damaged;

/// The number of flipped bits for each recording: half of them in the input of either side, if both receive something.
const FLIPS: usize = 20;

fn flips(recording: &Recording, both: bool) -> usize {
    let sends =
        |side| recording.lines.iter().any(|line| matches!(line, Line::Frame { from, .. } if *from == side));
    if both && sends(Side::A) && sends(Side::B) { FLIPS / 2 } else { FLIPS }
}

/// Returns numbers that are the same in each run.
fn random(name: &str, side: Side) -> Rng {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Rng::new(seed ^ side as u64)
}

/// A text with another bit. A transport that takes bytes either refuses invalid UTF-8 or replaces it.
fn flipped(text: &str, bit: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the recording with one bit flipped in a message of one side, if it has sent anything.
fn damaged(recording: &Recording, from: Side, random: &mut Rng) -> Option<Recording> {
    let bits = |line: &Line| match line {
        Line::Frame { from: side, text } if *side == from => text.len() * 8,
        _ => 0,
    };
    let all = recording.lines.iter().map(bits).sum();
    let mut bit = if all > 0 { random.below(all) } else { return None };
    let mut damaged = recording.clone();
    for line in &mut damaged.lines {
        let here = bits(line);
        if let (Line::Frame { text, .. }, true) = (&mut *line, bit < here) {
            *text = flipped(text, bit);
            break;
        }
        bit -= here;
    }
    Some(damaged)
}

fn other(side: Side) -> Side {
    match side {
        Side::A => Side::B,
        Side::B => Side::A,
    }
}

/// Damages all recordings of a language, as one side gets them.
pub fn flip_all(dialect: Dialect, side: Side) {
    for row in table::rows(dialect) {
        let Cover::Played(part) = row.cover(side) else { continue };
        let both = matches!((&row.a, &row.b), (Cover::Played(_), Cover::Played(_)));
        flip(dialect, row.name, side, both, async |damaged| play_damaged(damaged, side, part).await);
    }
}

/// Flips bits in the recordings of Cap'n Web, whose ids need no translation.
pub fn flip_all_of_capn_web(side: Side) {
    for name in recordings::names(Dialect::CapnWeb) {
        flip(Dialect::CapnWeb, &name, side, true, async |damaged| capn_web(damaged, side).await);
    }
}

/// Damages one recording several times.
fn flip(
    dialect: Dialect,
    name: &str,
    side: Side,
    both: bool,
    play: impl AsyncFn(&Recording) -> Result<(), String>,
) {
    panics::watch(|_| true);
    let before = panics::count();
    let mut recording = recordings::read(dialect, name);
    recording.lines.iter_mut().for_each(recordings::shorten);
    let mut random = random(name, side);
    script::run(async {
        for flip in 0..flips(&recording, both) {
            let Some(damaged) = damaged(&recording, other(side), &mut random) else { break };
            assert_eq!(play(&damaged).await, Ok(()), "{name}, flip {flip}");
        }
    });
    assert_eq!(panics::count(), before, "{name}: something panicked");
}

async fn capn_web(recording: &Recording, side: Side) -> Result<(), String> {
    let echo = Func::<fn(Value) -> Value>::new(|value: Value| async move { value });
    let index = ["echo", "kind", "nothing", "counter", "call", "later", "authenticate"];
    let mut index: Vec<_> =
        index.iter().map(|name| ((*name).to_owned(), Value::Cap(echo.cap().clone()))).collect();
    index.extend(["add", WELL].map(|name| (name.to_owned(), well::well())));
    let node = Node::new(Value::Object(index)).limits(capnode_tests::timeless());
    let healthy = well::another(&node, Dialect::CapnWeb).await?;
    let (transport, to_node, from_node) = Script::new();
    let connection = match side {
        Side::A => node.connect_over::<Connection>(transport).await,
        Side::B => node.serve(transport).await,
    };
    let connection = connection.map_err(|error| error.to_string())?;
    let mut calls = Vec::new();
    if side == Side::A {
        for _ in 0..8 {
            let call = connection.index::<Cap>().invoke::<Value>("call", (Value::Cap(echo.cap().clone()),));
            calls.push(tokio::spawn(call.into_future()));
        }
    }
    for line in &recording.lines {
        if let Line::Frame { from, text } = line {
            if *from != side {
                // The session may have ended.
                let _gone = to_node.send(text.clone());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    drop((to_node, from_node));
    if tokio::time::timeout(LONG, connection.closed()).await.is_err() {
        return Err("the damaged session does not end".to_owned());
    }
    for call in calls {
        match tokio::time::timeout(LONG, call).await {
            Ok(Ok(_)) => {}
            outcome => return Err(format!("a call of the damaged session: {outcome:?}")),
        }
    }
    well::check(&healthy).await
}
