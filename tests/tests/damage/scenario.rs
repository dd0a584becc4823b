//! A recording as a row of steps for one side: actions of its program, and messages of the other side.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use capnode::Dialect;
use capnode_tests::recordings::{
    self, Line, Recording, Side,
    calls::{answers, reply_id, text},
    wire::{Graph, Ids, Leaf, compare},
};
use serde_json::Value as Json;

use crate::offers::IndexFactory;

pub struct Scenario {
    pub name: String,
    pub dialect: Dialect,
    pub side: Side,
    pub offer: IndexFactory,
    pub steps: Vec<Step>,
}

pub enum Step {
    Send(Message),
    Make(Make),
}

/// A message of the other side's.
pub struct Message {
    /// As it was recorded.
    pub text: String,
    /// Its parts, once it is known which of them are ids that our side makes.
    pub pieces: Vec<Piece>,
    /// The answer in it to a call of the program under test: the number of the call, and the recorded value.
    pub answers: Option<(usize, Recorded)>,
    /// `true` if a reply to it is only sent after a while.
    pub waits: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    Text(String),
    /// The id at this place in what our side has sent: the number of the frame, and of the id in it.
    Id(usize, usize),
}

/// A recorded value, to tell which references it lends.
pub enum Recorded {
    Graph(Graph),
    Expression(Json),
}

/// A call that the program makes.
pub enum Make {
    /// Of Cap'n Web: the expression, and whether its result is awaited.
    Expression { number: i64, expression: Json, awaited: bool },
    /// Asks for the index of a Capnode peer.
    Index,
    /// Of the other two languages.
    Call { target: Option<String>, op: String, name: Option<String>, graph: Arc<Graph>, args: Vec<Leaf> },
}

/// All connections of all recordings in which the other side says something.
pub fn scenarios(dialect: Dialect, side: Side) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for name in recordings::names(dialect) {
        let recording = recordings::read(dialect, &name);
        let starts = |line: &Line| matches!(line, Line::Event(event) if event["event"] == "new-connection");
        for (number, lines) in recording.lines.chunk_by(|_, next| !starts(next)).enumerate() {
            let mut lines = lines.to_vec();
            lines.iter_mut().for_each(recordings::shorten);
            let theirs = |line: &Line| matches!(line, Line::Frame { from, .. } if *from != side);
            if lines.iter().any(theirs) {
                let recording = Recording { dialect, name: name.clone(), lines };
                let one = if number > 0 { format!("{name}, connection {number}") } else { name.clone() };
                scenarios.push(Scenario::new(one, IndexFactory::of(dialect, &name, side), &recording, side));
            }
        }
    }
    scenarios
}

impl Scenario {
    fn new(name: String, offer: IndexFactory, recording: &Recording, side: Side) -> Self {
        let dialect = recording.dialect;
        let steps = match dialect {
            Dialect::CapnWeb => numbered(recording, side, offer.calls),
            _ => named(recording, side, offer.calls),
        };
        Self { name, dialect, side, offer, steps }
    }

    /// The messages, by the numbers of their steps.
    pub fn messages(&self) -> impl Iterator<Item = (usize, &Message)> {
        self.steps.iter().enumerate().filter_map(|(at, step)| match step {
            Step::Send(message) => Some((at, message)),
            Step::Make(_) => None,
        })
    }
}

fn message(text: &str, answers: Option<(usize, Recorded)>) -> Step {
    let pieces = vec![Piece::Text(text.to_owned())];
    Step::Send(Message { text: text.to_owned(), pieces, answers, waits: true })
}

/// The steps in Cap'n Web, whose ids are counted.
fn numbered(recording: &Recording, side: Side, calls: bool) -> Vec<Step> {
    let frames: Vec<_> = (recording.lines.iter())
        .filter_map(|line| match line {
            Line::Frame { from, text } => {
                Some((*from == side, text, recordings::parse(text).unwrap_or_default()))
            }
            Line::Event(_) => None,
        })
        .collect();
    let pulled: HashSet<_> = frames
        .iter()
        .filter(|(ours, _, json)| *ours && json[0] == "pull")
        .map(|frame| frame.2[1].as_i64())
        .collect();
    let (mut number, mut made, mut steps) = (0, HashMap::new(), Vec::new());
    for (ours, text, json) in &frames {
        let kind = json[0].as_str().unwrap_or_default();
        number += i64::from(*ours && kind == "pipe");
        if *ours && matches!(kind, "push" | "stream") {
            number += 1;
            // Calls on anything but the index may be a handler's.
            if calls || json[1][1] == 0 {
                made.insert(number, made.len());
                let awaited = kind == "stream" || pulled.contains(&Some(number));
                steps.push(Step::Make(Make::Expression { number, expression: json[1].clone(), awaited }));
            }
        } else if !*ours {
            let call = json[1].as_i64().and_then(|id| made.get(&id)).filter(|_| kind == "resolve");
            let answers = call.map(|call| (*call, Recorded::Expression(json[2].clone())));
            steps.push(message(text, answers));
        }
    }
    steps
}

/// The steps in a language whose ids are names.
fn named(recording: &Recording, side: Side, calls: bool) -> Vec<Step> {
    let dialect = recording.dialect;
    let (mut made, mut steps) = (HashMap::new(), Vec::new());
    for line in &recording.lines {
        let Line::Frame { from, text: raw } = line else { continue };
        let json = recordings::parse(raw).unwrap_or_default();
        if *from != side {
            let call = answers(dialect, &json).and_then(|id| made.get(&text(id)));
            let answers = call.map(|call| (*call, Recorded::Graph(Graph::of(dialect, &json))));
            steps.push(message(raw, answers));
            continue;
        }
        let is_call = calls && json["type"] != "dealloc";
        let Some(id) = reply_id(dialect, &json).filter(|_| is_call) else { continue };
        made.insert(text(id), made.len());
        let op = json["op"].as_str().unwrap_or_default().to_owned();
        let graph = Graph::of(dialect, &json);
        let args = graph.arguments(dialect, &op);
        let to = text(&json[if dialect == Dialect::Capnode { "methodId" } else { "to" }]);
        steps.push(Step::Make(match json["type"].as_str() {
            Some("index") => Make::Index,
            _ => Make::Call {
                target: Some(to).filter(|to| !to.is_empty()),
                op,
                name: json["args"][0].as_str().map(str::to_owned),
                graph: Arc::new(graph),
                args,
            },
        }));
    }
    steps
}

/// The ids in a frame: strings that look like one.
pub fn ids(frame: &str) -> impl Iterator<Item = &str> {
    let is_id = |part: &&str| {
        matches!(part.len(), 20 | 30..=36 | 40)
            && part.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    };
    frame.split('"').filter(is_id)
}

/// Maps the ids of the recorded side to those of the side under test.
pub struct Learner {
    ids: Ids,
    /// The messages that the recorded side has sent, each with `true` if the side under test has sent it as well.
    recorded: Vec<(Json, bool)>,
    looked: usize,
}

impl Learner {
    pub fn new(recording: impl IntoIterator<Item = Json>) -> Self {
        let recorded = recording.into_iter().map(|json| (json, false)).collect();
        Self { ids: Ids::default(), recorded, looked: 0 }
    }

    /// Our side has sent all this.
    pub fn look(&mut self, dialect: Dialect, sent: &[String]) {
        for frame in &sent[self.looked..] {
            let Ok(ours) = recordings::parse(frame) else { continue };
            let ids = &mut self.ids;
            let same =
                |(json, taken): &&mut (Json, bool)| !taken && compare(dialect, json, &ours, ids).is_ok();
            if let Some((_, taken)) = self.recorded.iter_mut().find(same) {
                *taken = true;
            }
        }
        self.looked = sent.len();
    }

    /// A recorded message with our ids.
    pub fn pieces(&mut self, dialect: Dialect, message: &str, sent: &[String]) -> Vec<Piece> {
        let json = recordings::parse(message).unwrap_or_default();
        let translated = self.ids.translate(dialect, message, &json);
        let mut pieces = Vec::new();
        let mut before = String::new();
        for (number, (part, recorded)) in translated.split('"').zip(message.split('"')).enumerate() {
            if number > 0 {
                before.push('"');
            }
            let places = || {
                sent.iter()
                    .enumerate()
                    .flat_map(|(frame, sent)| ids(sent).enumerate().map(move |(at, id)| (frame, at, id)))
            };
            match places().find(|(.., id)| part != recorded && *id == part) {
                Some((frame, at, _)) => {
                    pieces.push(Piece::Text(std::mem::take(&mut before)));
                    pieces.push(Piece::Id(frame, at));
                }
                None => before.push_str(recorded),
            }
        }
        pieces.push(Piece::Text(before));
        pieces
    }
}
