//! Recordings of danfinlay's `capnode` and of npm's `q-connection`, with a Rust node in the place of one side and then
//! of the other.

mod flips;
mod player;

use std::time::Duration;

use capnode::{Dialect, Node, transport};
use capnode_tests::recordings::{
    self, Line, Recording, Side,
    programs::{self, Part},
    script,
    table::{self, Cover},
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Plays recordings, and says what went wrong with which.
fn play_all(dialect: Dialect, side: Side) {
    let mut played = 0;
    let mut failures = Vec::new();
    for row in table::rows(dialect) {
        let Cover::Played(part) = row.cover(side) else { continue };
        let recording = recordings::read(dialect, row.name);
        match script::run(player::play(&recording, side, part)) {
            Ok(()) => played += 1,
            Err(error) => failures.push(format!("{}: {error}", row.name)),
        }
    }
    assert!(failures.is_empty(), "{played} went well, but\n\n{}", failures.join("\n\n"));
}

capnode_tests::tests! {
    a_node_answers_as_the_recorded_capnode_server: play_all(Dialect::Capnode, Side::B);
    a_program_calls_and_sees_what_the_recorded_capnode_client_did: play_all(Dialect::Capnode, Side::A);
    a_node_answers_as_the_recorded_q_connection_server: play_all(Dialect::Q, Side::B);
    a_program_calls_and_sees_what_the_recorded_q_connection_client_did: play_all(Dialect::Q, Side::A);
    flipped_bits_in_what_a_capnode_server_gets: flips::flip_all(Dialect::Capnode, Side::B);
    flipped_bits_in_what_a_capnode_client_gets: flips::flip_all(Dialect::Capnode, Side::A);
    flipped_bits_in_what_a_q_connection_server_gets: flips::flip_all(Dialect::Q, Side::B);
    flipped_bits_in_what_a_q_connection_client_gets: flips::flip_all(Dialect::Q, Side::A);
    flipped_bits_in_what_a_capn_web_server_gets: flips::flip_all_of_capn_web(Side::B);
    flipped_bits_in_what_a_capn_web_client_gets: flips::flip_all_of_capn_web(Side::A);
}

#[test]
fn every_recording_is_in_the_table() {
    for dialect in [Dialect::Capnode, Dialect::Q] {
        let there = recordings::names(dialect);
        let mut listed = Vec::new();
        for row in table::rows(dialect) {
            for (side, cover) in [("a", &row.a), ("b", &row.b)] {
                match cover {
                    Cover::Played(part) => println!("{}: {side} {part:?}", row.name),
                    Cover::Not(why) => println!("{}: not as {side}: {why}", row.name),
                }
            }
            listed.push(row.name);
        }
        listed.sort_unstable();
        assert_eq!(listed, there);
    }
}

/// Each comparison can fail: any change in the recorded part of this side is noticed.
#[test]
fn every_change_of_a_recording_is_noticed() {
    let (mut changes, mut unnoticed) = (0, Vec::new());
    for (dialect, side) in [Dialect::Capnode, Dialect::Q]
        .into_iter()
        .flat_map(|dialect| [(dialect, Side::A), (dialect, Side::B)])
    {
        for row in table::rows(dialect) {
            let Cover::Played(part) = row.cover(side) else { continue };
            let recording = recordings::read(dialect, row.name);
            let last = |line: &Line| {
                part.until
                    .is_some_and(|(until, _)| matches!(line, Line::Event(event) if event["call"] == until))
            };
            let lines = recording.lines.iter().position(last).map_or(recording.lines.len(), |at| at + 1);
            for at in 0..lines {
                let Some(changed) = change(&recording, at, side, part) else { continue };
                changes += 1;
                if script::run(player::play(&changed, side, part)).is_ok() {
                    unnoticed.push(format!("{} as {side:?}: {:?}", row.name, changed.lines[at]));
                }
            }
        }
    }
    assert!(unnoticed.is_empty(), "{} of {changes}:\n{}", unnoticed.len(), unnoticed.join("\n"));
    assert!(changes > 850, "only {changes}");
}

/// Returns the recording with one line changed, if that line is compared.
fn change(recording: &Recording, at: usize, side: Side, part: &Part) -> Option<Recording> {
    let mut changed = recording.clone();
    match &mut changed.lines[at] {
        Line::Frame { from, text } if *from == side => {
            // A client acts as it was recorded.
            if side == Side::A && part.program.is_none() {
                return None;
            }
            let mut message = recordings::parse(text).ok()?;
            let members = message.as_object_mut()?;
            match members.get("type")?.as_str()? {
                "return" => members.insert("value".to_owned(), json!({"links": [], "value": "changed"})),
                "error" => members.insert("value".to_owned(), json!({"message": "changed"})),
                "invocation" => {
                    let arguments = json!({"links": [["changed"]], "value": {"type": 2, "id": 0}});
                    members.insert("arguments".to_owned(), arguments)
                }
                "resolve" | "notify" => members.insert("resolution".to_owned(), json!("changed")),
                "send" => members.insert("args".to_owned(), json!(["changed", ["changed"]])),
                _ => return None,
            };
            // Known differences are not compared.
            if part.instead.iter().any(|(recorded, ..)| player::covers(recorded, &message)) {
                return None;
            }
            *text = message.to_string();
        }
        Line::Frame { .. } => return None,
        Line::Event(event) => {
            let name = event["call"].as_str().or_else(|| event["event"].as_str()).unwrap_or_default();
            if event["side"] != side.name() || part.not_in_rust.iter().any(|(not, _)| *not == name) {
                return None;
            }
            match event["event"].as_str()? {
                "result" | "callback-args" | "progress" | "listener" => {
                    event["value"] = json!(["changed", event["value"]]);
                }
                "rejected" => event["reason"] = json!({"message": "changed"}),
                "onmessagelost" => event["message"] = json!("changed"),
                _ => return None,
            }
        }
    }
    Some(changed)
}

/// Streams that the original cannot read: several messages in one chunk, and one in several.
#[test]
fn chunks_of_a_stream_are_joined_and_split_into_messages() {
    for name in ["tcp-one-message-two-chunks", "tcp-trailing-whitespace", "tcp-two-messages-one-chunk"] {
        let recording = recordings::read(Dialect::Capnode, name);
        let chunk = |line: &Line| match line {
            Line::Event(event) if event["event"] == "chunk-sent" => event["text"].as_str().map(str::to_owned),
            _ => None,
        };
        let chunks: Vec<_> = recording.lines.iter().filter_map(chunk).collect();
        let answers = script::run(async {
            let (sender, _seen) = tokio::sync::mpsc::unbounded_channel();
            let world = programs::PlayState::new(sender);
            let node = Node::new(programs::capnode(&world, name));
            let (mut here, there) = tokio::io::duplex(1 << 16);
            node.serve(transport::lines(there)).await.unwrap();
            for chunk in &chunks {
                here.write_all(chunk.as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // A reader of this library takes them in any division.
            tokio::time::sleep(Duration::from_secs(60)).await;
            let mut bytes = vec![0; 1 << 16];
            let length = here.read(&mut bytes).await.unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        });
        let asked = chunks.concat().matches("\"methodId\"").count();
        let answered: Vec<_> = serde_json::Deserializer::from_str(&answers)
            .into_iter::<serde_json::Value>()
            .map(|answer| answer.unwrap()["methodId"].clone())
            .collect();
        let expected: Vec<_> = (1..=asked).map(|number| json!(format!("m{number}"))).collect();
        assert_eq!(answered, expected, "{name}: {answers}");
    }
}
