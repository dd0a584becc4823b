//! Plays a recording with a Rust node in the place of one side: the other side's messages as they were written, each
//! when all that was recorded before it has happened.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capnode::{Call, Cap, Connection, Dialect, Error, ErrorKind, Func, Node, Object, Value};
use capnode_tests::recordings::{
    Line, Recording, Side,
    calls::{self, Attempt, answers, reply_id, text},
    parse,
    programs::{Function, Observations, Part, PlayState, given},
    script::{self, LONG, Script, Sent},
    well::{self, WELL},
    wire::{Graph, Ids, Leaf, compare, is_seen, pair, said, values},
};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

type Outcome = Result<Value, Error>;

/// The arguments and answers of this side's callbacks, by the number of the call.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<Called>>>);

#[derive(Default)]
struct Called {
    args: Option<Vec<Value>>,
    answer: Option<oneshot::Sender<Result<Value, Error>>>,
}

impl Calls {
    fn callback(&self) -> Function {
        let calls = self.clone();
        Func::fallible(move |a: Value, b: Value, c: Value, d: Value, e: Value, f: Value| {
            let (sender, answer) = oneshot::channel();
            let args = Some(given([a, b, c, d, e, f]));
            calls.0.lock().unwrap().push(Called { args, answer: Some(sender) });
            async move { answer.await.unwrap_or_else(|_| Err(Error::rejected("nothing more is recorded"))) }
        })
    }
}

/// A call that the program has made.
struct PendingCall {
    running: Option<JoinHandle<Result<Value, Error>>>,
    outcome: Option<Outcome>,
}

struct Player<'a> {
    dialect: Dialect,
    rust: Side,
    part: &'a Part,
    world: PlayState,
    connection: Connection,
    to_node: Option<UnboundedSender<String>>,
    from_node: UnboundedReceiver<Sent>,
    ids: Ids,
    /// The peer's requests that were never answered: ours have to be.
    unanswered: HashSet<Json>,
    /// Those that have been played and not answered.
    owed: Vec<Json>,
    /// The references that the peer has lent the program.
    lent: HashMap<String, Cap>,
    exported: HashMap<String, Cap>,
    calls: Calls,
    /// The number of recorded calls of this side's callbacks so far.
    called: usize,
    scripted: HashMap<Json, (usize, bool, Graph, Vec<Leaf>)>,
    made: HashMap<String, usize>,
    outcomes: Vec<PendingCall>,
    saw: VecDeque<Observations>,
    seen: UnboundedReceiver<Observations>,
    instead: Vec<(Json, Option<Json>)>,
    /// Answers that came earlier than recorded.
    early: VecDeque<Json>,
    /// Another session of the same node.
    other: Option<Connection>,
}

/// Plays a recording. An error describes the difference of the node.
pub async fn play(recording: &Recording, rust: Side, part: &Part) -> Result<(), String> {
    let (mut player, program) = start(recording, rust, part, false).await?;
    for (at, line) in recording.lines.iter().enumerate() {
        player.line(line).await.map_err(|error| format!("line {}, {line:?}:\n{error}", at + 2))?;
        if part.until.is_some_and(|(until, _)| matches!(line, Line::Event(event) if event["call"] == until)) {
            break;
        }
    }
    if let Some(program) = program {
        match tokio::time::timeout(LONG, program).await {
            Ok(Ok(Ok(()))) => {}
            other => return Err(format!("the program did not end well: {other:?}")),
        }
    }
    player.end().await.map_err(|error| format!("at the end: {error}"))
}

/// Plays a recording that was damaged, and looks whether another session of the same node goes on.
pub async fn play_damaged(recording: &Recording, rust: Side, part: &Part) -> Result<(), String> {
    let (mut player, program) = start(recording, rust, part, true).await?;
    for line in &recording.lines {
        // The outcome does not matter.
        let _outcome = match line {
            Line::Frame { from, text } if *from == rust => player.go_on(text).await,
            Line::Event(event) if event["event"] == "note" => player.event(event).await,
            Line::Event(_) => Ok(()),
            line => player.line(line).await,
        };
    }
    drop(program);
    let Player { to_node, from_node, connection, world, other, .. } = player;
    drop(to_node);
    if tokio::time::timeout(LONG, connection.closed()).await.is_err() {
        return Err("the damaged session does not end".to_owned());
    }
    let tables = connection.tables();
    if (tables.imports, tables.exports, tables.calls) != (0, 0, 0) {
        return Err(format!("the damaged session leaves {tables:?}"));
    }
    drop((from_node, world));
    let Some(other) = other else { return Ok(()) };
    well::check(&other).await
}

/// Returns the index for a second session of a node.
fn checked(index: Option<Value>) -> Value {
    let mut members = vec![(WELL.to_owned(), well::well())];
    match index {
        Some(Value::Object(others)) => members.extend(others),
        Some(other) => members.push(("index".to_owned(), other)),
        None => {}
    }
    Value::Object(members)
}

type Program = JoinHandle<Result<(), Error>>;

async fn start<'a>(
    recording: &Recording,
    rust: Side,
    part: &'a Part,
    with_other: bool,
) -> Result<(Player<'a>, Option<Program>), String> {
    let dialect = recording.dialect;
    let (sender, seen) = tokio::sync::mpsc::unbounded_channel();
    let world = PlayState::new(sender);
    let (transport, to_node, from_node) = Script::new();
    let index = (part.index)(&world, part.name);
    let node = if with_other {
        let first = std::sync::atomic::AtomicBool::new(true);
        Node::builder().authorize(move |_| {
            let is_first = first.swap(false, std::sync::atomic::Ordering::SeqCst);
            let index = if is_first { index.clone().unwrap_or_default() } else { checked(index.clone()) };
            async move { Ok::<_, String>(index) }
        })
    } else {
        index.map_or_else(Node::builder, |index| Node::builder().index(index))
    };
    let lost = world.clone();
    let node = node
        .dialect(dialect)
        .limits(capnode_tests::timeless())
        .on_message_lost(move |message| lost.lose(message))
        .registry(&world.registry)
        .build();
    let connection = match rust {
        Side::A => node.connect_over::<Connection>(transport).await,
        Side::B => node.serve(transport).await,
    };
    let connection = connection.map_err(|error| error.to_string())?;
    let mut other = None;
    if with_other {
        other = Some(well::another(&node, dialect).await?);
    }
    let mut frames = Vec::new();
    // Unanswered requests of a damaged session do not matter.
    for line in recording.lines.iter().filter(|_| !with_other) {
        if let Line::Frame { from, text } = line {
            frames.push((*from, parse(text).unwrap_or_default()));
        }
    }
    let answered: HashSet<_> = (frames.iter().filter(|(from, _)| *from == rust))
        .filter_map(|(_, message)| answers(dialect, message).cloned())
        .collect();
    let asked = frames.iter().filter(|(from, _)| *from != rust);
    let unanswered = asked
        .filter_map(|(_, message)| reply_id(dialect, message).cloned())
        .filter(|id| !answered.contains(id))
        .collect();
    let player = Player {
        dialect,
        rust,
        part,
        world: world.clone(),
        connection: connection.clone(),
        to_node: Some(to_node),
        from_node,
        ids: Ids::default(),
        unanswered,
        owed: Vec::new(),
        lent: HashMap::new(),
        exported: HashMap::new(),
        calls: Calls::default(),
        called: 0,
        scripted: HashMap::new(),
        made: HashMap::new(),
        outcomes: Vec::new(),
        saw: VecDeque::new(),
        seen,
        instead: part.instead.iter().map(|(recorded, ours, _)| (recorded.clone(), ours.clone())).collect(),
        early: VecDeque::new(),
        other,
    };
    world.connected(&connection);
    let program = part.program.map(|program| tokio::spawn(program(world, connection)));
    Ok((player, program))
}

impl Player<'_> {
    async fn line(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::Frame { from, text } if *from != self.rust => {
                let message = parse(text).unwrap_or_default();
                self.play(text, &message).await
            }
            Line::Frame { text, .. } => {
                let mut recorded = parse(text)?;
                let fits = |(other, _): &(Json, Option<Json>)| covers(other, &recorded);
                if let Some(at) = self.instead.iter().position(fits) {
                    match self.instead.remove(at).1 {
                        Some(ours) => overwrite(&mut recorded, &ours),
                        None => return Ok(()),
                    }
                }
                self.make(&recorded).await?;
                self.expect(&recorded).await
            }
            Line::Event(event) => self.event(event).await,
        }
    }

    /// Repeats the actions of the recorded side, as far as it can.
    async fn go_on(&mut self, text: &str) -> Result<(), String> {
        let recorded = parse(text)?;
        let made = self.make(&recorded).await;
        self.settle().await;
        while let Ok(sent) = self.from_node.try_recv() {
            let Sent::Frame(frame) = sent else { break };
            if compare(self.dialect, &recorded, &parse(&frame)?, &mut self.ids).is_ok() {
                break;
            }
        }
        made
    }

    // -------------------------------------------------------------------------------- the wire

    fn send(&mut self, text: String) {
        // A node that has gone is noticed by the messages that it does not send.
        if let Some(Err(_)) = self.to_node.as_ref().map(|to_node| to_node.send(text)) {
            self.to_node = None;
        }
    }

    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    async fn play(&mut self, raw: &str, message: &Json) -> Result<(), String> {
        let dialect = self.dialect;
        let target = message.get(if dialect == Dialect::Capnode { "methodId" } else { "to" }).map(text);
        if let Some(reply) = reply_id(dialect, message) {
            self.owed.push(reply.clone());
            let is_call = dialect == Dialect::Q || message["type"] == "invocation";
            if is_call && target.is_some_and(|target| self.exported.contains_key(&target)) {
                let graph = Graph::of(dialect, message);
                let args = graph.arguments(dialect, message["op"].as_str().unwrap_or_default());
                self.scripted.insert(reply.clone(), (self.called, false, graph, args));
                self.called += 1;
            }
        }
        let translated = self.ids.translate(dialect, raw, message);
        self.send(translated);
        self.settle().await;
        self.look()?;
        let reply = reply_id(dialect, message).cloned();
        if let Some(reply) = reply.filter(|reply| self.unanswered.contains(reply)) {
            // The recorded callback has never answered; ours cannot do that.
            if self.scripted.contains_key(&reply) {
                self.answer(&reply, None)?;
            }
        }
        let Some(at) = answers(dialect, message).and_then(|id| self.made.get(&text(id))).copied() else {
            return Ok(());
        };
        let Some(running) = self.outcomes[at].running.take() else { return Ok(()) };
        let outcome = match tokio::time::timeout(LONG, running).await {
            Ok(Ok(outcome)) => outcome,
            other => return Err(format!("the call does not end: {other:?}")),
        };
        if let Ok(value) = &outcome {
            let graph = Graph::of(dialect, message);
            if !pair(&graph, &graph.root, value, &mut self.lent) {
                return Err(format!("this was read as {value:?}"));
            }
        }
        self.outcomes[at].outcome = Some(outcome);
        Ok(())
    }

    /// The next frame that was recorded.
    async fn next_frame(&mut self, recorded: &Json) -> Result<Json, String> {
        loop {
            let frame = match script::next(&mut self.from_node).await? {
                Sent::Frame(frame) => parse(&frame)?,
                Sent::Closed(reason) => return Err(format!("the transport was closed: {reason:?}")),
            };
            if frame["type"] == "dealloc" && recorded["type"] == "dealloc" || !self.is_extra(&frame) {
                return Ok(frame);
            }
        }
    }

    /// Returns whether a frame was not recorded and has to be sent nevertheless.
    fn is_extra(&mut self, frame: &Json) -> bool {
        if let Some(id) = answers(self.dialect, frame) {
            if self.unanswered.remove(id) {
                self.owed.retain(|owed| owed != id);
                return true;
            }
        }
        if frame["type"] == "dealloc" {
            let reply = json!({"type": "return", "methodId": frame["replyId"]});
            self.send(reply.to_string());
            return true;
        }
        false
    }

    async fn expect(&mut self, recorded: &Json) -> Result<(), String> {
        let id = answers(self.dialect, recorded);
        let is_it = |frame: &Json| id.is_some() && answers(self.dialect, frame) == id;
        let mut frame = self.early.iter().position(is_it).and_then(|at| self.early.remove(at));
        while frame.is_none() {
            let next = self.next_frame(recorded).await?;
            let answered = answers(self.dialect, &next);
            // Answers come in any order.
            if answered.is_some_and(|answered| Some(answered) != id && self.owed.contains(answered)) {
                self.early.push_back(next);
            } else {
                frame = Some(next);
            }
        }
        let frame = frame.unwrap_or_default();
        compare(self.dialect, recorded, &frame, &mut self.ids)?;
        if let Some(id) = id {
            self.owed.retain(|owed| owed != id);
        }
        Ok(())
    }

    // -------------------------------------------------------------------------------- the program

    /// Repeats the action by which the recorded program sent this.
    async fn make(&mut self, recorded: &Json) -> Result<(), String> {
        self.look()?;
        if let Some(id) = answers(self.dialect, recorded) {
            if self.scripted.contains_key(id) {
                let graph = Graph::of(self.dialect, recorded);
                return self.answer(id, Some((recorded, &graph)));
            }
            return Ok(());
        }
        if self.rust == Side::B || self.part.program.is_some() {
            return Ok(());
        }
        if recorded["type"] == "dealloc" {
            self.lent.remove(&text(&recorded["methodId"]));
            for called in &mut *self.calls.0.lock().unwrap() {
                called.args = Some(Vec::new());
            }

            return Ok(());
        }
        let Some(id) = reply_id(self.dialect, recorded) else { return Ok(()) };
        let call = self.call(recorded).ok_or("what this calls is not known")?;
        self.made.insert(text(id), self.outcomes.len());
        let running = Some(tokio::spawn(call));
        self.outcomes.push(PendingCall { running, outcome: None });
        Ok(())
    }

    fn call(&mut self, recorded: &Json) -> Option<Attempt> {
        let op = recorded["op"].as_str().unwrap_or_default().to_owned();
        let target = match (self.dialect, recorded["type"].as_str()?) {
            (Dialect::Capnode, "index") => return Some(self.watched(self.connection.index::<Cap>().read())),
            (Dialect::Capnode, _) => self.lent.get(&text(&recorded["methodId"]))?.clone(),
            _ => match text(&recorded["to"]).as_str() {
                "" => self.connection.index::<Cap>(),
                to => self.lent.get(to)?.clone(),
            },
        };
        let graph = Graph::of(self.dialect, recorded);
        let args = graph.arguments(self.dialect, &op);
        let args = self.values(&graph, &args)?;
        let name = recorded["args"][0].as_str();
        calls::operate(&target, &op, name, args, |call| self.watched(call))
    }

    fn watched(&self, call: Call<Value>) -> Attempt {
        // Capnode's language has no word for progress, and a call that wants to be told fails.
        if self.dialect != Dialect::Q {
            return Box::pin(call.into_future());
        }
        let world = self.world.clone();
        Box::pin(call.on_progress(move |value| world.saw(Ok(value))).into_future())
    }

    fn values(&mut self, graph: &Graph, leaves: &[Leaf]) -> Option<Vec<Value>> {
        let (calls, exported) = (&self.calls, &mut self.exported);
        let mut reference = |leaf: &Leaf| {
            let new = |id: &Json, make: &dyn Fn() -> Cap, exported: &mut HashMap<String, Cap>| {
                exported.entry(text(id)).or_insert_with(make).clone()
            };
            match leaf {
                Leaf::Function(id) => Some(new(id, &|| calls.callback().into(), exported)),
                Leaf::Object(id) => Some(new(id, &|| Object::new().cap(), exported)),
                _ => None,
            }
        };
        values(graph, leaves, &mut reference)
    }

    /// Lets a callback give the recorded answer.
    fn answer(&mut self, id: &Json, recorded: Option<(&Json, &Graph)>) -> Result<(), String> {
        let Some((number, ..)) = self.scripted.remove(id) else { return Ok(()) };
        let answer = match recorded {
            None => Ok(Value::Undefined),
            Some((message, _)) if message["type"] == "error" => {
                Err(Error::rejected(message["value"]["message"].as_str().unwrap_or_default()))
            }
            Some((message, _)) if message["resolution"].get("!").is_some() => {
                let reason = &message["resolution"]["!"];
                let said = reason["message"].as_str().or(reason.as_str()).unwrap_or_default();
                Err(Error::rejected(said))
            }
            Some((_, answer)) => {
                let root = answer.root.clone();
                let values = self.values(answer, &[root]).ok_or("no value is like the answer")?;
                Ok(values.into_iter().next().unwrap_or_default())
            }
        };
        let mut calls = self.calls.0.lock().unwrap();
        let Some(called) = calls.get_mut(number) else {
            // It is no function of this side any more.
            self.called = number;
            return if recorded.is_none() { Ok(()) } else { Err("the callback was not called".to_owned()) };
        };
        let sender = called.answer.take().ok_or("the callback has answered")?;
        // The call may have been given up.
        let _gone = sender.send(answer);
        Ok(())
    }

    /// Notes the references lent to callbacks, as soon as they are called, and whether their arguments are the recorded
    /// ones.
    fn look(&mut self) -> Result<(), String> {
        let calls = self.calls.0.lock().unwrap();
        for (number, looked, graph, leaves) in self.scripted.values_mut() {
            let Some(args) = calls.get(*number).and_then(|called| called.args.as_ref()).filter(|_| !*looked)
            else {
                continue;
            };
            *looked = true;
            let fits = args.len() == leaves.len()
                && leaves.iter().zip(args).all(|(leaf, value)| pair(graph, leaf, value, &mut self.lent));
            if !fits {
                return Err(format!("a callback was called with {args:?}"));
            }
        }
        Ok(())
    }

    // -------------------------------------------------------------------------------- events

    async fn event(&mut self, event: &Json) -> Result<(), String> {
        self.look()?;
        let name = event["call"].as_str().or_else(|| event["event"].as_str()).unwrap_or_default();
        let ours = event["side"] == self.rust.name();
        if self.part.not_in_rust.iter().any(|(call, _)| *call == name) {
            return Ok(());
        }
        match event["event"].as_str().unwrap_or_default() {
            "note" if event["capId"].is_string() => {
                let exposed = self.world.exposed.lock().unwrap().clone();
                match (self.rust, exposed) {
                    (Side::B, Some(id)) => self.ids.bind(&text(&event["capId"]), &id),
                    _ => {
                        let id = text(&event["capId"]);
                        if let Ok(cap) = self.connection.reconstruct(&id) {
                            self.lent.insert(id, cap);
                        }
                    }
                }
                Ok(())
            }
            "result" | "rejected" | "throws" | "progress" | "listener" | "callback-args"
                if ours && self.part.program.is_some() =>
            {
                self.saw(event).await
            }
            "listener" | "progress" if ours => self.saw(event).await,
            "result" | "rejected" if ours => self.outcome(event),
            "never-settled" if ours && self.part.program.is_none() => {
                let has_ended =
                    |made: &PendingCall| made.outcome.as_ref().is_some_and(|outcome| !is_index(outcome));
                let ended = self.outcomes.iter().position(has_ended);
                let pending = self.outcomes.iter().position(|made| made.running.is_some());
                if let Some(at) = ended.or(pending) {
                    self.outcomes[at] = PendingCall { running: None, outcome: None };
                }
                Ok(())
            }
            "callback-args" if ours => {
                let calls = self.calls.0.lock().unwrap();
                let recorded = event["value"].as_array().ok_or("a list of arguments")?;
                let alike = recorded.len() == calls.len()
                    && recorded.iter().zip(calls.iter()).all(|(recorded, called)| {
                        let args = called.args.clone().unwrap_or_default();
                        is_seen(&Value::Array(args.clone()), recorded)
                            || args.first().is_some_and(|first| is_seen(first, recorded))
                    });
                if alike { Ok(()) } else { Err("the callbacks were called with something else".to_owned()) }
            }
            "onmessagelost" if ours => {
                let lost = self.world.lost.lock().unwrap().pop_front();
                match lost {
                    Some(lost) if parse(&lost.message).is_ok_and(|lost| lost == event["message"]) => Ok(()),
                    lost => Err(format!("lost was {lost:?}")),
                }
            }
            "close" if self.rust == Side::A => {
                self.connection.close_because(event["reason"].as_str().unwrap_or_default());
                self.ended().await;
                Ok(())
            }
            "ws-close" | "socket-close" => {
                self.to_node = None;
                self.ended().await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Waits for the outcomes of all running calls, which get no answer.
    async fn ended(&mut self) {
        for made in &mut self.outcomes {
            if let Some(running) = made.running.take() {
                if let Ok(Ok(outcome)) = tokio::time::timeout(LONG, running).await {
                    made.outcome = Some(outcome);
                }
            }
        }
    }

    async fn saw(&mut self, event: &Json) -> Result<(), String> {
        let saw = match self.saw.pop_front() {
            Some(saw) => saw,
            None => match tokio::time::timeout(LONG, self.seen.recv()).await {
                Ok(Some(saw)) => saw,
                _ => return Err("the program saw nothing".to_owned()),
            },
        };
        if is_outcome(event, &saw) { Ok(()) } else { Err(format!("the program saw {saw:?}")) }
    }

    fn outcome(&mut self, event: &Json) -> Result<(), String> {
        let fits =
            |made: &PendingCall| made.outcome.as_ref().is_some_and(|outcome| is_outcome(event, outcome));
        let Some(at) = self.outcomes.iter().position(fits) else {
            let there: Vec<_> = self.outcomes.iter().filter_map(|made| made.outcome.as_ref()).collect();
            return Err(format!("no call has this outcome, but {there:?}"));
        };
        self.outcomes[at].outcome = None;
        Ok(())
    }

    // -------------------------------------------------------------------------------- the end

    async fn end(mut self) -> Result<(), String> {
        if !self.instead.is_empty() {
            return Err(format!("these are no differences: {:?}", self.instead));
        }
        tokio::time::sleep(LONG).await;
        while let Ok(sent) = self.from_node.try_recv() {
            match sent {
                Sent::Frame(frame) => {
                    let frame = parse(&frame)?;
                    if !self.is_extra(&frame) {
                        return Err(format!("nothing more was to come, got {frame}"));
                    }
                }
                Sent::Closed(_) if self.to_node.is_none() || self.connection.is_closed() => {}
                Sent::Closed(reason) => return Err(format!("the transport was closed: {reason:?}")),
            }
        }
        let played = |id: &&Json| self.owed.contains(id);
        let hang = self.unanswered.iter().filter(played).count();
        if hang != self.part.hang && self.to_node.is_some() && !self.connection.is_closed() {
            return Err(format!("{hang} calls were not answered"));
        }
        if !self.early.is_empty() {
            return Err(format!("these answers were not recorded: {:?}", self.early));
        }
        let outcomes = self.outcomes.iter().filter_map(|made| made.outcome.as_ref());
        let is_end = |error: &Error| error.kind() == ErrorKind::Disconnected;
        // The recorded programs do not say what index they got.
        let counts = |outcome: &&Outcome| {
            let is_ours = self.dialect == Dialect::Capnode && is_index(outcome);
            !is_ours && !outcome.as_ref().is_err_and(is_end)
        };
        let leftover = outcomes.filter(counts).count();
        if leftover != self.part.unsaid {
            return Err(format!("{leftover} outcomes were not recorded"));
        }
        Ok(())
    }
}

fn is_index(outcome: &Outcome) -> bool {
    outcome.as_ref().is_ok_and(holds_caps)
}

fn holds_caps(value: &Value) -> bool {
    match value {
        Value::Cap(_) => true,
        Value::Array(elements) => elements.iter().any(holds_caps),
        Value::Object(members) => members.iter().any(|(_, value)| holds_caps(value)),
        _ => false,
    }
}

/// Returns whether a call ended as recorded.
fn is_outcome(event: &Json, outcome: &Result<Value, Error>) -> bool {
    let rejected = match event["event"].as_str() {
        Some("rejected") => Some(&event["reason"]),
        Some("throws") => Some(&event["error"]),
        // The form in which JavaScript sees a rejection with nothing.
        _ => {
            event["value"].get("!").filter(|_| event["value"].as_object().is_some_and(|only| only.len() == 1))
        }
    };
    match (rejected, outcome) {
        (None, Ok(value)) => is_seen(value, &event["value"]),
        (Some(reason), Err(error)) => is_reason(reason, error),
        _ => false,
    }
}

fn is_reason(reason: &Json, error: &Error) -> bool {
    // The reason of a Capnode call is the message itself.
    let reason = if reason["type"] == "error" {
        reason.get("value").cloned().unwrap_or_default()
    } else {
        reason.clone()
    };
    if reason["js"] == "Error" {
        let message = reason["message"].as_str().unwrap_or_default();
        let message = message.strip_prefix("Connection closed because: ").unwrap_or(message);
        return error.message() == message
            || message.starts_with("Can't get value from closed queue")
                && error.kind() == ErrorKind::Disconnected;
    }
    match said(&reason) {
        Json::Object(members) if members.contains_key("message") => {
            members.iter().all(|(key, value)| match key.as_str() {
                "message" => value == error.message(),
                key => error.property::<Value>(key).is_some_and(|property| is_seen(&property, value)),
            })
        }
        // Not an error in JavaScript; the error says it in its message.
        Json::Object(members) if members.is_empty() => error.message() == "the peer gave no message",
        Json::String(text) => error.message() == text,
        _ => !error.message().is_empty(),
    }
}

/// Returns whether a message has all members of `part`, and none that is null there.
pub fn covers(part: &Json, message: &Json) -> bool {
    match (part, message) {
        (Json::Object(part), Json::Object(message)) => {
            part.iter().all(|(key, part)| covers(part, message.get(key).unwrap_or(&Json::Null)))
        }
        (part, message) => part == message,
    }
}

fn overwrite(message: &mut Json, with: &Json) {
    match (message, with) {
        (Json::Object(message), Json::Object(with)) => {
            for (key, value) in with {
                message.insert(key.clone(), value.clone());
            }
        }
        (message, with) => *message = with.clone(),
    }
}
