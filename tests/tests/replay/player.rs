//! Plays a recording with a Rust node in the place of one side: the other side's messages as they
//! were written, each when all that was recorded before it has happened.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use capnode::{Cap, Connection, Dialect, Error, ErrorKind, Fate, Value};
use capnode_tests::recordings::{
    Recording, Side, calls,
    json::{same, seen, seen_error},
    parse,
    script::{self, LONG, Script, Sent},
};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::case::{Case, Observations, Program, Why};
use crate::plan::{Step, kind, plan};
use capnode_tests::recordings::objects::Log;

/// The program's hold on a call.
enum PendingCall {
    Awaited(JoinHandle<Result<Value, Error>>),
    /// The result, by reference.
    Kept(Cap),
}

struct Player<'a> {
    case: &'a Case,
    log: Log,
    connection: Connection,
    to_node: Option<UnboundedSender<String>>,
    from_node: UnboundedReceiver<Sent>,
    /// Releases that the node has to have sent before anything else happens.
    releases: Vec<Json>,
    /// The references that npm's program has not disposed of, and this side has not given back yet.
    left_behind: BTreeSet<i64>,
    /// The observations of a typed program.
    saw: Option<UnboundedReceiver<Json>>,
    calls: BTreeMap<i64, PendingCall>,
    /// Awaited calls whose answers the peer has sent, with these; or the session has ended.
    answered: VecDeque<(i64, Option<Json>)>,
    /// The references that the peer has lent the program.
    lent: BTreeMap<i64, Cap>,
    /// The reason with which the peer has ended the session.
    aborted: Option<String>,
    /// The node's end of the transport is closed.
    closed: Option<Option<String>>,
    /// The transport was closed in the course of things.
    hung_up: bool,
    disposed: usize,
    to_be_disposed: usize,
}

/// Plays a recording. An error describes the difference of the node.
pub async fn play(recording: &Recording, case: &Case) -> Result<(), String> {
    let plan = plan(recording, case)?;
    let log = Log::default();
    *log.answers.lock().unwrap() = plan.answers;
    // Some of the recorded servers speak first, which takes knowing the language.
    let node = (case.node)(&log).dialect(Dialect::CapnWeb).build();
    let (transport, to_node, from_node) = Script::new();
    let connection = match case.rust {
        Side::A => node.connect_over::<Connection>(transport).await,
        Side::B => node.serve(transport).await,
    };
    drop(node);
    let mut player = Player {
        case,
        log,
        connection: connection.map_err(|error| error.to_string())?,
        to_node: Some(to_node),
        from_node,
        releases: Vec::new(),
        left_behind: plan.left_behind,
        saw: None,
        calls: BTreeMap::new(),
        answered: VecDeque::new(),
        lent: BTreeMap::new(),
        aborted: None,
        closed: None,
        hung_up: false,
        disposed: 0,
        to_be_disposed: plan.disposed,
    };
    if case.rust == Side::A {
        player.expect(&json!(["release", 0, 0])).await?;
    }
    let mut program = None;
    if let Program::Typed(start) = &case.program {
        let (sender, saw) = unbounded_channel();
        player.saw = Some(saw);
        program = Some(tokio::spawn(start(player.connection.clone(), Observations(sender))));
    }
    for (at, step) in plan.steps.iter().enumerate() {
        player.step(step).await.map_err(|error| format!("at step {at}, {step:?}: {error}"))?;
    }
    if let Some(program) = program {
        match tokio::time::timeout(LONG, program).await {
            Ok(Ok(Ok(()))) => {}
            other => return Err(format!("the program did not end well: {other:?}")),
        }
    }
    player.end().await.map_err(|error| format!("at the end: {error}"))
}

impl Player<'_> {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        if let Step::Expect(message) = step {
            if kind(message).0 == "release" {
                self.releases.push(message.clone());
                return Ok(());
            }
        }
        if !matches!(step, Step::LetGo(_)) {
            self.expect_releases().await?;
        }
        match step {
            Step::Make { id, expression, awaited } => self.make(*id, expression, *awaited),
            Step::LetGo(id) => self.let_go(*id),
            Step::Expect(message) => self.expect(message).await,
            Step::Play { text, message } => {
                self.send(text, message);
                Ok(())
            }
            Step::Event(event) => self.event(event).await,
        }
    }

    // -------------------------------------------------------------------------------- the wire

    /// The next frame, but for those that give back what npm's program has left behind.
    async fn next_frame(&mut self) -> Result<Json, String> {
        loop {
            let frame = match script::next(&mut self.from_node).await? {
                Sent::Frame(frame) => parse(&frame)?,
                Sent::Closed(reason) => return Err(format!("the node has closed the transport, {reason:?}")),
            };
            match kind(&frame) {
                ("release", id) if frame[2] == 1 && self.left_behind.remove(&id) => {}
                _ => return Ok(frame),
            }
        }
    }

    async fn expect(&mut self, message: &Json) -> Result<(), String> {
        let frame = self.next_frame().await?;
        if kind(message).0 == "abort" {
            let text = frame[1][2].as_str().unwrap_or_default().to_owned();
            if kind(&frame).0 != "abort" || text.is_empty() {
                return Err(format!("expected an abort that says why, got {frame}"));
            }
            // This has to happen next, and nothing else may.
            return match self.wait_for_close().await? {
                Some(reason) if reason == text => Ok(()),
                other => Err(format!("the transport was closed with {other:?} after {frame}")),
            };
        }
        if same(&frame, message) { Ok(()) } else { Err(format!("expected {message}\n     got {frame}")) }
    }

    async fn expect_releases(&mut self) -> Result<(), String> {
        while !self.releases.is_empty() {
            let frame =
                self.next_frame().await.map_err(|error| format!("{error}, but for {:?}", self.releases))?;
            match self.releases.iter().position(|release| same(release, &frame)) {
                Some(at) => drop(self.releases.remove(at)),
                None => return Err(format!("expected one of {:?}, got {frame}", self.releases)),
            }
        }
        Ok(())
    }

    fn send(&mut self, text: &str, message: &Json) {
        // Messages recorded after the end went into a closed socket, too. A node that has gone is noticed by the
        // messages that it does not send.
        if let Some(Err(_)) = self.to_node.as_ref().map(|to_node| to_node.send(text.to_owned())) {
            self.to_node = None;
        }
        match kind(message) {
            ("resolve" | "reject", id) if matches!(self.calls.get(&id), Some(PendingCall::Awaited(_))) => {
                self.answered.push_back((id, Some(message.clone())));
            }
            ("abort", _) => {
                self.aborted = Some(message[1][2].as_str().unwrap_or_default().to_owned());
                self.all_answered();
            }
            _ => {}
        }
    }

    /// The session has ended, so that there are no more answers.
    fn all_answered(&mut self) {
        for (id, made) in &self.calls {
            let waiting =
                matches!(made, PendingCall::Awaited(_)) && self.answered.iter().all(|(other, _)| other != id);
            if waiting {
                self.answered.push_back((*id, None));
            }
        }
    }

    async fn wait_for_close(&mut self) -> Result<Option<String>, String> {
        if self.closed.is_none() {
            self.closed = match script::next(&mut self.from_node).await? {
                Sent::Closed(reason) => Some(reason),
                Sent::Frame(frame) => return Err(format!("expected the end of the transport, got {frame}")),
            };
        }
        Ok(self.closed.clone().flatten())
    }

    /// One side closes the transport in the course of things.
    async fn hang_up(&mut self, side: Side) -> Result<(), String> {
        self.hung_up = true;
        if side == self.case.rust {
            self.connection.close();
        } else {
            self.to_node = None;
        }
        self.all_answered();
        match self.wait_for_close().await? {
            None => Ok(()),
            Some(reason) => Err(format!("the transport was closed because of {reason}")),
        }
    }

    // -------------------------------------------------------------------------------- the program

    fn cap(&self, id: i64) -> Option<Cap> {
        match (id, self.calls.get(&id)) {
            (0, _) => Some(self.connection.index::<Cap>()),
            (_, Some(PendingCall::Kept(cap))) => Some(cap.clone()),
            _ => self.lent.get(&id).cloned(),
        }
    }

    fn make(&mut self, id: i64, expression: &Json, awaited: bool) -> Result<(), String> {
        let mut function = None;
        let mut reference = |form: &str, id| match form {
            "export" if self.case.also.contains(&Why::DroppedOnce) => {
                Some(function.get_or_insert_with(|| self.log.callback()).cap().clone())
            }
            "export" => Some(self.log.callback().into()),
            "import" | "pipeline" => self.cap(id),
            _ => None,
        };
        let call = calls::of_expression(expression, &mut reference);
        let call = call.ok_or_else(|| format!("what {expression} says"))?;
        let made = if awaited {
            PendingCall::Awaited(tokio::spawn(call.into_future()))
        } else {
            PendingCall::Kept(call.pipeline_cap())
        };
        self.calls.insert(id, made);
        Ok(())
    }

    fn let_go(&mut self, id: i64) -> Result<(), String> {
        self.lent.remove(&id);
        if let Some(PendingCall::Awaited(call)) = self.calls.remove(&id) {
            call.abort();
        }
        Ok(())
    }

    // -------------------------------------------------------------------------------- events

    async fn event(&mut self, event: &Json) -> Result<(), String> {
        let ours = event["side"] == self.case.rust.name();
        match event["event"].as_str() {
            Some("ws-close") if !self.hung_up => match self.case.closed_by {
                Some(side) => self.hang_up(side).await,
                None => match self.wait_for_close().await? {
                    Some(_) => Ok(()),
                    None => Err("the transport was closed without a reason".to_owned()),
                },
            },
            Some("result" | "rejected" | "throws") if ours => self.outcome(event).await,
            Some("callback-args") if ours && self.saw.is_some() => self.outcome(event).await,
            Some("callback-args") if ours => {
                let arguments = Value::Array(self.log.arguments.lock().unwrap().clone());
                compare(&seen(&arguments), &event["value"])
            }
            Some("disposed") if ours => {
                self.disposed += 1;
                self.settle().await;
                let dropped = self.log.dropped();
                match (self.case.also.contains(&Why::DroppedOnce), self.disposed) {
                    (false, disposed) if dropped != disposed => {
                        Err(format!("{dropped} objects were dropped, not {disposed}"))
                    }
                    (true, last) if last == self.to_be_disposed && dropped != 1 => {
                        Err(format!("{dropped} objects were dropped, not the one"))
                    }
                    _ => Ok(()),
                }
            }
            Some("broken") if ours => match tokio::time::timeout(LONG, self.connection.closed()).await {
                Ok(_) => Ok(()),
                Err(_) => Err("the connection goes on".to_owned()),
            },
            _ => Ok(()),
        }
    }

    /// Lets everything happen that does so without waiting for the clock.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    async fn outcome(&mut self, event: &Json) -> Result<(), String> {
        let name = event["call"].as_str().unwrap_or_default();
        if self.case.not_in_rust.iter().any(|(call, _)| *call == name) {
            return Ok(());
        }
        if let Some((_, attempt, kind)) = self.case.unsent.iter().find(|(call, ..)| *call == name) {
            let outcome = tokio::time::timeout(LONG, attempt(self.connection.index::<Cap>())).await;
            return match outcome {
                Ok(Err(error)) if error.kind() == *kind && error.fate() == Fate::NotSent => Ok(()),
                other => Err(format!("expected an error of the kind {kind:?}, got {other:?}")),
            };
        }
        let recorded = &event[if event["event"] == "rejected" { "reason" } else { "value" }];
        if let Some(saw) = &mut self.saw {
            return match tokio::time::timeout(LONG, saw.recv()).await {
                Ok(Some(saw)) => compare(&saw, recorded),
                _ => Err("the program saw nothing".to_owned()),
            };
        }
        if self.answered.is_empty() && !self.hung_up && self.case.closed_by == Some(self.case.rust) {
            self.hang_up(self.case.rust).await?;
        }
        let (id, answer) = self.answered.pop_front().ok_or("no call has an answer")?;
        let Some(PendingCall::Awaited(call)) = self.calls.remove(&id) else {
            return Err(format!("call {id} is gone"));
        };
        let outcome = match tokio::time::timeout(LONG, call).await {
            Ok(Ok(outcome)) => outcome,
            other => return Err(format!("call {id} does not end: {other:?}")),
        };
        let mut recorded = recorded;
        if let Some((_, ours, why)) = self.case.seen.iter().find(|(call, ..)| *call == name) {
            if same(ours, recorded) {
                return Err(format!("this is no difference ({why:?})"));
            }
            recorded = ours;
        }
        match (event["event"].as_str(), outcome) {
            (Some("result"), Ok(value)) => {
                compare(&seen(&value), recorded)?;
                if let Some(answer) = answer {
                    calls::lent(&answer[2], &value, &mut |form, id, cap| {
                        if form == "export" {
                            self.lent.insert(id, cap.clone());
                        }
                    });
                }
                Ok(())
            }
            (Some("rejected"), Err(error)) if self.hung_up => match error.kind() {
                ErrorKind::Disconnected => Ok(()),
                other => Err(format!("expected that the connection ended, got {other:?}")),
            },
            (Some("rejected"), Err(error)) => match &self.aborted {
                Some(reason) => {
                    compare(&recorded["message"], &json!(reason))?;
                    compare(&json!(error.message()), &json!(format!("the peer ended the session: {reason}")))
                }
                None if recorded["js"] == "Error" => {
                    let members = recorded["props"].as_object();
                    let keys = members.iter().flat_map(|members| members.keys());
                    let properties: Vec<_> =
                        keys.filter_map(|key| Some((key.clone(), error.property::<Value>(key)?))).collect();
                    compare(&seen_error(error.name(), error.message(), &properties), recorded)
                }
                None => match (answer, recorded) {
                    (_, Json::String(text)) => compare(&json!(error.message()), &json!(text)),
                    (Some(answer), _) => compare(&parse(error.message())?, &answer[2]),
                    (None, _) => Err("there is no answer".to_owned()),
                },
            },
            (expected, outcome) => Err(format!("expected a {expected:?}, got {outcome:?}")),
        }
    }

    // -------------------------------------------------------------------------------- the end

    /// Nothing more is sent, and nothing is left behind.
    async fn end(mut self) -> Result<(), String> {
        self.expect_releases().await?;
        if let Some((id, _)) = self.calls.iter().find(|(_, made)| matches!(made, PendingCall::Awaited(_))) {
            return Err(format!("nothing was recorded of what came of call {id}"));
        }
        if !matches!(self.case.program, Program::Typed(_)) {
            self.nothing_more().await?;
        }
        if self.closed.is_some() {
            return if self.connection.is_closed() {
                Ok(())
            } else {
                Err("the connection goes on".to_owned())
            };
        }
        self.calls.clear();
        self.lent.clear();
        self.releases =
            std::mem::take(&mut self.left_behind).iter().map(|id| json!(["release", id, 1])).collect();
        self.expect_releases().await?;
        self.nothing_more().await?;
        let tables = self.connection.tables();
        if (tables.imports, tables.calls, tables.running) != (0, 0, 0) {
            return Err(format!("something was left behind: {tables:?}"));
        }
        self.connection.close();
        match self.wait_for_close().await? {
            None => Ok(()),
            Some(reason) => Err(format!("the transport was closed because of {reason}")),
        }
    }

    async fn nothing_more(&mut self) -> Result<(), String> {
        tokio::time::sleep(LONG).await;
        match self.from_node.try_recv() {
            Ok(sent) => Err(format!("nothing more was to come, got {sent:?}")),
            Err(_) => Ok(()),
        }
    }
}

fn compare(ours: &Json, recorded: &Json) -> Result<(), String> {
    if same(ours, recorded) { Ok(()) } else { Err(format!("expected {recorded}\n     got {ours}")) }
}
