//! Messages of any kind and depth of nesting take little stack: they are used, or refused.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use capnode::sans_io::Core;
use capnode::{Cap, Client as _, Dialect, Error, Func, Value};
use capnode_tests::lab::Rng;
use capnode_tests::on_a_small_stack;

/// A user's record that nests.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Tree {
    a: Option<Box<Tree>>,
    cause: Option<Box<Tree>>,
    list: Option<Vec<Tree>>,
}

/// A record whose reading takes much stack for each level.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Wide {
    large: [[u64; 32]; 8],
    a: Option<Box<Wide>>,
    cause: Option<Box<Wide>>,
    list: Vec<Wide>,
}

/// A type that makes serde buffer a value until it knows the variant.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
enum Any {
    Number(f64),
    List(Vec<Any>),
    Map(BTreeMap<String, Any>),
}

/// Takes and gives values as users' types do.
#[capnode::interface]
trait Deep {
    async fn value(&self, value: Value) -> Value;
    async fn json(&self, value: serde_json::Value) -> serde_json::Value;
    async fn tree(&self, value: Tree) -> Tree;
    async fn any(&self, value: Any) -> Any;
    async fn wide(&self, value: Wide) -> Wide;
    async fn reference(&self, value: Cap) -> Cap;
    async fn function(&self, value: Func<fn(u32) -> u32>) -> Func<fn(u32) -> u32>;
    async fn fails(&self) -> Result<(), Error>;
}

struct Echo;

impl Deep for Echo {
    async fn value(&self, value: Value) -> Value {
        value
    }
    async fn json(&self, value: serde_json::Value) -> serde_json::Value {
        value
    }
    async fn tree(&self, value: Tree) -> Tree {
        value
    }
    async fn any(&self, value: Any) -> Any {
        value
    }
    async fn wide(&self, value: Wide) -> Wide {
        value
    }
    async fn reference(&self, value: Cap) -> Cap {
        value
    }
    async fn function(&self, value: Func<fn(u32) -> u32>) -> Func<fn(u32) -> u32> {
        value
    }
    async fn fails(&self) -> Result<(), Error> {
        Err(Error::rejected("no"))
    }
}

const METHODS: [&str; 9] =
    ["value", "json", "tree", "any", "wide", "reference", "function", "fails", "missing"];

/// One level of a value: the text before and after the next one.
type Level = (&'static str, &'static str);

const CAPNWEB: [Level; 16] = [
    ("[[", "]]"),
    (r#"{"a":"#, "}"),
    (r#"{"list":[["#, "]]}"),
    (r#"["error","E","m",null,{"cause":"#, "}]"),
    (r#"["error","E","m",null,{"errors":[["#, "]]}]"),
    (r#"["error","E","m",{"a":"#, "}]"),
    (r#"["pipeline",0,["value"],["#, "]]"),
    (r#"["import",0,["value"],["#, "]]"),
    (r#"["pipeline",0,["missing"],["#, "]]"),
    (r#"["import",77,["value"],["#, "]]"),
    (r#"["remap",0,[],[["import",0]],["#, "]]"),
    (r#"["response","#, ",{}]"),
    (r#"["request","http://a/",{"body":"#, "}]"),
    (r#"["blob","text/plain","#, "]"),
    (r#"["readable","#, "]"),
    (r#"["unknown","#, "]"),
];

const CAPNODE: [Level; 3] = [("[", "]"), (r#"{"a":"#, "}"), (r#"{"cause":"#, "}")];

const Q: [Level; 6] = [
    ("[", "]"),
    (r#"{"a":"#, "}"),
    (r#"{"!":"#, "}"),
    (r#"{"!":{"message":"#, "}}"),
    (r#"{"@":"#, "}"),
    (r#"{"$":"#, "}"),
];

/// A value of so many levels, of one form or of all of them.
fn nested(dialect: Dialect, only: Option<usize>, depth: usize, rng: &mut Rng) -> String {
    let levels: &[Level] = match dialect {
        Dialect::CapnWeb => &CAPNWEB,
        Dialect::Capnode => &CAPNODE,
        _ => &Q,
    };
    let (mut before, mut after) = (String::new(), Vec::new());
    for _ in 0..depth {
        let (open, close) = levels[only.unwrap_or_else(|| rng.below(levels.len()))];
        before += open;
        after.push(close);
    }
    let leaf = match dialect {
        Dialect::CapnWeb => {
            *rng.pick(&["1", r#"["export",-1]"#, r#"["promise",-2]"#, r#"["import",0]"#]).unwrap()
        }
        _ => "1",
    };
    before += leaf;
    before.extend(after.into_iter().rev());
    before
}

/// A value in Capnode's tables, whose links go as deep as there are levels.
fn linked(depth: usize, rng: &mut Rng) -> String {
    // 0 is a record, and 2 a list.
    let kinds: Vec<_> = (0..depth).map(|_| 2 * rng.below(2)).chain([0]).collect();
    let link = |at: usize| match (kinds[at], kinds.get(at + 1)) {
        (_, None) => r#"{"n":1}"#.to_owned(),
        (0, Some(kind)) => format!(r#"{{"a":{{"type":{kind},"id":{}}}}}"#, at + 1),
        (_, Some(kind)) => format!(r#"[{{"type":{kind},"id":{}}}]"#, at + 1),
    };
    let links: Vec<_> = (0..=depth).map(link).collect();
    format!(r#"{{"links":[{}],"value":{{"type":{},"id":0}}}}"#, links.join(","), kinds[0])
}

/// Runs the handlers of a core for as long as they go on by themselves, and drops its frames.
fn settle(core: &Core) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut handlers = core.handlers();
    for _ in 0..3 {
        while core.next_frame().is_some() {}
        handlers.retain_mut(|handler| Pin::new(handler).poll(&mut cx).is_pending());
        handlers.extend(core.handlers());
    }
}

/// Returns a nested value of a peer in the form that a frame of the language has.
fn argument(dialect: Dialect, only: Option<usize>, depth: usize, rng: &mut Rng) -> String {
    if dialect == Dialect::Capnode {
        return match only {
            None => linked(depth, rng),
            only => {
                format!(r#"{{"links":[{}],"value":{{"type":2,"id":0}}}}"#, nested(dialect, only, depth, rng))
            }
        };
    }
    nested(dialect, only, depth, rng)
}

/// Calls `method` of a core with a deep argument.
fn call_in(dialect: Dialect, method: &str, value: &str) {
    let core = Core::accepting(DeepClient::new(Echo));
    match dialect {
        Dialect::CapnWeb => {
            core.receive(&format!(r#"["push",["pipeline",0,["{method}"],[{value}]]]"#));
            core.receive(r#"["pull",1]"#);
            core.receive(&format!(r#"["push",["pipeline",1,[],[{value}]]]"#));
            core.receive(&format!(r#"["resolve",-2,{value}]"#));
        }
        Dialect::Capnode => {
            core.receive(r#"{"type":"index","methodId":"ab"}"#);
            let answer = core.next_frame().unwrap_or_default();
            let id = answer.split('"').find(|word| word.len() >= 32).unwrap_or("x").to_owned();
            core.receive(&format!(
                r#"{{"type":"invocation","methodId":"{id}","replyId":"r","arguments":{value}}}"#
            ));
        }
        _ => {
            for op in [r#""post","args":["#, r#""apply","args":["#, r#""set","args":["#] {
                core.receive(&format!(
                    r#"{{"type":"send","to":"","from":"r","op":{op}"{method}",[{value}]]}}"#
                ));
            }
        }
    }
    settle(&core);
}

/// Answers a call of each method, made by a typed client, with a deep value.
fn answer_in(dialect: Dialect, method: &str, value: &str) {
    let core = Core::builder().dialect(dialect).connecting(DeepClient::new(Echo));
    let deep: DeepClient = core.index();
    let mut cx = Context::from_waker(Waker::noop());
    let call: Pin<Box<dyn Future<Output = ()>>> = match method {
        "value" => Box::pin(async move { drop(deep.value(Value::from(1)).await) }),
        "json" => Box::pin(async move { drop(deep.json(serde_json::Value::Null).await) }),
        "tree" => Box::pin(async move { drop(deep.tree(Tree { a: None, cause: None, list: None }).await) }),
        "any" => Box::pin(async move { drop(deep.any(Any::Number(1.0)).await) }),
        "wide" => Box::pin(async move { drop(deep.wide(Wide::default()).await) }),
        "reference" => {
            Box::pin(async move { drop(deep.reference(DeepClient::new(Echo).cap().clone()).await) })
        }
        "function" => Box::pin(async move { drop(deep.function(Func::new(|n| async move { n })).await) }),
        "fails" => Box::pin(async move { drop(deep.fails().await) }),
        _ => Box::pin(async move { drop(deep.cap().keys().await) }),
    };
    let mut call = pin!(call);
    let mut answered = 0;
    loop {
        let done = call.as_mut().poll(&mut cx).is_ready();
        let mut said = false;
        while let Some(frame) = core.next_frame() {
            said = true;
            let Ok(frame) = serde_json::from_str::<serde_json::Value>(&frame) else { continue };
            match dialect {
                Dialect::CapnWeb if frame[0] == "pull" => {
                    let id = &frame[1];
                    match answered % 3 {
                        0 => core.receive(&format!(r#"["resolve",{id},{value}]"#)),
                        1 => core.receive(&format!(r#"["reject",{id},{value}]"#)),
                        _ => core.receive(&format!(r#"["resolve",{id},["promise",-1]]"#)),
                    }
                    core.receive(&format!(r#"["resolve",-1,{value}]"#));
                    answered += 1;
                }
                Dialect::Capnode if frame["type"] == "index" => {
                    let names: Vec<_> = METHODS.iter().enumerate().collect();
                    let members: Vec<_> = names
                        .iter()
                        .map(|(at, name)| format!(r#""{name}":{{"type":1,"id":{}}}"#, at + 1))
                        .collect();
                    let ids: Vec<_> = names.iter().map(|(_, name)| format!(r#""f{name}""#)).collect();
                    core.receive(&format!(
                        r#"{{"type":"return","methodId":{},"value":{{"links":[{{{}}},{}],"value":{{"type":0,"id":0}}}}}}"#,
                        frame["methodId"],
                        members.join(","),
                        ids.join(",")
                    ));
                }
                Dialect::Capnode if frame["type"] == "invocation" => {
                    core.receive(&format!(
                        r#"{{"type":"return","methodId":{},"value":{value}}}"#,
                        frame["replyId"]
                    ));
                }
                Dialect::Q if frame["type"] == "send" => {
                    core.receive(&format!(
                        r#"{{"type":"resolve","to":{},"resolution":{value}}}"#,
                        frame["from"]
                    ));
                }
                _ => {}
            }
        }
        if done || !said {
            break;
        }
    }
    core.receive(&format!(r#"["abort",{value}]"#));
    settle(&core);
}

const DEPTHS: [usize; 4] = [60, 120, 230, 256];

#[test]
fn a_deep_message_takes_little_stack_whatever_it_nests() {
    on_a_small_stack(|| {
        let rng = &mut Rng::new(1);
        for (dialect, forms) in
            [(Dialect::CapnWeb, CAPNWEB.len()), (Dialect::Capnode, CAPNODE.len()), (Dialect::Q, Q.len())]
        {
            for only in (0..forms).map(Some).chain([None; 20]) {
                for depth in DEPTHS {
                    for method in METHODS {
                        let value = argument(dialect, only, depth, rng);
                        call_in(dialect, method, &value);
                        answer_in(dialect, method, &value);
                    }
                }
            }
        }
    });
}
