//! Messages that end npm's session: each in a connection of its own.

use std::time::Duration;

use capnode::Dialect;
use capnode_tests::recordings::{
    Line, Recording, Side, parse,
    script::{Script, Sent},
};
use serde_json::Value as Json;

use capnode_tests::recordings::objects::{Log, tour};

/// The reaction of a node to a message.
enum Does {
    /// It aborts the session, with a reason that contains this.
    Aborts(&'static str),
    /// It refuses the request, and the session goes on.
    Refuses(&'static str),
    /// The peer has aborted the session, so that there is nothing to say.
    Ends,
}

/// All of the cases, with the reaction of a Rust node. npm's package aborts the session in all but the last two and
/// [`UNLIKE_NPM`].
const CASES: &[(&str, Does)] = &[
    ("unknown type", Does::Aborts("frobnicate")),
    ("not an array", Does::Aborts("an array")),
    ("empty array", Does::Aborts("a string")),
    ("push without expression", Does::Aborts("another element")),
    ("pull of unknown id", Does::Refuses("no such export ID: 99")),
    ("release of unknown id", Does::Aborts("99")),
    ("call on unknown export", Does::Refuses("no such entry on exports table: 42")),
    ("invalid JSON", Does::Aborts("nonsense")),
    ("unknown expression", Does::Aborts("wat")),
    ("empty line", Does::Aborts("the message ends")),
    ("release too often", Does::Aborts("1 < 5")),
    ("bad date", Does::Aborts("a number")),
    ("bad bytes marker", Does::Aborts("Nope")),
    ("bad length", Does::Aborts("Int16Array")),
    ("resolve not a number", Does::Aborts("a whole number")),
    ("bad url", Does::Aborts("not a url")),
    // npm takes the id for one of its own, and rejects the next call by "Bug in RPC system".
    (UNLIKE_NPM, Does::Aborts("already used: 0")),
    ("abort", Does::Ends),
    ("abort with a string", Does::Ends),
    ("bigint not decimal", Does::Aborts("0x1g")),
    ("undefined with extra", Does::Aborts("undefined")),
];

const UNLIKE_NPM: &str = "promise id reuse";

/// Plays all connections of a recording, and returns the names of the cases in it.
pub async fn play(recording: &Recording) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let starts = |line: &Line| matches!(line, Line::Event(event) if event["event"] == "new-connection");
    for connection in recording.lines.chunk_by(|_, next| !starts(next)) {
        let Some(Line::Event(event)) = connection.first() else { return Err("no connection".to_owned()) };
        let name = event["case"].as_str().unwrap_or_default().to_owned();
        play_one(&name, connection).await.map_err(|error| format!("{name}: {error}"))?;
        names.push(name);
    }
    Ok(names)
}

async fn play_one(name: &str, lines: &[Line]) -> Result<(), String> {
    let (_, does) = CASES.iter().find(|(case, _)| *case == name).ok_or("it is not in the list")?;
    let log = Log::default();
    let (transport, to_node, mut from_node) = Script::new();
    let connection = tour(&log)
        .dialect(Dialect::CapnWeb)
        .build()
        .serve(transport)
        .await
        .map_err(|error| error.to_string())?;
    let mut aborts = false;
    let mut open = None;
    for line in lines {
        match line {
            Line::Frame { from: Side::A, text } => {
                // The node need not read on.
                let _gone = to_node.send(text.clone());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Line::Frame { from: Side::B, text } => aborts |= parse(text)?[0] == "abort",
            Line::Event(event) if event["event"] == "still-open" => open = event["open"].as_bool(),
            Line::Event(_) => {}
        }
    }
    if open != Some(name == UNLIKE_NPM) || aborts == matches!(does, Does::Ends) {
        return Err("the recording says something else than the list".to_owned());
    }
    if let Does::Refuses(_) = does {
        // An answer comes when it is asked for.
        to_node.send(r#"["pull",1]"#.to_owned()).map_err(|_| "the session has ended")?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    } else {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    let mut sent = Vec::new();
    while let Ok(one) = from_node.try_recv() {
        sent.push(one);
    }
    if connection.is_closed() == matches!(does, Does::Refuses(_)) {
        return Err(format!(
            "the session {}, after {sent:?}",
            if connection.is_closed() { "ends" } else { "goes on" }
        ));
    }
    match (does, sent.as_slice()) {
        (Does::Aborts(part), [Sent::Frame(abort), Sent::Closed(Some(reason))]) => {
            let abort = parse(abort)?;
            let text = &abort[1][2];
            let says = text.as_str().is_some_and(|text| text.contains(part) && text == reason);
            if abort[0] == "abort" && abort[1][0] == "error" && says {
                return Ok(());
            }
            Err(format!("{abort}, then closed with {reason:?}, does not say `{part}`"))
        }
        (Does::Refuses(why), sent) => {
            let refuses = |sent: &Sent| matches!(sent, Sent::Frame(frame) if frame.starts_with("[\"reject\"") && frame.contains(why));
            if sent.iter().any(refuses) && sent.iter().all(|sent| matches!(sent, Sent::Frame(_))) {
                Ok(())
            } else {
                Err(format!("it sent {sent:?}"))
            }
        }
        (Does::Ends, [Sent::Closed(Some(reason))]) => {
            let said = lines.iter().find_map(|line| match line {
                Line::Frame { from: Side::A, text } => parse(text).ok(),
                _ => None,
            });
            let said = said.map(|abort| abort[1].as_str().or(abort[1][2].as_str()).map(str::to_owned));
            match said.flatten() {
                Some(said) if reason.contains(&said) => Ok(()),
                said => Err(format!("{said:?} is not in {reason:?}")),
            }
        }
        (_, sent) => Err(format!("it sent {sent:?}")),
    }
}

/// Cases in the list that no recording has.
pub fn unknown_cases(found: &[String]) -> Vec<&'static str> {
    let listed = CASES.iter().map(|(case, _)| *case);
    listed.filter(|case| !found.iter().any(|found| found == case)).collect()
}

/// Returns the recording with one message made harmless, so that its session does not end.
pub fn made_harmless(recording: &Recording) -> Recording {
    let mut changed = recording.clone();
    let first = changed.lines.iter_mut().find_map(|line| match line {
        Line::Frame { from: Side::A, text } => Some(text),
        _ => None,
    });
    if let Some(text) = first {
        *text = Json::from(["push", "harmless"].map(Json::from).to_vec()).to_string();
    }
    changed
}
