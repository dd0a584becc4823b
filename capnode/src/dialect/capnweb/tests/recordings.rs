//! Messages that npm's package really writes and reads: see `tests/transcripts/capnweb/README.md`.

use std::time::Duration;

use serde_json::Value as Json;

use super::*;
use crate::dialect::testing::{Line, Recording};
use crate::session::{Event, Session};
use crate::thin_vec::ThinVec;

fn recordings() -> Vec<Recording> {
    let recordings = crate::dialect::testing::recordings("capnweb");
    assert_eq!(recordings.len(), 64);
    recordings
}

/// The limits that the recorded peers were set to.
fn limits(recording: &Recording) -> Limits {
    match recording.name.as_str() {
        "ws-limits-depth" => Limits { depth: 10, ..Limits::default() },
        "ws-limits-bigint" | "ws-limits-bigint-2" => Limits { bigint_chars: 20, ..Limits::default() },
        _ => Limits::default(),
    }
}

/// `true` if the peer ended the session for the form of a message, not for its content.
fn is_about_form(abort: &str) -> bool {
    [
        "bad RPC message",
        "SyntaxError",
        "unknown special value",
        "Unknown bytes type marker",
        "Invalid byte length",
        "Invalid URL",
        "Deserialization exceeded",
        "Deserialized bigint exceeds",
    ]
    .iter()
    .any(|reason| abort.contains(reason))
}

/// The messages of a recording, each with `true` if the real peer could read it.
fn messages(recording: &Recording) -> Vec<(&str, bool)> {
    let mut messages: Vec<(char, &str, bool)> = Vec::new();
    for line in &recording.lines {
        let Line::Message { from, text } = line else { continue };
        if text.starts_with("[\"abort\"") && is_about_form(text) {
            let pull = |text: &str| text.starts_with("[\"pull\"");
            let refused = messages.iter_mut().rfind(|(sender, text, _)| sender != from && !pull(text));
            refused.unwrap().2 = false;
        }
        messages.push((*from, text, true));
    }
    messages.into_iter().map(|(_, text, good)| (text, good)).collect()
}

#[test]
fn what_the_real_peer_could_read_is_read_and_nothing_else() {
    let (mut read, mut refused) = (0, 0);
    for recording in recordings() {
        let limits = limits(&recording);
        for (text, good) in messages(&recording) {
            match parse(text, &limits) {
                Ok(_) => assert!(good, "{}: {text} is taken", recording.name),
                Err(error) => assert!(!good, "{}: {text}: {error}", recording.name),
            }
            *(if good { &mut read } else { &mut refused }) += 1;
        }
    }
    assert_eq!((read, refused), (1299, 17));
}

/// Returns a message without its parts that mean nothing.
fn essence(text: &str) -> Json {
    let mut message: Json = serde_json::from_str(text).unwrap();
    let parts = message.as_array_mut().unwrap();
    parts.truncate(match parts[0].as_str().unwrap() {
        "resolve" | "reject" | "release" => 3,
        _ => 2,
    });
    if parts[0] == "push" && parts[1][0] == "import" {
        parts[1][0] = "pipeline".into();
    }
    message
}

#[test]
fn what_was_read_is_written_as_the_real_peer_wrote_it() {
    for recording in recordings() {
        for (text, good) in messages(&recording) {
            if !good {
                continue;
            }
            let mut written = String::new();
            write(&message(text).unwrap(), &mut written);
            if written != text {
                assert_eq!(essence(&written), essence(text), "{}", recording.name);
            }
        }
    }
}

/// A value without the stacks of the errors in it, which are never passed on.
fn without_stacks(value: Json) -> Json {
    match value {
        Json::Array(mut parts) => {
            if parts.first().is_some_and(|form| form == "error") && parts.len() > 3 {
                parts[3] = Json::Null;
                if parts.len() == 4 {
                    parts.pop();
                }
            }
            parts.into_iter().map(without_stacks).collect()
        }
        Json::Object(members) => {
            members.into_iter().map(|(key, value)| (key, without_stacks(value))).collect()
        }
        other => other,
    }
}

#[test]
fn values_are_written_as_the_real_peer_writes_them() {
    let mut compared = 0;
    for recording in recordings() {
        for (text, good) in messages(&recording) {
            if !good {
                continue;
            }
            let (value, args) = match message(text).unwrap() {
                Message::Call { args: Some(args), .. } => (args, true),
                Message::Evaluate { value, .. } | Message::Abort(value) => (value, false),
                Message::Answer { outcome: Ok(value) | Err(value), .. } => (value, false),
                _ => continue,
            };
            let original = value.text.as_str().to_owned();
            let wrapped = if args { format!("[{original}]") } else { original };
            let caps = value.refs.len();
            let value = Payload { text: Text::frame(&wrapped), refs: value.refs, nodes: ThinVec::NONE };
            if caps > 0 || wrapped.contains("extra ignored") {
                continue;
            }
            let read: Value = decode(&value.map(|_| PayloadRef::Cap(cap()))).unwrap();
            let written = written(&read);
            compared += 1;
            if written == wrapped {
                continue;
            }
            let Ok(original) = serde_json::from_str::<Json>(&wrapped) else {
                // Half of a surrogate pair, which becomes another character.
                assert!(wrapped.contains("\\ud"));
                continue;
            };
            let written: Json = serde_json::from_str(&written).unwrap();
            assert_eq!(written, without_stacks(original), "{}", recording.name);
        }
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn what_is_fatal_to_the_real_peer_is_fatal_here_or_refused() {
    let mut cases = 0;
    for recording in recordings().iter().filter(|recording| recording.name.starts_with("raw-fatal")) {
        let mut lines = recording.lines.iter();
        while let Some(line) = lines.next() {
            let Line::NewConnection(case) = line else { continue };
            let Some(Line::Message { text, .. }) = lines.next() else { panic!("{case}") };
            let mut session = Session::new(Limits::default(), Default::default());
            let outcome = message(text).and_then(|op| session.receive(Some(op), Duration::ZERO));
            let event = outcome.as_ref().ok().and_then(|received| received.event.as_ref());
            let refused = matches!(
                event,
                Some(Event::Call { refusal: Some(_), .. } | Event::PullObject { export: 99 })
            );
            // An end is no fault, and a request for something that is not there fails alone.
            let asks = matches!(case.as_str(), "pull of unknown id" | "call on unknown export");
            assert_eq!(outcome.is_err(), !case.starts_with("abort") && !asks, "{case}: {outcome:?}");
            assert_eq!(refused, asks, "{case}");
            cases += 1;
        }
    }
    assert_eq!(cases, 21);
}
