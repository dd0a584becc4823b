//! The frames of a hostile peer.

use capnode::Dialect;
use serde_json::{Value as Json, json};

use crate::lab::{Arg, INSIDE, MEMBERS, Rng};

/// A hostile peer's knowledge of a session, by which it makes frames that mean something.
pub struct Speaker {
    dialect: Dialect,
    /// Requests that this side has made: in Cap'n Web the last number.
    made: i64,
    /// Results that have not been given back.
    live: Vec<i64>,
    /// References that this side has lent: the last number.
    lent: i64,
    /// References that the other side has lent: numbers in Cap'n Web.
    borrowed: Vec<i64>,
    /// Requests of the other side: their number in Cap'n Web.
    asked: i64,
    /// Names of the references that the other side has lent, and of its requests, in the other languages.
    ids: Vec<String>,
    requests: Vec<String>,
}

/// The most ids that are remembered.
const REMEMBERED: usize = 200;

fn remember<T: PartialEq>(all: &mut Vec<T>, one: T) {
    if !all.contains(&one) {
        if all.len() >= REMEMBERED {
            all.remove(0);
        }
        all.push(one);
    }
}

impl Speaker {
    /// A peer that knows nothing yet.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            made: 0,
            live: Vec::new(),
            lent: 0,
            borrowed: Vec::new(),
            asked: 0,
            ids: Vec::new(),
            requests: Vec::new(),
        }
    }

    // -------------------------------------------------------------------------------- what it hears

    /// Learns from a frame of the other side.
    pub fn hear(&mut self, frame: &str) {
        let Ok(json) = serde_json::from_str::<Json>(frame) else { return };
        match self.dialect {
            Dialect::CapnWeb => {
                if matches!(json[0].as_str(), Some("push" | "stream" | "pipe")) {
                    self.asked += 1;
                }
                self.find_exports(&json);
            }
            Dialect::Capnode => {
                let request = match json["type"].as_str() {
                    Some("index") => &json["methodId"],
                    Some("invocation" | "dealloc") => &json["replyId"],
                    _ => &Json::Null,
                };
                if let Some(id) = request.as_str() {
                    remember(&mut self.requests, id.to_owned());
                }
                let content = if json["arguments"].is_null() { &json["value"] } else { &json["arguments"] };
                for link in content["links"].as_array().into_iter().flatten() {
                    if let Some(id) = link.as_str() {
                        remember(&mut self.ids, id.to_owned());
                    }
                }
            }
            _ => {
                if let Some(id) = json["from"].as_str() {
                    remember(&mut self.requests, id.to_owned());
                }
                self.find_names(&json);
            }
        }
    }

    fn find_exports(&mut self, json: &Json) {
        match json {
            Json::Array(parts) => {
                if let (Some("export" | "promise" | "writable"), Some(id)) =
                    (json[0].as_str(), json[1].as_i64())
                {
                    remember(&mut self.borrowed, id);
                }
                parts.iter().for_each(|part| self.find_exports(part));
            }
            Json::Object(members) => members.values().for_each(|part| self.find_exports(part)),
            _ => {}
        }
    }

    fn find_names(&mut self, json: &Json) {
        match json {
            Json::Array(parts) => parts.iter().for_each(|part| self.find_names(part)),
            Json::Object(members) => {
                if let Some(id) = members.get("@").and_then(Json::as_str) {
                    remember(&mut self.ids, id.to_owned());
                }
                members.values().for_each(|part| self.find_names(part));
            }
            _ => {}
        }
    }

    // -------------------------------------------------------------------------------- what it says

    /// A question about an absent member, and the mark of its answer. It is answered after all earlier frames, and
    /// changes nothing.
    pub fn asks(&self) -> (&'static str, &'static str) {
        match self.dialect {
            Dialect::CapnWeb => (r#"["pull",987654321]"#, "987654321"),
            Dialect::Capnode => (
                r#"{"type":"invocation","methodId":"nobody","replyId":"asked","arguments":{"links":[[]],"value":{"type":2,"id":0}}}"#,
                r#""asked""#,
            ),
            _ => (
                r#"{"type":"send","to":"nobody","from":"asked","op":"post","args":["nothing",[]]}"#,
                r#""asked""#,
            ),
        }
    }

    /// The next frame.
    pub fn say(&mut self, rng: &mut Rng) -> String {
        if rng.chance(2) {
            return self.nonsense(rng);
        }
        match self.dialect {
            Dialect::CapnWeb => self.say_capnweb(rng).to_string(),
            Dialect::Capnode => self.say_capnode(rng).to_string(),
            _ => self.say_q(rng).to_string(),
        }
    }

    fn nonsense(&mut self, rng: &mut Rng) -> String {
        let own = match self.dialect {
            Dialect::CapnWeb => self.say_capnweb(rng),
            Dialect::Capnode => self.say_capnode(rng),
            _ => self.say_q(rng),
        }
        .to_string();
        match rng.below(6) {
            0 => own.chars().take(rng.below(own.chars().count())).collect(),
            1 => format!("{}1{}", "[".repeat(rng.below(300)), "]".repeat(300)),
            2 => "{}".to_owned(),
            3 => "null".to_owned(),
            4 => format!("{own}{own}"),
            _ => String::new(),
        }
    }

    /// Steps to a member, or through it, and the arguments that fit it.
    fn path(rng: &mut Rng) -> (Vec<Json>, &'static [Arg]) {
        let mut path = Vec::new();
        let mut args: &'static [Arg] = &[];
        let steps = [0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 4][rng.below(11)];
        for _ in 0..steps {
            path.push(match rng.below(20) {
                0..14 => {
                    let member = MEMBERS[rng.below(MEMBERS.len())];
                    args = member.args;
                    json!(member.name)
                }
                14..18 => json!(INSIDE[rng.below(INSIDE.len())]),
                18 => json!(rng.below(3)),
                _ => json!("x".repeat(rng.below(40))),
            });
        }
        (path, args)
    }

    fn arguments(&mut self, rng: &mut Rng, args: &[Arg]) -> Vec<Json> {
        let mut all = Vec::new();
        for arg in args {
            let one = if rng.chance(15) {
                self.value(rng, 2)
            } else {
                match arg {
                    Arg::Number => json!(rng.below(5)),
                    Arg::Text => json!("text"),
                    Arg::Bytes if self.dialect == Dialect::CapnWeb => json!(["bytes", "AAEC"]),
                    Arg::Bytes => self.value(rng, 0),
                    Arg::Any => self.value(rng, 3),
                    Arg::Stream if self.dialect == Dialect::CapnWeb && rng.chance(70) => {
                        let end = if rng.chance(80) { "readable" } else { "writable" };
                        json!([end, rng.pick(&self.live).copied().unwrap_or(1)])
                    }
                    Arg::Function | Arg::FunctionOfFunction | Arg::Lab | Arg::Cap | Arg::Stream => {
                        self.reference(rng)
                    }
                }
            };
            all.push(one);
        }
        if rng.chance(5) {
            let extra = self.value(rng, 2);
            all.push(extra);
        }
        if rng.chance(5) {
            all.pop();
        }
        all
    }

    fn reference(&mut self, rng: &mut Rng) -> Json {
        match self.dialect {
            Dialect::CapnWeb => match rng.below(10) {
                0..4 => {
                    self.lent += 1;
                    json!(["export", -self.lent])
                }
                4 if self.lent > 0 => json!(["export", -(1 + rng.below(self.lent as usize) as i64)]),
                5 => {
                    self.lent += 1;
                    json!(["promise", -self.lent])
                }
                6 => json!(["import", self.target(rng)]),
                7 => json!(["pipeline", self.target(rng)]),
                8 => {
                    let (path, args) = Self::path(rng);
                    if rng.chance(50) {
                        return json!(["pipeline", self.target(rng), path]);
                    }
                    let args = if rng.chance(80) { Vec::new() } else { self.arguments(rng, args) };
                    json!(["pipeline", self.target(rng), path, args])
                }
                _ => json!(["import", 0]),
            },
            // A pointer to a link, which `links` puts in its place.
            Dialect::Capnode => json!({ "@": self.name(rng) }),
            _ => match rng.below(4) {
                0 => json!({ "@": self.name(rng), "type": "object" }),
                1 => json!({ "@l": self.name(rng) }),
                2 => json!({ "$": (["", "/0", "/1", "/1/0", "/1/0/list"][rng.below(5)]) }),
                _ => json!({ "@": self.name(rng), "type": "function" }),
            },
        }
    }

    fn value(&mut self, rng: &mut Rng, depth: usize) -> Json {
        let list = |speaker: &mut Self, rng: &mut Rng| -> Vec<Json> {
            (0..rng.below(4)).map(|_| speaker.value(rng, depth.saturating_sub(1))).collect()
        };
        match rng.below(if depth > 0 { 16 } else { 11 }) {
            0 => json!(rng.below(1_000)),
            1 => json!(-1.5),
            2 => json!("text"),
            3 => json!(true),
            4 => Json::Null,
            5 => json!(9_007_199_254_740_993_u64),
            6 => json!(""),
            7..11 => match self.dialect {
                Dialect::CapnWeb => [
                    json!(["undefined"]),
                    json!(["bigint", "123456789012345678901"]),
                    json!(["date", 0]),
                    json!(["bytes", "AAEC"]),
                    json!(["error", "TypeError", "message"]),
                    json!(["error", "Error", null, null, {"data": ["map", 1]}]),
                    json!(["nan"]),
                    json!(["url", "http://example.com/"]),
                    json!(["remap", 0, [], [], [1]]),
                    json!(["readable", 1]),
                    json!(["writable", -1]),
                    json!(["blob", "text/plain", ["readable", 1]]),
                    json!(["unknown"]),
                ][rng.below(13)]
                .clone(),
                Dialect::Capnode => json!({}),
                _ => [
                    json!({"%": "undefined"}),
                    json!({"%": "NaN"}),
                    json!({"%": "other"}),
                    json!({"!": {"message": "no"}}),
                    json!({"!": 0}),
                ][rng.below(5)]
                .clone(),
            },
            11 | 12 => match self.dialect {
                Dialect::CapnWeb => json!([list(self, rng)]),
                _ => json!(list(self, rng)),
            },
            13 => {
                let mut members = serde_json::Map::new();
                for _ in 0..rng.below(4) {
                    let name = INSIDE[rng.below(INSIDE.len())].to_owned();
                    let member = self.value(rng, depth - 1);
                    members.insert(name, member);
                }
                Json::Object(members)
            }
            14 if self.dialect == Dialect::CapnWeb => {
                let held = self.value(rng, depth - 1);
                json!(["error", "Error", "no", null, {"held": held, "capnode:ran": false}])
            }
            _ => self.reference(rng),
        }
    }

    // -------------------------------------------------------------------------------- Cap'n Web

    /// An id to call or to send home.
    fn target(&self, rng: &mut Rng) -> i64 {
        match rng.below(20) {
            0..9 => 0,
            9..15 => rng.pick(&self.live).copied().unwrap_or(0),
            15..18 => rng.pick(&self.borrowed).copied().unwrap_or(0),
            18 => self.made - rng.below(5) as i64,
            _ => [self.made + 1, -1_000, 1 << 40, -self.lent][rng.below(4)],
        }
    }

    /// What goes along with a call.
    fn context(rng: &mut Rng) -> Json {
        let many = |count: usize| -> serde_json::Map<_, _> {
            (0..count).map(|at| (format!("name {at}"), json!("value"))).collect()
        };
        match rng.below(10) {
            0..3 => json!({"left": ([0, -1, 1, 1_000, i64::MAX][rng.below(5)]), "metadata": many(2)}),
            3 => json!({"left": ([json!(1.5), json!(1e300), json!("soon"), json!([])][rng.below(4)])}),
            4 => json!({"metadata": many(17)}),
            5 => json!({"metadata": {"name": "x".repeat(5_000), "number": 1}}),
            6 => json!({"metadata": {"name": ["export", -1]}, "later": ["import", 0]}),
            7 => json!({}),
            _ => json!({"metadata": many(rng.below(16))}),
        }
    }

    fn say_capnweb(&mut self, rng: &mut Rng) -> Json {
        match rng.below(100) {
            0..50 => {
                let (path, args) = Self::path(rng);
                let id = self.target(rng);
                let form = if rng.chance(90) { "pipeline" } else { "import" };
                let call = match rng.below(10) {
                    0 => self.value(rng, 2),
                    1 | 2 => json!([form, id, path]),
                    _ => json!([form, id, path, self.arguments(rng, args)]),
                };
                self.made += 1;
                let form = if rng.chance(15) { "stream" } else { "push" };
                if form == "push" {
                    self.live.push(self.made);
                }
                if rng.chance(10) { json!([form, call, Self::context(rng)]) } else { json!([form, call]) }
            }
            50..63 => {
                let id = rng.pick(&self.live).copied().filter(|_| !rng.chance(5));
                json!(["pull", id.unwrap_or_else(|| self.target(rng))])
            }
            63..75 => {
                if !self.live.is_empty() && !rng.chance(4) {
                    let id = self.live.swap_remove(rng.below(self.live.len()));
                    return json!(["release", id, 1]);
                }
                if !self.borrowed.is_empty() {
                    let id = self.borrowed.swap_remove(rng.below(self.borrowed.len()));
                    return json!(["release", id, 1]);
                }
                json!(["release", self.target(rng), rng.below(3)])
            }
            75..92 => {
                let id = match rng.below(10) {
                    0..6 => 1 + rng.below(self.asked as usize) as i64,
                    6..9 => -(1 + rng.below(self.lent as usize) as i64),
                    _ => self.target(rng),
                };
                let word = if rng.chance(80) { "resolve" } else { "reject" };
                json!([word, id, self.value(rng, 3)])
            }
            92..94 => {
                self.made += 1;
                self.live.push(self.made);
                json!(["pipe"])
            }
            94 => json!(["release", 0, 0]),
            95 if rng.chance(50) => json!(["draining", self.target(rng)]),
            95 => json!(["abilities", ["something"]]),
            96 => json!(["unknown", 1]),
            97 => json!(["abort", ["error", "Error", "over"]]),
            98 => json!(["push", self.value(rng, 4), 1]),
            _ => json!(["pull", "one"]),
        }
    }

    // -------------------------------------------------------------------------------- the other two

    fn name(&mut self, rng: &mut Rng) -> String {
        match rng.below(10) {
            0..5 => {
                self.lent += 1;
                format!("hostile-{}", self.lent)
            }
            5 => format!("hostile-{}", rng.below(self.lent as usize)),
            _ => self.known(rng),
        }
    }

    /// An id of the other side.
    fn known(&self, rng: &mut Rng) -> String {
        if rng.chance(6) {
            return "0123456789abcdef0123".to_owned();
        }
        rng.pick(&self.ids).cloned().unwrap_or_default()
    }

    fn new_request(&mut self, rng: &mut Rng) -> String {
        self.made += 1;
        let back = if rng.chance(4) { rng.below(3) as i64 } else { 0 };
        format!("request-{}", self.made - back)
    }

    /// A request of the other side, which it answers once as a rule.
    fn request(&mut self, rng: &mut Rng) -> String {
        if self.requests.is_empty() || rng.chance(10) {
            return self.new_request(rng);
        }
        let place = rng.below(self.requests.len());
        if rng.chance(90) { self.requests.swap_remove(place) } else { self.requests[place].clone() }
    }

    fn say_capnode(&mut self, rng: &mut Rng) -> Json {
        let id = self.new_request(rng);
        if self.ids.is_empty() && rng.chance(50) {
            return json!({"type": "index", "methodId": id});
        }
        match rng.below(100) {
            0..60 => {
                let member = MEMBERS[rng.below(MEMBERS.len())];
                let arguments = json!(self.arguments(rng, member.args));
                let arguments = self.links(rng, &arguments);
                json!({"type": "invocation", "methodId": self.known(rng), "replyId": id, "arguments": arguments})
            }
            60..80 => {
                let value = self.value(rng, 3);
                let value = self.links(rng, &value);
                json!({"type": "return", "methodId": self.request(rng), "value": value})
            }
            80..85 => {
                json!({"type": "error", "methodId": self.request(rng), "value": self.value(rng, 1)})
            }
            85..89 => json!({"type": "dealloc", "methodId": self.known(rng), "replyId": id}),
            89..93 => {
                json!({"type": "dealloc", "methodId": self.known(rng), "replyId": id, "capnode:late": true})
            }
            93..96 => json!({"type": "index", "methodId": id}),
            96 => json!({"type": "unknown", "methodId": id}),
            97 => json!({"type": "invocation", "methodId": 1, "replyId": null}),
            _ => {
                json!({"type": "return", "methodId": id, "value": {"links": [], "value": {"type": 2, "id": 7}}})
            }
        }
    }

    /// A value with its links, some of them wrong.
    fn links(&mut self, rng: &mut Rng, value: &Json) -> Json {
        fn leaf(value: &Json, links: &mut Vec<Json>, rng: &mut Rng) -> Json {
            let (kind, link) = match value {
                Json::Array(elements) => {
                    (2, Json::Array(elements.iter().map(|element| leaf(element, links, rng)).collect()))
                }
                Json::Object(members) => match members.get("@") {
                    Some(id) => (1, id.clone()),
                    None => {
                        let members = members.iter();
                        (0, members.map(|(name, member)| (name.clone(), leaf(member, links, rng))).collect())
                    }
                },
                plain => return plain.clone(),
            };
            links.push(link);
            let id = if rng.chance(3) { rng.below(links.len() + 2) } else { links.len() - 1 };
            json!({"type": kind, "id": id})
        }
        let mut links = Vec::new();
        let value = leaf(value, &mut links, rng);
        json!({"links": links, "value": value})
    }

    fn say_q(&mut self, rng: &mut Rng) -> Json {
        match rng.below(100) {
            0..62 => {
                let (path, args) = Self::path(rng);
                let name = path.last().cloned().unwrap_or_default();
                let to = if rng.chance(50) { String::new() } else { self.known(rng) };
                let args = self.arguments(rng, args);
                let (op, args) = match rng.below(20) {
                    0..11 => ("post", json!([name, args])),
                    11 => ("get", json!([name])),
                    // Also to itself: an open `Object` then has itself as a property.
                    12 if rng.chance(50) => ("set", json!([name, { "@l": to }])),
                    12 => ("set", json!([name, self.value(rng, 2)])),
                    13 => ("delete", json!([name])),
                    14 => ("keys", json!([])),
                    15 => ("when", json!([])),
                    16 | 17 => ("apply", json!([{"%": "undefined"}, args])),
                    18 => ("other", self.value(rng, 2)),
                    _ => ("post", self.value(rng, 2)),
                };
                json!({"type": "send", "to": to, "from": self.new_request(rng), "op": op, "args": args})
            }
            62..86 => {
                json!({"type": "resolve", "to": self.request(rng), "resolution": self.value(rng, 3)})
            }
            86..92 => json!({"type": "notify", "to": self.request(rng), "resolution": self.value(rng, 2)}),
            92 => json!({"type": "unknown"}),
            93 => json!({"type": "send", "to": self.new_request(rng), "op": "when"}),
            _ => json!({"type": "resolve", "to": self.new_request(rng)}),
        }
    }
}
