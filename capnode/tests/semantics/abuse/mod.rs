//! Every kind of message with an id in every possible state. A table for each language states the outcomes. A kind or a
//! state without a cell fails, and so does a cell that states another outcome than the observed one.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

use crate::harness::*;

mod capnode;
mod capnweb;
mod named;
mod q;

/// The outcome of a message. In texts `#` stands for the id, and `*` for anything drawn at random.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// It is taken in: what is said in answer, what happens to objects, and how the tables change. `gone` says that what
    /// all messages begin with, the index or a function in it, is there no longer.
    Goes(&'static str),
    /// As if nothing had been said.
    Ignored,
    /// The session goes on, and the caller is told so.
    Error(&'static str),
    /// The session ends with this, and nothing is left of it. The peer is told if its language has a word for it.
    Ends(&'static str),
}

use Outcome::{Ends, Error, Goes, Ignored};

/// Some cells of a table: those of one kind of message, for ids in these states.
type Row<K, S> = (K, &'static [S], Outcome);

/// An enum with a list of all its variants.
macro_rules! all {
    ($(#[$attribute:meta])* $visible:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident,)* }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(clippy::enum_variant_names)]
        $visible enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            $visible const ALL: &'static [Self] = &[$(Self::$variant),*];
        }
    };
}
use all;

/// A session in which ids are in all sorts of states, and a message to be said in it.
struct Scene {
    peer: Endpoint,
    log: Log,
    /// The references that this side keeps.
    held: Held,
    /// The id that the message is about, as it is written.
    id: String,
    message: String,
    /// Another message, to a live target, and a part of the expected answer.
    probe: (String, &'static str),
}

type Held = Box<dyn std::any::Any>;

/// The cell of a table, if there is just one.
fn cell<K: Copy + Debug + PartialEq, S: Copy + Debug + PartialEq>(
    table: &[Row<K, S>],
    kind: K,
    state: S,
) -> Outcome {
    let mut cells = table.iter().filter(|(of, states, _)| *of == kind && states.contains(&state));
    match (cells.next(), cells.next()) {
        (Some((_, _, outcome)), None) => *outcome,
        (None, _) => panic!("the table has no cell for {kind:?} with an id that is {state:?}"),
        (Some(_), Some(_)) => panic!("the table has two cells for {kind:?} with an id that is {state:?}"),
    }
}

/// Plays all cells of a table, with some of them replaced by exceptions. Returns the number of scenes.
fn play<K, S>(
    table: &[Row<K, S>],
    exceptions: &[Row<K, S>],
    kinds: &[K],
    states: &[S],
    scenes: impl Fn(K, S) -> Vec<Scene>,
) -> usize
where
    K: Copy + Debug + Eq + Hash,
    S: Copy + Debug + Eq + Hash,
{
    assert_eq!(kinds.iter().collect::<HashSet<_>>().len(), kinds.len());
    let bystander_log = Log::default();
    let mut bystander = connected(bystander_log.probe());
    let at_bystander: ProbeClient = bystander.index();
    let before = bystander.tables();
    let mut played = 0;
    let mut wrong = Vec::new();
    for kind in kinds {
        for state in states {
            let excepted = |(of, states, _): &Row<K, S>| of == kind && states.contains(state);
            let table = if exceptions.iter().any(excepted) { exceptions } else { table };
            let expected = cell(table, *kind, *state);
            let all = scenes(*kind, *state);
            assert!(!all.is_empty(), "nothing is said for {kind:?}, {state:?}");
            for scene in all {
                let (id, message) = (scene.id.clone(), scene.message.clone());
                let found = scene.play();
                if !found.is(expected) {
                    wrong
                        .push(format!("{kind:?}, {state:?}, {id}: {message}\n  {found:?}, not {expected:?}"));
                }
                // Another session of the same program has seen nothing of it.
                assert_eq!(bystander.wait(at_bystander.note(1)).unwrap(), 1);
                bystander.settle();
                assert_eq!(bystander.tables(), before);
                played += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n"));
    played
}

/// Tables without the count of evicted functions.
fn but_evicted(mut tables: Tables) -> Tables {
    tables.evicted = 0;
    tables
}

/// The observed outcome of a message.
#[derive(Debug)]
enum Found {
    Goes(String),
    Ignored,
    Error(String),
    Ends(String),
}

impl Found {
    fn is(&self, expected: Outcome) -> bool {
        match (self, expected) {
            (Found::Ignored, Ignored) => true,
            (Found::Goes(found), Goes(expected)) => found == expected,
            (Found::Error(found), Error(expected)) | (Found::Ends(found), Ends(expected)) => {
                // The rest may be an excerpt of the message.
                found == expected || expected.strip_suffix('…').is_some_and(|start| found.starts_with(start))
            }
            _ => false,
        }
    }
}

impl Scene {
    fn play(mut self) -> Found {
        let forget_ended = self.peer.core().closed().is_some();
        drop((self.peer.frames(), self.log.take()));
        let before = self.peer.core().tables();
        self.peer.receive(&self.message);
        let said = self.peer.frames();
        let events = self.log.take();
        let after = self.peer.core().tables();
        let found = match self.peer.core().closed() {
            Some(_) if forget_ended => {
                assert_eq!((said.len(), events.len(), after), (0, 0, before));
                Found::Ignored
            }
            Some(error) => {
                let told = said.iter().filter(|frame| frame.starts_with(r#"["abort""#)).count();
                let tells = self.peer.core().dialect() == Some(::capnode::Dialect::CapnWeb);
                assert!(told <= usize::from(tells), "{said:?}");
                assert_eq!(but_evicted(after), Tables::default());
                Found::Ends(self.plain(error.message(), 1))
            }
            None => {
                self.peer.receive(&self.probe.0);
                let goes_on = self.peer.frames().iter().any(|frame| frame.contains(self.probe.1));
                let failed = said.iter().find_map(|frame| self.failure(frame));
                let mut happened = self.happened(&said, &events, before, after);
                if !goes_on {
                    happened.push_str(if happened.is_empty() { "gone" } else { " gone" });
                }
                match failed {
                    Some(error) => Found::Error(error),
                    None if happened.is_empty() => Found::Ignored,
                    None => Found::Goes(happened),
                }
            }
        };
        self.end();
        found
    }

    /// Everything that was begun ends, and all objects are dropped.
    fn end(self) {
        let Self { mut peer, log, held, .. } = self;
        peer.core().close("over");
        while peer.poll_handlers() {}
        let tables = but_evicted(peer.core().tables());
        assert_eq!((tables, peer.handlers()), (Tables::default(), 0));
        drop((peer, held));
        assert_eq!(log.probes(), 0, "objects are left");
    }

    fn happened(&self, said: &[String], events: &[String], before: Tables, after: Tables) -> String {
        // A number of one digit may stand for something else.
        let web = self.peer.core().dialect() == Some(::capnode::Dialect::CapnWeb);
        let letters = if web { 3 } else { 1 };
        let mut happened: Vec<String> = said.iter().map(|frame| self.plain(frame, letters)).collect();
        happened.extend(events.iter().cloned());
        let columns = [
            ("imports", before.imports, after.imports),
            ("exports", before.exports, after.exports),
            ("calls", before.calls, after.calls),
            ("running", before.running, after.running),
        ];
        for (name, before, after) in columns {
            match after.cmp(&before) {
                std::cmp::Ordering::Less => happened.push(format!("{name}-{}", before - after)),
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Greater => happened.push(format!("{name}+{}", after - before)),
            }
        }
        happened.join(" ")
    }

    /// Returns the text of the error in an answer, if the answer is an error.
    fn failure(&self, frame: &str) -> Option<String> {
        let frame: serde_json::Value = serde_json::from_str(frame).ok()?;
        let text = match frame[0].as_str() {
            Some("reject") => frame[2][2].as_str(),
            Some(_) => None,
            None if frame["type"] == "error" => frame["value"]["message"].as_str(),
            None => frame["resolution"]["!"]["message"].as_str(),
        };
        text.map(|text| self.plain(text, 1))
    }

    /// A text without the id, if that has at least so many letters, and without anything drawn at random.
    fn plain(&self, text: &str, letters: usize) -> String {
        let part_of_number =
            |letter: Option<char>| letter.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-');
        let mut plain = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let written = (self.id.len() > 2).then(|| rest.strip_prefix(&self.id)).flatten();
            if let (Some(after), true) = (written, self.id.starts_with('"')) {
                plain.push('#');
                rest = after;
                continue;
            }
            let bare = if self.id == "-0" { "0" } else { self.id.trim_matches('"') };
            let after = rest.strip_prefix(bare).filter(|after| !part_of_number(after.chars().next()));
            match after.filter(|_| bare.len() >= letters && !part_of_number(plain.chars().last())) {
                Some(after) => {
                    plain.push('#');
                    rest = after;
                }
                None => {
                    let random = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').count();
                    if random >= 20 {
                        plain.push('*');
                        rest = &rest[random..];
                    } else {
                        plain.push(first);
                        rest = &rest[first.len_utf8()..];
                    }
                }
            }
        }
        plain
    }
}
