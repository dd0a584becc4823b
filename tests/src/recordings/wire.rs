//! The messages of the two languages as far as a comparison needs them: which strings in them are ids,
//! and what values they carry, however these are written down.

use std::collections::{HashMap, HashSet};

use capnode::value::GraphBuilder;
use capnode::{Cap, Dialect, Value};
use serde_json::Value as Json;

use crate::recordings::json::same;

/// A value, or the place of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Leaf {
    Undefined,
    /// A number that JSON does not have.
    Number(f64),
    /// A value that JSON writes as it is.
    Plain(Json),
    /// The list or record with this number.
    Node(usize),
    Function(Json),
    Object(Json),
    /// A promise that is rejected.
    Rejected(Json),
    /// The value at this path, until it is looked up.
    Path(String),
}

#[derive(Clone, Debug)]
pub enum Node {
    List(Vec<Leaf>),
    Record(Vec<(String, Leaf)>),
}

impl Node {
    pub fn leaves(&self) -> Box<dyn Iterator<Item = &Leaf> + '_> {
        match self {
            Node::List(elements) => Box::new(elements.iter()),
            Node::Record(members) => Box::new(members.iter().map(|(_, leaf)| leaf)),
        }
    }
}

/// A value of a message, with what occurs in it more than once.
#[derive(Clone, Debug)]
pub struct Graph {
    pub nodes: Vec<Node>,
    pub root: Leaf,
}

impl Graph {
    fn undefined() -> Self {
        Self { nodes: Vec::new(), root: Leaf::Undefined }
    }

    /// The value of a message that carries one.
    pub fn of(dialect: Dialect, message: &Json) -> Self {
        let member = |name| message.get(name);
        match dialect {
            Dialect::Capnode => table(member("value").or_else(|| member("arguments"))),
            _ => member("args").or_else(|| member("resolution")).map_or_else(Self::undefined, qson),
        }
    }

    /// The arguments of a call.
    pub fn arguments(&self, dialect: Dialect, op: &str) -> Vec<Leaf> {
        let list = |leaf: &Leaf| match leaf {
            Leaf::Node(at) => match &self.nodes[*at] {
                Node::List(elements) => elements.clone(),
                Node::Record(_) => Vec::new(),
            },
            _ => Vec::new(),
        };
        let all = list(&self.root);
        match (dialect, op) {
            (Dialect::Capnode, _) => all,
            (_, "post" | "apply") => all.get(1).map(list).unwrap_or_default(),
            _ => all.into_iter().skip(1).collect(),
        }
    }
}

/// A value of Capnode's.
fn table(json: Option<&Json>) -> Graph {
    let Some(json) = json else { return Graph::undefined() };
    let mut links = json["links"].as_array().cloned().unwrap_or_default();
    // The treatment of a function that occurs twice by the original sender.
    let highest = links.iter().chain(json.get("value")).filter_map(highest_id).max();
    let mut there = HashSet::new();
    let repeats: Vec<_> = links.iter().map(|link| link.is_string() && !there.insert(link.clone())).collect();
    let count = repeats.iter().filter(|repeat| **repeat).count();
    if count > 0 && highest.is_some_and(|highest| highest + 1 + count == links.len()) {
        let mut repeat = repeats.into_iter();
        links.retain(|_| !repeat.next().unwrap_or_default());
    }
    let leaf = |json: &Json| -> Leaf {
        let Json::Object(pointer) = json else { return Leaf::Plain(json.clone()) };
        let at = pointer.get("id").and_then(Json::as_u64).unwrap_or(u64::MAX) as usize;
        match (pointer.get("type").and_then(Json::as_u64), links.get(at)) {
            (Some(1), Some(id)) => Leaf::Function(id.clone()),
            (Some(0), Some(Json::Object(_))) | (Some(2), Some(Json::Array(_))) => Leaf::Node(at),
            _ => Leaf::Undefined,
        }
    };
    let node = |json: &Json| match json {
        Json::Array(elements) => Node::List(elements.iter().map(leaf).collect()),
        Json::Object(members) => {
            Node::Record(members.iter().map(|(key, value)| (key.clone(), leaf(value))).collect())
        }
        _ => Node::List(Vec::new()),
    };
    Graph { nodes: links.iter().map(node).collect(), root: json.get("value").map_or(Leaf::Undefined, leaf) }
}

fn highest_id(json: &Json) -> Option<usize> {
    let id = |json: &Json| json.get("id").and_then(Json::as_u64).map(|id| id as usize);
    match json {
        Json::Array(elements) => elements.iter().filter_map(id).max(),
        Json::Object(members) if members.contains_key("type") && members["type"].is_u64() => id(json),
        Json::Object(members) => members.values().filter_map(id).max(),
        _ => None,
    }
}

/// A value of Q-Connection's.
fn qson(json: &Json) -> Graph {
    let mut graph = Graph::undefined();
    let mut places = HashMap::new();
    graph.root = qson_leaf(json, "", &mut graph.nodes, &mut places);
    let find = |leaf: &mut Leaf| {
        if let Leaf::Path(path) = leaf {
            *leaf = places.get(path).cloned().unwrap_or(Leaf::Undefined);
        }
    };
    for node in &mut graph.nodes {
        match node {
            Node::List(elements) => elements.iter_mut().for_each(find),
            Node::Record(members) => members.iter_mut().for_each(|(_, leaf)| find(leaf)),
        }
    }
    graph
}

fn qson_leaf(json: &Json, path: &str, nodes: &mut Vec<Node>, places: &mut HashMap<String, Leaf>) -> Leaf {
    let truthy = |json: &&Json| {
        !matches!(json, Json::Null | Json::Bool(false))
            && json.as_str() != Some("")
            && json.as_f64() != Some(0.0)
    };
    let leaf = match json {
        Json::Object(form) if form.contains_key("$") => {
            return Leaf::Path(form["$"].as_str().unwrap_or_default().to_owned());
        }
        Json::Object(form) => {
            let own = |name| form.get(name).filter(truthy);
            match (own("%").and_then(Json::as_str), own("!"), own("@")) {
                (Some("undefined"), ..) => return Leaf::Undefined,
                (Some("NaN"), ..) => return Leaf::Number(f64::NAN),
                (Some("+Infinity"), ..) => return Leaf::Number(f64::INFINITY),
                (Some("-Infinity"), ..) => return Leaf::Number(f64::NEG_INFINITY),
                (Some(_), ..) => return Leaf::Rejected(json.clone()),
                (_, Some(reason), _) => return Leaf::Rejected(reason.clone()),
                (_, _, Some(id)) if json["type"] == "function" => Leaf::Function(id.clone()),
                (_, _, Some(id)) => Leaf::Object(id.clone()),
                _ => Leaf::Node(nodes.len()),
            }
        }
        Json::Array(_) => Leaf::Node(nodes.len()),
        plain => return Leaf::Plain(plain.clone()),
    };
    places.insert(path.to_owned(), leaf.clone());
    let Leaf::Node(at) = leaf else { return leaf };
    nodes.push(Node::List(Vec::new()));
    nodes[at] = match json {
        Json::Array(elements) => {
            let elements = elements.iter().enumerate();
            Node::List(
                elements.map(|(at, json)| qson_leaf(json, &format!("{path}/{at}"), nodes, places)).collect(),
            )
        }
        Json::Object(members) => Node::Record(
            members
                .iter()
                .map(|(key, json)| (unescape(key), qson_leaf(json, &format!("{path}/{key}"), nodes, places)))
                .collect(),
        ),
        _ => return leaf,
    };
    leaf
}

/// A key without the backslash that Q-Connection puts before the first character that means something.
fn unescape(key: &str) -> String {
    let special = |next: Option<char>| next.is_some_and(|next| "@!%$/\\".contains(next));
    let at = key.char_indices().find(|(at, c)| *c == '\\' && special(key[at + 1..].chars().next()));
    match at {
        Some((at, _)) => format!("{}{}", &key[..at], &key[at + 1..]),
        None => key.to_owned(),
    }
}

/// Which of our ids is which of the recorded side's.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    ours: HashMap<String, String>,
    taken: HashSet<String>,
    /// Those that the other side has made.
    theirs: HashSet<String>,
}

impl Ids {
    pub fn bind(&mut self, recorded: &str, ours: &str) {
        self.ours.insert(recorded.to_owned(), ours.to_owned());
        self.taken.insert(ours.to_owned());
    }

    /// A text of the other side's with our ids in it.
    pub fn translate(&mut self, dialect: Dialect, text: &str, message: &Json) -> String {
        let mut translated = text.to_owned();
        for id in ids_in(dialect, message) {
            match self.ours.get(&id) {
                Some(ours) => translated = translated.replace(&format!("\"{id}\""), &format!("\"{ours}\"")),
                None => drop(self.theirs.insert(id)),
            }
        }
        translated
    }

    /// Returns whether an id of this side is the recorded one. `again` allows one id to stand for several recorded
    /// ones.
    fn same(&mut self, recorded: &Json, ours: &Json, again: bool) -> bool {
        let (Json::String(recorded), Json::String(ours)) = (recorded, ours) else {
            return same(recorded, ours);
        };
        if recorded.is_empty() || self.theirs.contains(recorded) {
            return recorded == ours;
        }
        if let Some(bound) = self.ours.get(recorded) {
            return bound == ours;
        }
        if self.theirs.contains(ours) || !self.taken.insert(ours.clone()) && !again {
            return false;
        }
        self.ours.insert(recorded.clone(), ours.clone());
        true
    }
}

/// All strings in a message that are ids.
pub fn ids_in(dialect: Dialect, message: &Json) -> Vec<String> {
    let mut ids = Vec::new();
    for name in ["methodId", "replyId", "to", "from"] {
        ids.extend(message.get(name).and_then(Json::as_str).map(str::to_owned));
    }
    let graph = Graph::of(dialect, message);
    for leaf in graph.nodes.iter().flat_map(Node::leaves).chain([&graph.root]) {
        if let Leaf::Function(Json::String(id)) | Leaf::Object(Json::String(id)) = leaf {
            ids.push(id.clone());
        }
    }
    ids.retain(|id| !id.is_empty());
    ids
}

/// Compares a message with the recorded one.
pub fn compare(dialect: Dialect, recorded: &Json, ours: &Json, ids: &mut Ids) -> Result<(), String> {
    let mut tried = ids.clone();
    let differs = |what: &str| Err(format!("{what}\nrecorded {recorded}\n     got {ours}"));
    for name in ["type", "op"] {
        if recorded.get(name) != ours.get(name) {
            return differs(name);
        }
    }
    for name in ["methodId", "replyId", "to", "from"] {
        let alike = match (recorded.get(name), ours.get(name)) {
            (Some(recorded), Some(ours)) => tried.same(recorded, ours, false),
            (recorded, ours) => recorded == ours,
        };
        if !alike {
            return differs(name);
        }
    }
    let is_error = recorded["type"] == "error";
    let reason = |message: &Json| {
        if is_error {
            Some(message.get("value").cloned().unwrap_or_default())
        } else {
            message.get("resolution").and_then(|resolution| resolution.get("!")).cloned()
        }
    };
    match (reason(recorded), reason(ours)) {
        (Some(theirs), Some(own)) => {
            if !same(&said(&theirs), &said(&own)) {
                return differs("the reason");
            }
        }
        (None, None) => {
            let (theirs, own) = (Graph::of(dialect, recorded), Graph::of(dialect, ours));
            let mut comparison =
                Comparison { dialect, ids: &mut tried, nodes: HashMap::new(), named: HashMap::new() };
            if !comparison.leaf((&theirs, &theirs.root), (&own, &own.root)) {
                return differs("the value");
            }
        }
        _ => return differs("one is a rejection"),
    }
    *ids = tried;
    Ok(())
}

/// Returns the comparable part of a reason: without a stack and the class of an error, which the recorded programs do
/// not report.
pub fn said(reason: &Json) -> Json {
    let mut reason = reason.clone();
    if let Some(members) = reason.as_object_mut() {
        if members.contains_key("message") {
            members.remove("stack");
            members.remove("name");
        }
    }
    reason
}

struct Comparison<'a> {
    dialect: Dialect,
    ids: &'a mut Ids,
    nodes: HashMap<usize, usize>,
    /// Our ids in this message: each stands for one.
    named: HashMap<String, String>,
}

impl Comparison<'_> {
    fn leaf(&mut self, (theirs, recorded): (&Graph, &Leaf), (own, ours): (&Graph, &Leaf)) -> bool {
        match (recorded, ours) {
            (Leaf::Function(recorded), Leaf::Function(ours))
            | (Leaf::Object(recorded), Leaf::Object(ours)) => {
                if let (Json::String(recorded), Json::String(ours)) = (recorded, ours) {
                    let before = self.named.entry(ours.clone()).or_insert_with(|| recorded.clone());
                    if before != recorded {
                        return false;
                    }
                }
                self.ids.same(recorded, ours, self.dialect == Dialect::Q)
            }
            (Leaf::Plain(recorded), Leaf::Plain(ours)) => same(recorded, ours),
            (Leaf::Number(recorded), Leaf::Number(ours)) => recorded.to_bits() == ours.to_bits(),
            (Leaf::Node(recorded), Leaf::Node(ours)) => {
                if let Some(paired) = self.nodes.get(recorded) {
                    return paired == ours;
                }
                if self.nodes.values().any(|paired| paired == ours) {
                    return false;
                }
                self.nodes.insert(*recorded, *ours);
                self.node((theirs, &theirs.nodes[*recorded]), (own, &own.nodes[*ours]))
            }
            // The original sends null for a value that it cannot write, on which its own receiver fails.
            (Leaf::Plain(Json::Null), Leaf::Undefined) => self.dialect == Dialect::Capnode,
            (recorded, ours) => recorded == ours,
        }
    }

    fn node(&mut self, (theirs, recorded): (&Graph, &Node), (own, ours): (&Graph, &Node)) -> bool {
        match (recorded, ours) {
            (Node::List(recorded), Node::List(ours)) => {
                recorded.len() == ours.len()
                    && recorded
                        .iter()
                        .zip(ours)
                        .all(|(recorded, ours)| self.leaf((theirs, recorded), (own, ours)))
            }
            (Node::Record(recorded), Node::Record(ours)) => {
                // Of an error as a value, the stack is not compared.
                let is_error = recorded.iter().any(|(key, _)| key == "message");
                let counts = |(key, _): &&(String, Leaf)| !(is_error && key == "stack");
                let recorded: Vec<_> = recorded.iter().filter(counts).collect();
                let ours: Vec<_> = ours.iter().filter(counts).collect();
                recorded.len() == ours.len()
                    && recorded.iter().all(|(key, recorded)| {
                        let ours = ours.iter().find(|(other, _)| other == key);
                        ours.is_some_and(|(_, ours)| self.leaf((theirs, recorded), (own, ours)))
                    })
            }
            _ => false,
        }
    }
}

/// Puts values of a graph into ours.
pub struct Values<'a> {
    graph: &'a Graph,
    shared: HashMap<usize, capnode::value::Shared>,
    reference: &'a mut dyn FnMut(&Leaf) -> Option<Cap>,
}

/// Values of a graph as ours: several that may share others.
pub fn values(
    graph: &Graph,
    leaves: &[Leaf],
    reference: &mut dyn FnMut(&Leaf) -> Option<Cap>,
) -> Option<Vec<Value>> {
    let (mut once, mut twice) = (HashSet::new(), HashSet::new());
    let mut open: Vec<_> = leaves.iter().rev().cloned().collect();
    while let Some(leaf) = open.pop() {
        if let Leaf::Node(at) = leaf {
            if once.insert(at) {
                open.extend(graph.nodes[at].leaves().cloned());
            } else {
                twice.insert(at);
            }
        }
    }
    let mut builder = GraphBuilder::new();
    let mut twice: Vec<_> = twice.into_iter().collect();
    twice.sort_unstable();
    let shared: HashMap<_, _> = twice.iter().map(|at| (*at, builder.node())).collect();
    let mut values = Values { graph, shared: shared.clone(), reference };
    for at in &twice {
        let value = values.node(*at)?;
        builder.set(&shared[at], &value).ok()?;
    }
    if let Some(first) = twice.first() {
        builder.finish(shared[first].clone()).ok()?;
    }
    leaves.iter().map(|leaf| values.leaf(leaf)).collect()
}

impl Values<'_> {
    fn leaf(&mut self, leaf: &Leaf) -> Option<Value> {
        Some(match leaf {
            Leaf::Undefined => Value::Undefined,
            Leaf::Number(number) => Value::Number(*number),
            Leaf::Plain(Json::Null) => Value::Null,
            Leaf::Plain(Json::Bool(value)) => Value::Bool(*value),
            Leaf::Plain(Json::Number(number)) => Value::Number(number.as_f64()?),
            Leaf::Plain(Json::String(text)) => Value::String(text.clone()),
            Leaf::Node(at) => match self.shared.get(at) {
                Some(shared) => Value::Shared(shared.clone()),
                None => self.node(*at)?,
            },
            Leaf::Function(_) | Leaf::Object(_) => Value::Cap((self.reference)(leaf)?),
            Leaf::Plain(_) | Leaf::Rejected(_) | Leaf::Path(_) => return None,
        })
    }

    fn node(&mut self, at: usize) -> Option<Value> {
        Some(match &self.graph.nodes[at] {
            Node::List(elements) => {
                Value::Array(elements.iter().map(|leaf| self.leaf(leaf)).collect::<Option<_>>()?)
            }
            Node::Record(members) => {
                let member = |(key, leaf): &(String, Leaf)| Some((key.clone(), self.leaf(leaf)?));
                Value::Object(members.iter().map(member).collect::<Option<_>>()?)
            }
        })
    }
}

/// Notes the peer's id of each reference in a value, and returns whether the value is that of the graph.
pub fn pair(graph: &Graph, leaf: &Leaf, value: &Value, lent: &mut HashMap<String, Cap>) -> bool {
    fn go(
        graph: &Graph,
        leaf: &Leaf,
        value: &Value,
        lent: &mut HashMap<String, Cap>,
        seen: &mut HashSet<usize>,
    ) -> bool {
        match (leaf, value) {
            (Leaf::Undefined, Value::Undefined) | (Leaf::Plain(Json::Null), Value::Null) => true,
            (Leaf::Number(number), Value::Number(other)) => {
                number.to_bits() == other.to_bits() || number.is_nan() && other.is_nan()
            }
            (Leaf::Plain(Json::Bool(one)), Value::Bool(other)) => one == other,
            (Leaf::Plain(Json::Number(one)), Value::Number(other)) => is_number(one, *other),
            (Leaf::Plain(Json::String(one)), Value::String(other)) => one == other,
            (Leaf::Function(id) | Leaf::Object(id), Value::Cap(cap)) => {
                let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
                lent.insert(id, cap.clone());
                true
            }
            (Leaf::Rejected(_), Value::Error(_)) => true,
            (Leaf::Node(at), value) => {
                let Ok(value) = value.open() else { return false };
                let again = !seen.insert(*at);
                match (&graph.nodes[*at], &*value) {
                    (Node::List(elements), Value::Array(values)) => {
                        again
                            || elements.len() == values.len()
                                && elements
                                    .iter()
                                    .zip(values)
                                    .all(|(leaf, value)| go(graph, leaf, value, lent, seen))
                    }
                    (Node::Record(members), Value::Object(values)) => {
                        again
                            || members.len() == values.len()
                                && members.iter().all(|(key, leaf)| {
                                    let value = values.iter().find(|(other, _)| other == key);
                                    value.is_some_and(|(_, value)| go(graph, leaf, value, lent, seen))
                                })
                    }
                    _ => false,
                }
            }
            _ => false,
        }
    }
    go(graph, leaf, value, lent, &mut HashSet::new())
}

/// Returns whether a number is the one that was read: serde_json may be wrong in the last digit.
fn is_number(recorded: &serde_json::Number, number: f64) -> bool {
    let recorded = recorded.as_f64().unwrap_or(f64::NAN);
    recorded == number || recorded.to_bits().abs_diff(number.to_bits()) <= 1
}

/// Returns whether the recorded program saw this value.
pub fn is_seen(value: &Value, recorded: &Json) -> bool {
    fn go(
        value: &Value,
        recorded: &Json,
        path: &str,
        seen: &mut Vec<(capnode::value::Shared, String)>,
    ) -> bool {
        if let Value::Shared(shared) = value {
            if let Some((_, before)) = seen.iter().find(|(before, _)| before == shared) {
                return recorded["js"] == "ref" && recorded["path"] == before.as_str();
            }
            seen.push((shared.clone(), path.to_owned()));
            return value.open().is_ok_and(|value| go(&value, recorded, path, seen));
        }
        let is_js = |name: &str| recorded["js"] == name;
        match value {
            Value::Undefined => is_js("undefined"),
            Value::Null => recorded.is_null(),
            Value::Bool(value) => recorded == value,
            Value::Number(number) if number.is_nan() => is_js("NaN"),
            Value::Number(number) if number.is_infinite() => {
                is_js(if *number > 0.0 { "Infinity" } else { "-Infinity" })
            }
            Value::Number(number) => {
                matches!(recorded, Json::Number(recorded) if is_number(recorded, *number))
            }
            Value::String(text) => recorded == text,
            Value::Array(elements) => recorded.as_array().is_some_and(|recorded| {
                recorded.len() == elements.len()
                    && (elements.iter().zip(recorded).enumerate())
                        .all(|(at, (value, recorded))| go(value, recorded, &format!("{path}[{at}]"), seen))
            }),
            Value::Object(members) => recorded.as_object().is_some_and(|recorded| {
                let is_error = recorded.contains_key("message");
                let counts = |key: &str| !(is_error && key == "stack");
                let members: Vec<_> = members.iter().filter(|(key, _)| counts(key)).collect();
                recorded.keys().filter(|key| counts(key)).count() == members.len()
                    && members.iter().all(|(key, value)| {
                        let recorded = recorded.get(key);
                        recorded.is_some_and(|recorded| go(value, recorded, &format!("{path}.{key}"), seen))
                    })
            }),
            Value::Cap(_) => is_js("function") || is_js("promise"),
            _ => false,
        }
    }
    go(value, recorded, "$", &mut Vec::new())
}
