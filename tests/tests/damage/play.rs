//! One session of a core in the place of one side.

use std::collections::HashMap;
use std::task::{Context, Waker};
use std::time::Duration;

use capnode::sans_io::{Core, Endpoint};
use capnode::{Cap, Dialect, Error, ErrorKind, Value};
use capnode_tests::recordings::{
    self, Side,
    calls::{self, Attempt},
    well::WELL,
    wire::{Leaf, pair, values},
};
use serde_json::{Value as Json, json};

use crate::offers;
use crate::scenario::{Make, Message, Piece, Recorded, Scenario, Step, ids};

pub struct Play<'a> {
    scenario: &'a Scenario,
    end: Endpoint,
    /// The frames that the core has sent.
    pub sent: Vec<String>,
    calls: Vec<Option<PendingCall>>,
    /// The references that the other side has lent the program, by their ids there.
    lent: HashMap<String, Cap>,
    exported: HashMap<String, Cap>,
}

enum PendingCall {
    Running(Attempt),
    Ended(Result<Value, Error>),
}

/// The end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Not: it answers.
    GoesOn,
    /// An honest call fails in it, as it does in the recording as it is.
    Refuses,
    Closed(&'static str),
}

impl<'a> Play<'a> {
    pub fn new(scenario: &'a Scenario, index: &Value) -> Self {
        let core = match scenario.side {
            Side::A => Core::builder().dialect(scenario.dialect).connecting(index),
            Side::B => Core::accepting(index),
        };
        Self {
            scenario,
            end: Endpoint::new(core),
            sent: Vec::new(),
            calls: Vec::new(),
            lent: HashMap::new(),
            exported: HashMap::new(),
        }
    }

    /// Lets everything happen that does so without waiting.
    pub fn pump(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            self.end.settle();
            for made in self.calls.iter_mut().flatten() {
                if let PendingCall::Running(running) = made {
                    if let std::task::Poll::Ready(outcome) = running.as_mut().poll(&mut cx) {
                        *made = PendingCall::Ended(outcome);
                    }
                }
            }
            let before = self.sent.len();
            self.sent.extend(std::iter::from_fn(|| self.end.core().next_frame()));
            if self.sent.len() == before {
                break;
            }
        }
    }

    /// Lets happen what needs a while.
    pub async fn wait(&mut self) {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.pump();
        }
    }

    pub fn receive(&mut self, text: &str) {
        self.end.core().receive(text);
        self.pump();
    }

    /// Returns the text of a message, with the ids of this session.
    pub fn render(&self, pieces: &[Piece]) -> String {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Id(frame, at) => {
                    let id = self.sent.get(*frame).and_then(|frame| ids(frame).nth(*at));
                    text.push_str(id.unwrap_or("gone"));
                }
            }
        }
        text
    }

    /// Plays one step as it was recorded.
    pub async fn step(&mut self, step: &Step) {
        match step {
            Step::Send(message) => {
                let text = self.render(&message.pieces);
                self.receive(&text);
                if message.waits {
                    self.wait().await;
                }
                self.note(message);
            }
            Step::Make(make) => {
                let made = self.make(make).map(PendingCall::Running);
                self.calls.push(made);
                self.pump();
            }
        }
    }

    /// Notes what a message has lent the program.
    pub fn note(&mut self, message: &Message) {
        let Some((call, recorded)) = &message.answers else { return };
        let Some(Some(PendingCall::Ended(Ok(value)))) = self.calls.get(*call) else { return };
        match recorded {
            Recorded::Graph(graph) => {
                pair(graph, &graph.root, value, &mut self.lent);
            }
            Recorded::Expression(expression) => calls::lent(expression, value, &mut |form, id, cap| {
                if matches!(form, "export" | "promise") {
                    self.lent.insert(id.to_string(), cap.clone());
                }
            }),
        }
    }

    /// Returns the visible state after all that has come so far.
    pub fn trace(&self) -> impl PartialEq + use<'a> {
        let tables = self.end.core().tables();
        let tables = [tables.imports, tables.exports, tables.calls, tables.running];
        (tables, self.sent.len(), self.answered(), self.end.handlers(), self.is_closed())
    }

    pub fn answered(&self) -> usize {
        self.calls.iter().flatten().filter(|made| matches!(made, PendingCall::Ended(_))).count()
    }

    pub fn is_closed(&self) -> bool {
        self.end.core().closed().is_some()
    }

    // -------------------------------------------------------------------------------- the program

    /// Makes a call of the program, if the references that it needs are there.
    fn make(&mut self, make: &Make) -> Option<Attempt> {
        match make {
            Make::Index => Some(Box::pin(self.end.core().index::<Cap>().read::<Value>().into_future())),
            Make::Expression { number, expression, awaited } => {
                let index = self.end.core().index::<Cap>();
                let mut reference = |form: &str, id: i64| match (form, id) {
                    ("export", _) => Some(offers::callback()),
                    (_, 0) => Some(index.clone()),
                    _ => self.lent.get(&id.to_string()).cloned(),
                };
                let call = calls::of_expression(expression, &mut reference)?;
                if *awaited {
                    return Some(Box::pin(call.into_future()));
                }
                self.lent.insert(number.to_string(), call.pipeline_cap());
                None
            }
            Make::Call { target, op, name, graph, args } => {
                let target = match target {
                    None => self.end.core().index::<Cap>(),
                    Some(id) => self.lent.get(id)?.clone(),
                };
                let exported = &mut self.exported;
                let mut reference = |leaf: &Leaf| {
                    let (Leaf::Function(id) | Leaf::Object(id)) = leaf else { return None };
                    let make = || match leaf {
                        Leaf::Function(_) => offers::callback(),
                        _ => offers::object(),
                    };
                    Some(exported.entry(id.to_string()).or_insert_with(make).clone())
                };
                let args = values(graph, args, &mut reference)?;
                calls::operate(&target, op, name.as_deref(), args, |call| Box::pin(call.into_future()))
            }
        }
    }

    // -------------------------------------------------------------------------------- the end

    /// Asks a question as an honest peer, or program, would: do two and two make four?
    pub fn probe(&mut self) -> Result<End, String> {
        let end = match self.scenario.side {
            Side::A => self.ask(),
            Side::B => self.be_asked(),
        };
        match self.end.core().closed() {
            None => end,
            Some(error) => match error.kind() {
                ErrorKind::Protocol => Ok(End::Closed("by us, as the protocol was broken")),
                ErrorKind::Limit => Ok(End::Closed("by us, as a limit was passed")),
                ErrorKind::Disconnected => Ok(End::Closed("by the peer")),
                kind => Err(format!("the session was closed with {kind:?}: {error}")),
            },
        }
    }

    fn be_asked(&mut self) -> Result<End, String> {
        let before = self.sent.len();
        match self.scenario.dialect {
            Dialect::CapnWeb => {
                self.receive(r#"["stream",["pipeline",0,["is all well"],[20,22]]]"#);
                let right = |frame: &String| frame.starts_with("[\"resolve\",") && frame.ends_with(",42]");
                if self.sent[before..].iter().any(right) {
                    Ok(End::GoesOn)
                } else {
                    Err(format!("the honest call got {:?}", &self.sent[before..]))
                }
            }
            Dialect::Capnode => {
                self.receive(r#"{"type":"index","methodId":"honest index"}"#);
                let index = self.answer(before, "methodId", "honest index")?;
                let links = index["value"]["links"].as_array().cloned().unwrap_or_default();
                let Some(place) = links.iter().find_map(|link| link[WELL]["id"].as_u64()) else {
                    return Ok(End::Refuses);
                };
                let asks = json!({"type": "invocation", "methodId": links[place as usize],
                    "replyId": "honest call",
                    "arguments": {"links": [[20, 22]], "value": {"type": 2, "id": 0}}});
                self.receive(&asks.to_string());
                let answer = self.answer(before, "methodId", "honest call")?;
                if answer["type"] == "return" && answer["value"]["value"] == 42 {
                    return Ok(End::GoesOn);
                }
                Err(format!("the honest call got {answer}"))
            }
            _ => {
                let asks = json!({"type": "send", "to": "", "from": "honest call", "op": "post",
                    "args": [WELL, [20, 22]]});
                self.receive(&asks.to_string());
                let answer = self.answer(before, "to", "honest call")?;
                Ok(if answer["resolution"] == 42 { End::GoesOn } else { End::Refuses })
            }
        }
    }

    fn answer(&self, from: usize, member: &str, id: &str) -> Result<Json, String> {
        let sent = self.sent.get(from..).unwrap_or_default();
        let mut sent = sent.iter().filter_map(|frame| recordings::parse(frame).ok());
        sent.find(|frame| frame[member] == id).ok_or_else(|| format!("{id} is not answered"))
    }

    fn ask(&mut self) -> Result<End, String> {
        let before = self.sent.len();
        let peer = self.end.core().index::<Cap>();
        let call = match self.scenario.dialect {
            Dialect::Capnode => peer.read::<Value>(),
            _ => peer.invoke(WELL, (20, 22)),
        };
        let place = self.calls.len();
        self.calls.push(Some(PendingCall::Running(Box::pin(call.into_future()))));
        self.pump();
        if let Some(Some(PendingCall::Ended(outcome))) = self.calls.get(place) {
            return match outcome {
                Err(error) if self.is_closed() && error.kind() == ErrorKind::Disconnected => Ok(End::GoesOn),
                outcome => Err(format!("the honest call got {outcome:?} before it was answered")),
            };
        }
        let asked = self.sent.get(before..).unwrap_or_default().iter();
        let asked: Vec<_> = asked.filter_map(|frame| recordings::parse(frame).ok()).collect();
        let answer = match self.scenario.dialect {
            Dialect::CapnWeb => {
                let calls =
                    |frame: &&String| frame.starts_with("[\"push\"") || frame.starts_with("[\"stream\"");
                json!(["resolve", self.sent.iter().filter(calls).count(), 42])
            }
            Dialect::Capnode => {
                let id = asked.iter().find(|frame| frame["type"] == "index").map(|frame| &frame["methodId"]);
                json!({"type": "return", "methodId": id, "value": {"links": [], "value": 42}})
            }
            _ => {
                let id = asked.iter().find(|frame| frame["type"] == "send").map(|frame| &frame["from"]);
                json!({"type": "resolve", "to": id, "resolution": 42})
            }
        };
        self.receive(&answer.to_string());
        match self.calls.get(place) {
            Some(Some(PendingCall::Ended(Ok(Value::Number(42.0))))) => Ok(End::GoesOn),
            Some(Some(PendingCall::Ended(outcome))) => Err(format!("the honest call got {outcome:?}")),
            _ => Err(format!("the honest call does not end, with {asked:?} answered by {answer}")),
        }
    }

    /// Ends the session, if it has not ended. Nothing may be left.
    pub fn finish(mut self) -> Result<(), String> {
        self.end.core().close("the test is over");
        self.pump();
        if self.end.core().closed().is_none() {
            return Err("the session does not end".to_owned());
        }
        let running =
            self.calls.iter().flatten().filter(|made| matches!(made, PendingCall::Running(_))).count();
        if running > 0 || self.end.handlers() > 0 {
            return Err(format!("{running} calls and {} handlers go on after the end", self.end.handlers()));
        }
        let tables = self.end.core().tables();
        match (tables.imports, tables.exports, tables.calls, tables.running) {
            (0, 0, 0, 0) => Ok(()),
            _ => Err(format!("the session leaves {tables:?}")),
        }
    }
}
