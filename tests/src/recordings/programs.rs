//! The objects that the recorded programs offered, in Rust.

use std::collections::VecDeque;
use std::future::{Future, IntoFuture as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capnode::value::GraphBuilder;
use capnode::{
    BigInt, Cap, Client, Connection, Error, Func, LostMessage, Object, Registered, Registry, Value, promise,
    report_progress,
};
use serde_json::Value as Json;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use crate::recordings::table::Why;

/// The outcome of a call of a program, or the arguments of a call to it.
pub type Observations = Result<Value, Error>;
pub type Running = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// The part of one side, as played by a Rust node.
#[derive(Clone, Debug)]
pub struct Part {
    pub name: &'static str,
    pub index: fn(&PlayState, &str) -> Option<Value>,
    /// The program that runs beside the index; without it, a client makes the recorded calls.
    pub program: Option<fn(PlayState, Connection) -> Running>,
    /// Messages in which a Rust node differs: the recorded part, and the part that replaces it, or none if the node
    /// does not send the message.
    pub instead: Vec<(Json, Option<Json>, Why)>,
    /// Events that have nothing to be compared with.
    pub not_in_rust: Vec<(&'static str, Why)>,
    /// The event with which it ends.
    pub until: Option<(&'static str, Why)>,
    /// The number of calls of the peer that are not answered.
    pub hang: usize,
    /// The number of calls whose outcomes the recorded program did not report.
    pub unsaid: usize,
}

/// The shared state of the functions of one played recording.
#[derive(Clone)]
pub struct PlayState {
    saw: UnboundedSender<Observations>,
    pub registry: Registry,
    pub exposed: Arc<Mutex<Option<String>>>,
    registered: Arc<Mutex<Vec<Registered>>>,
    kept: Arc<Mutex<Vec<Cap>>>,
    pub lost: Arc<Mutex<VecDeque<LostMessage>>>,
    asked: Arc<Notify>,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl PlayState {
    pub fn new(saw: UnboundedSender<Observations>) -> Self {
        Self {
            saw,
            registry: Registry::default(),
            exposed: Arc::default(),
            registered: Arc::default(),
            kept: Arc::default(),
            lost: Arc::default(),
            asked: Arc::default(),
            connection: Arc::default(),
        }
    }

    pub fn saw(&self, saw: Observations) {
        // A receiver that is gone has found a difference already.
        let _gone = self.saw.send(saw);
    }

    pub fn lose(&self, message: LostMessage) {
        self.lost.lock().unwrap().push_back(message);
    }

    pub fn connected(&self, connection: &Connection) {
        *self.connection.lock().unwrap() = Some(connection.clone());
    }

    fn peer(&self) -> Cap {
        self.connection.lock().unwrap().as_ref().expect("a connection").index::<Cap>()
    }
}

/// The arguments that were given.
pub fn given<const N: usize>(arguments: [Value; N]) -> Vec<Value> {
    let mut arguments = Vec::from(arguments);
    while arguments.last() == Some(&Value::Undefined) {
        arguments.pop();
    }
    arguments
}

pub type Function = Func<fn(Value, Value, Value, Value, Value, Value) -> Result<Value, Error>>;

/// A function of up to six arguments.
fn function<F, Fut>(run: F) -> Function
where
    F: Fn(Vec<Value>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Observations> + Send + 'static,
{
    Func::fallible(move |a: Value, b: Value, c: Value, d: Value, e: Value, f: Value| {
        run(given([a, b, c, d, e, f]))
    })
}

fn f<F, Fut>(run: F) -> Value
where
    F: Fn(Args) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Observations> + Send + 'static,
{
    Value::Cap(function(move |args| run(Args(args))).into())
}

/// A function that answers at once.
fn now(run: impl Fn(Args) -> Value + Send + Sync + 'static) -> Value {
    f(move |args| std::future::ready(Ok(run(args))))
}

fn fails(message: &'static str) -> Value {
    f(move |_| async move { Err(Error::rejected(message)) })
}

pub struct Args(Vec<Value>);

impl Args {
    fn at(&self, at: usize) -> Value {
        self.0.get(at).cloned().unwrap_or_default()
    }

    fn text(&self, at: usize) -> String {
        match self.at(at) {
            Value::String(text) => text,
            Value::Undefined => String::new(),
            other => stringify(&other),
        }
    }

    fn number(&self, at: usize) -> f64 {
        match self.at(at) {
            Value::Number(number) => number,
            _ => f64::NAN,
        }
    }

    fn cap(&self, at: usize) -> Cap {
        match self.at(at) {
            Value::Cap(cap) => cap,
            _ => Cap::broken(Error::rejected("this is no function")),
        }
    }
}

fn record<const N: usize>(members: [(&str, Value); N]) -> Option<Value> {
    Some(Value::from(members))
}

fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(values.into_iter().collect())
}

/// JavaScript's `===`.
fn identical(one: &Value, other: &Value) -> Value {
    Value::Bool(match (one, other) {
        (Value::Array(_) | Value::Object(_), _) => false,
        (one, other) => one == other,
    })
}

/// JavaScript's `JSON.stringify`, but for what JSON cannot say.
fn stringify(value: &Value) -> String {
    fn go(value: &Value, path: &str, seen: &mut Vec<(Value, String)>) -> String {
        if let Value::Shared(_) = value {
            if let Some((_, path)) = seen.iter().find(|(before, _)| before == value) {
                return format!("{{\"js\":\"ref\",\"path\":\"{path}\"}}");
            }
            seen.push((value.clone(), path.to_owned()));
            let text = value.open().map(|value| go(&value, path, seen)).unwrap_or_default();
            // `JSON.stringify` knows only of the surrounding values.
            if !text.contains("\"ref\"") {
                seen.pop();
            }
            return text;
        }
        let quoted = |text: &str| Json::from(text).to_string();
        match value {
            Value::Undefined => "{\"js\":\"undefined\"}".to_owned(),
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) if number.is_nan() => "{\"js\":\"NaN\"}".to_owned(),
            Value::Number(number) if number.is_infinite() => {
                let sign = if *number > 0.0 { "" } else { "-" };
                format!("{{\"js\":\"{sign}Infinity\"}}")
            }
            Value::Number(number) => js_number(*number),
            Value::String(text) => quoted(text),
            Value::Array(elements) => {
                let elements = elements.iter().enumerate();
                let parts: Vec<_> =
                    elements.map(|(at, value)| go(value, &format!("{path}[{at}]"), seen)).collect();
                format!("[{}]", parts.join(","))
            }
            Value::Object(members) => {
                let member = |(key, value): &(String, Value)| {
                    format!("{}:{}", quoted(key), go(value, &format!("{path}.{key}"), seen))
                };
                let parts: Vec<_> = members.iter().map(member).collect();
                format!("{{{}}}", parts.join(","))
            }
            Value::Cap(_) => "{\"js\":\"function\"}".to_owned(),
            other => format!("{other:?}"),
        }
    }
    go(value, "$", &mut Vec::new())
}

/// A number as JavaScript writes it.
fn js_number(number: f64) -> String {
    let digits = format!("{number:e}");
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    match exponent {
        21.. => format!("{mantissa}e+{exponent}"),
        ..=-7 => format!("{mantissa}e{exponent}"),
        _ if number == 0.0 => "0".to_owned(),
        _ => format!("{number}"),
    }
}

fn keys(value: &Value) -> Value {
    match value.open().as_deref() {
        Ok(Value::Object(members)) => list(members.iter().map(|(key, _)| Value::from(key.as_str()))),
        _ => list([]),
    }
}

fn transform(text: &str) -> String {
    let is_vowel = |c: char| "aeiou".contains(c);
    let letters: Vec<_> = text.chars().collect();
    let start = letters.windows(2).position(|pair| is_vowel(pair[0]) && is_vowel(pair[1]));
    let Some(start) = start else { return text.to_uppercase() };
    let end =
        letters[start..].iter().position(|c| !is_vowel(*c)).map_or(letters.len(), |length| start + length);
    let (before, after) = (letters[..start].iter(), letters[end..].iter());
    before.chain(['o', 'o'].iter()).chain(after).collect::<String>().to_uppercase()
}

fn echo() -> Value {
    now(|args| args.at(0))
}

fn later(unit: u64, answer: fn(&Args) -> Value) -> Value {
    f(move |args| async move {
        tokio::time::sleep(Duration::from_millis(args.number(0) as u64 * unit)).await;
        Ok(answer(&args))
    })
}

fn hang() -> Value {
    f(|_| std::future::pending())
}

fn counter(label: &'static str) -> Value {
    now(move |_| {
        let count = Arc::new(AtomicI32::new(0));
        let reset = count.clone();
        Value::from([
            ("next", now(move |_| Value::from(count.fetch_add(1, Ordering::SeqCst) + 1))),
            (
                "reset",
                now(move |_| {
                    reset.store(0, Ordering::SeqCst);
                    Value::Undefined
                }),
            ),
            ("label", label.into()),
        ])
    })
}

/// `value`, with itself in it: `key` says where.
fn circular(value: impl Fn(Value) -> Value) -> Value {
    let mut graph = GraphBuilder::new();
    let node = graph.node();
    graph.set(&node, &value(node.clone().into())).expect("a value");
    graph.finish(node).expect("a graph")
}

fn twice(values: &[Value], build: impl Fn(&[Value]) -> Value) -> Value {
    let mut graph = GraphBuilder::new();
    let nodes: Vec<_> = values.iter().map(|_| graph.node()).collect();
    for (node, value) in nodes.iter().zip(values) {
        graph.set(node, value).expect("a value");
    }
    if let Some(first) = nodes.first() {
        graph.finish(first.clone()).expect("a graph");
    }
    let shared: Vec<_> = nodes.into_iter().map(Value::from).collect();
    build(&shared)
}

pub fn nothing(_: &PlayState, _: &str) -> Option<Value> {
    None
}

/// Returns the index of the server of a Capnode recording.
pub fn capnode(world: &PlayState, name: &str) -> Option<Value> {
    let w = world.clone();
    match name {
        "transform-example" | "transform-example-2" | "tcp-example" => {
            record([("transform", now(|args| transform(&args.text(0)).into()))])
        }
        "call-primitives" | "call-primitives-2" => {
            // Seven arguments are more than a function has.
            #[capnode::interface]
            trait All {
                #[allow(clippy::too_many_arguments)]
                async fn all(
                    &self,
                    a: Value,
                    b: Value,
                    c: Value,
                    d: Value,
                    e: Value,
                    f: Value,
                    g: Value,
                ) -> Value;
            }
            struct Primitives;
            impl All for Primitives {
                async fn all(
                    &self,
                    a: Value,
                    b: Value,
                    c: Value,
                    d: Value,
                    e: Value,
                    f: Value,
                    g: Value,
                ) -> Value {
                    Value::Array(given([a, b, c, d, e, f, g]))
                }
            }
            record([
                ("all", Value::Cap(AllClient::new(Primitives).cap().at("all"))),
                ("first", echo()),
                ("sync", echo()),
                ("none", now(|_| Value::Undefined)),
                ("count", now(|args| (args.0.len() as u32).into())),
            ])
        }
        "bidirectional" | "bidirectional-2" => {
            let answer = if name == "bidirectional" { "serverp" } else { "serverh" };
            record([(
                "who",
                now(move |_| {
                    w.asked.notify_one();
                    answer.into()
                }),
            )])
        }
        "concurrent-out-of-order" | "concurrent-out-of-order-2" => {
            record([("later", later(10, |args| format!("after {}", args.number(0)).into()))])
        }
        "callback-arg" => record([
            (
                "subscribe",
                f(|args| async move {
                    let callback = args.cap(0);
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_micros(1)).await;
                        callback.apply::<Value>(("foo",)).await
                    });
                    Ok("OKAY!".into())
                }),
            ),
            ("callNow", f(|args| async move { args.cap(0).apply::<Value>(("foo",)).await })),
        ]),
        "callback-throws" => record([(
            "run",
            f(|args| async move {
                Ok(match args.cap(0).apply::<Value>(()).await {
                    Ok(_) => "fine".into(),
                    Err(error) => Value::from([(
                        "caught",
                        Value::from([("type", Value::from("error")), ("message", error.message().into())]),
                    )]),
                })
            }),
        )]),
        "circular-array" => {
            record([("echo", echo()), ("ret", now(|_| circular(|itself| list([Value::from(1), itself]))))])
        }
        "circular-object" => record([
            ("echo", echo()),
            ("check", now(|args| Value::Bool(args.at(0).member("self") == Some(args.at(0))))),
        ]),
        "dealloc-callback" => {
            let (again, drops) = (w.clone(), w.clone());
            record([
                (
                    "keep",
                    f(move |args| {
                        w.kept.lock().unwrap().push(args.cap(0));
                        async move { args.cap(0).apply::<Value>(("first",)).await }
                    }),
                ),
                (
                    "again",
                    f(move |_| {
                        let kept = again.kept.lock().unwrap().first().cloned();
                        async move {
                            let kept = kept.ok_or_else(|| Error::rejected("nothing is kept"))?;
                            kept.apply::<Value>(("second",)).await
                        }
                    }),
                ),
                (
                    "drop",
                    f(move |_| {
                        drops.kept.lock().unwrap().clear();
                        // An unheld reference is given back a while later.
                        async move {
                            tokio::time::sleep(Duration::from_secs(60)).await;
                            Ok("dropped".into())
                        }
                    }),
                ),
            ])
        }
        "dealloc-index-function" => record([("a", now(|_| "a!".into())), ("b", now(|_| "b!".into()))]),
        "error-async" => {
            record([("fail", fails("it broke")), ("failTyped", fails("it broke")), ("failEmpty", fails(""))])
        }
        "error-non-error-reason" => {
            record([("str", fails("text")), ("num", fails("42")), ("obj", fails("plain string"))])
        }
        "error-sync-throw" => record([("boom", fails("sync boom")), ("ok", now(|_| "still alive".into()))]),
        "error-undefined-reason" => record([("undef", fails("undefined")), ("nul", fails("null"))]),
        "event-emitter" => record([(
            "on",
            f(|args| async move {
                for what in [Value::from("hello!"), "again".into(), 3.into()] {
                    args.cap(1).apply::<Value>((args.at(0), what)).send()?;
                }
                Ok(Value::Undefined)
            }),
        )]),
        "tcp-burst-callbacks" => record([(
            "on",
            f(|args| async move {
                for what in 0..3 {
                    args.cap(1).apply::<Value>((args.at(0), what)).send()?;
                }
                Ok("done".into())
            }),
        )]),
        "event-emitter-object-arg" => record([(
            "receiveEvents",
            f(move |args| {
                let w = w.clone();
                async move {
                    let listener = now(move |args| {
                        w.saw(Ok(args.at(0)));
                        Value::Undefined
                    });
                    match args.at(0).member("on") {
                        Some(Value::Cap(on)) => on.apply::<Value>(("data", listener)).await,
                        _ => Err(Error::rejected("this is no emitter")),
                    }
                }
            }),
        )]),
        "falsy-returns" => record([
            ("zero", now(|_| 0.into())),
            ("empty", now(|_| "".into())),
            ("no", now(|_| false.into())),
            ("undef", now(|_| Value::Undefined)),
            ("syncZero", now(|_| 0.into())),
        ]),
        "function-roundtrip" => {
            record([("own", now(|_| "own".into())), ("give", echo()), ("isOwn", now(|_| false.into()))])
        }
        "index-absent" => None,
        "index-is-function" => Some(now(|args| format!("Hello!{}", args.text(0)).into())),
        "index-is-primitive" => Some("just a string".into()),
        "index-is-primitive-2" => Some(12.5.into()),
        "index-nested" => record([
            ("foo", "bar".into()),
            ("num", 42.into()),
            ("yes", true.into()),
            ("no", false.into()),
            ("list", list([1.into(), "two".into(), false.into()])),
            ("ping", now(|_| "pong".into())),
            (
                "nested",
                Value::from([
                    ("a", Value::from([("b", Value::from([("c", "x".into()), ("fn", echo())]))])),
                    ("fns", list([now(|_| 1.into()), now(|_| 2.into())])),
                ]),
            ),
        ]),
        "index-twice" => {
            record([("f", now(|_| Value::Undefined)), ("o", Value::from([("g", now(|_| Value::Undefined))]))])
        }
        "inject-bad-messages"
        | "inject-unknown-method"
        | "tcp-one-message-two-chunks"
        | "tcp-trailing-whitespace"
        | "tcp-two-messages-one-chunk" => record([("f", now(|_| Value::Undefined))]),
        "inject-duplicate-return" => {
            record([("run", f(|args| async move { args.cap(0).apply::<Value>(("q",)).await }))])
        }
        "inject-error-forms" => record([(
            "run",
            f(|args| async move {
                Ok(args.cap(0).apply::<Value>(("q",)).await.unwrap_or_else(|error| {
                    Value::from(
                        [("rejected_with", error.message())].map(|(key, text)| (key, Value::from(text))),
                    )
                }))
            }),
        )]),
        "inject-link-orders" | "inject-link-orders-2" => {
            record([("show", now(|args| stringify(&Value::Array(args.0)).into()))])
        }
        "lone-surrogates" => record([
            ("echo", echo()),
            ("codes", now(|args| list(args.text(0).encode_utf16().map(|code| u32::from(code).into())))),
        ]),
        "unicode" => record([
            ("echo", echo()),
            ("len", now(|args| (args.text(0).encode_utf16().count() as u32).into())),
        ]),
        "numbers" => record([("echo", echo()), ("str", now(|args| js_number(args.number(0)).into()))]),
        "negative-zero" => record([
            ("nz", now(|_| (-0.0).into())),
            ("echo", now(|args| Value::Bool(args.number(0).to_bits() == (-0.0f64).to_bits()))),
        ]),
        "nan-infinity" => record([
            ("nan", now(|_| f64::NAN.into())),
            ("inf", now(|_| Value::from([("x", f64::INFINITY.into())]))),
            ("ninf", now(|_| list([f64::NEG_INFINITY.into()]))),
            ("echo", echo()),
        ]),
        "nested-arrays" => {
            record([("echo", echo()), ("join", now(|args| stringify(&Value::Array(args.0)).into()))])
        }
        "null-values" => record([
            ("asyncNull", now(|_| Value::Null)),
            ("syncNull", now(|_| Value::Null)),
            ("inside", now(|_| Value::from([("a", Value::Null)]))),
            ("echo", echo()),
        ]),
        "odd-keys" => record([("echo", echo()), ("keys", now(|args| keys(&args.at(0))))]),
        "undefined-values" => record([
            ("echo", echo()),
            (
                "ret",
                now(|_| {
                    let elements = list([Value::Undefined, 2.into(), Value::Undefined]);
                    Value::from([("a", Value::Undefined), ("b", 1.into()), ("c", elements)])
                }),
            ),
        ]),
        "passing-functions-back-and-forth" => record([(
            "greet",
            now(|args| {
                let reply = now(|args| {
                    let callback = args.cap(0);
                    let inner = f(move |args| {
                        let callback = callback.clone();
                        async move { callback.apply::<Value>((format!("inner:{}", args.text(0)),)).await }
                    });
                    Value::from([("inner", inner)])
                });
                Value::from([
                    ("value", "very well, and you?".into()),
                    ("heard", args.at(0)),
                    ("reply", reply),
                ])
            }),
        )]),
        "returned-object-with-functions" => record([("counter", counter("c0"))]),
        "reconstruct" => {
            let bam = function(|args| async move { Ok(format!("bam{}", Args(args).text(0)).into()) });
            let registered = world.registry.register(bam.cap().clone());
            *world.exposed.lock().unwrap() = Some(registered.id().to_owned());
            world.registered.lock().unwrap().push(registered);
            None
        }
        "same-function-twice-in-args" => record([
            ("two", now(|args| identical(&args.at(0), &args.at(1)))),
            (
                "obj",
                now(|args| {
                    let member = |name| args.at(0).member(name).unwrap_or_default();
                    identical(&member("x"), &member("y"))
                }),
            ),
        ]),
        "same-function-twice-in-index" => {
            let on = now(|args| format!("f{}", args.text(0)).into());
            record([
                ("on", on.clone()),
                ("addListener", on),
                ("off", now(|args| format!("g{}", args.text(0)).into())),
            ])
        }
        "same-function-twice-in-return" => {
            let one = now(|args| format!("f{}", args.text(0)).into());
            let other = one.clone();
            record([
                (
                    "get",
                    now(move |_| {
                        Value::from([
                            ("a", one.clone()),
                            ("b", one.clone()),
                            ("after", Value::from([("hello", "world".into())])),
                            ("list", list([1.into(), 2.into()])),
                        ])
                    }),
                ),
                ("twoOnly", now(move |_| Value::from([("a", other.clone()), ("b", other.clone())]))),
            ])
        }
        "same-object-twice" => record([
            ("same", now(|args| identical(&args.at(0), &args.at(1)))),
            (
                "ret",
                now(|_| {
                    let values = [Value::from([("a", 1.into())]), list([1.into(), 2.into()])];
                    twice(&values, |shared| {
                        Value::from([
                            ("x", shared[0].clone()),
                            ("y", shared[0].clone()),
                            ("arr1", shared[1].clone()),
                            ("arr2", shared[1].clone()),
                        ])
                    })
                }),
            ),
        ]),
        "tcp-disconnect-pending" => record([("hang", hang())]),
        "tcp-large-message" => record([
            ("len", now(|args| (args.text(0).encode_utf16().count() as u32).into())),
            ("big", now(|args| "y".repeat((args.number(0) as usize).min(1 << 20)).into())),
        ]),
        _ => record([("echo", echo())]),
    }
}

/// Returns the index of the client of a Capnode recording.
pub fn capnode_page(_: &PlayState, name: &str) -> Option<Value> {
    page(if name == "bidirectional" { "clientp" } else { "clienth" })
}

fn page(who: &'static str) -> Option<Value> {
    record([
        ("who", now(move |_| who.into())),
        ("sum", now(|args| (0..args.0.len()).map(|at| args.number(at)).sum::<f64>().into())),
    ])
}

/// The calls that the servers of the Capnode recordings made of their own accord.
pub fn capnode_asks(world: PlayState, connection: Connection) -> Running {
    Box::pin(async move {
        let index: Value = connection.index::<Cap>().read().await?;
        world.asked.notified().await;
        let member = |name| match index.get(name) {
            Some(Value::Cap(cap)) => cap.clone(),
            _ => Cap::broken(Error::rejected("there is no such function")),
        };
        world.saw(member("who").apply(()).await);
        world.saw(member("sum").apply((1, 2, 3)).await);
        Ok(())
    })
}

/// An object with a method: a class of the recorded program's.
fn holder() -> Object {
    Object::new().with("n", 5)
}

fn point(x: f64, y: f64) -> Object {
    let point = Object::new().with_writable("x", x).with_writable("y", y);
    let itself = point.clone();
    point.with(
        "norm",
        now(move |_| {
            let at = |name| itself.get::<f64>(name).unwrap_or(f64::NAN);
            at("x").hypot(at("y")).into()
        }),
    )
}

/// An interface without a known method.
#[capnode::interface]
trait Thing {
    async fn nothing(&self);
}

/// Returns the index of the server of a Q-Connection recording.
pub fn q(world: &PlayState, name: &str) -> Option<Value> {
    let w = world.clone();
    let authenticate = || {
        now(|args| {
            let token = args.text(0);
            let of_name = token.clone();
            let profile = now(move |_| {
                let token = of_name.clone();
                Value::from([("name", now(move |_| format!("Ada:{token}").into())), ("age", 36.into())])
            });
            Value::from([("token", token.into()), ("profile", profile)])
        })
    };
    let on = |what: fn() -> Vec<Value>, answer: Value| {
        f(move |args| {
            let answer = answer.clone();
            async move {
                for what in what() {
                    args.cap(1).apply::<Value>((args.at(0), what)).send()?;
                }
                Ok(answer)
            }
        })
    };
    let things = || vec![Value::from(1), "b".into(), Value::from([("c", 3.into())])];
    match name {
        "bidirectional" | "bidirectional-2" => {
            let answer = if name == "bidirectional" { "bp" } else { "bh" };
            let asks = world.clone();
            record([
                (
                    "who",
                    now(move |_| {
                        w.asked.notify_one();
                        answer.into()
                    }),
                ),
                (
                    "ask",
                    f(move |args| {
                        let peer = asks.peer();
                        async move {
                            let who: String = peer.invoke("who", ()).await?;
                            Ok(format!("{who}/{}", args.text(0)).into())
                        }
                    }),
                ),
            ])
        }
        "closed" | "closed-2" | "ws-close-browser-port" | "ws-close-node-port" => {
            record([("hang", hang()), ("ok", now(|_| 1.into()))])
        }
        "concurrent-out-of-order" | "concurrent-out-of-order-2" => {
            record([("later", later(10, |args| format!("after {}", args.number(0)).into()))])
        }
        "cycles" => record([
            ("echo", echo()),
            (
                "check",
                now(|args| {
                    let o = args.at(0);
                    let kid = o.member("kids").and_then(|kids| kids.element(0));
                    let parent = kid.and_then(|kid| kid.member("parent"));
                    Value::Bool(o.member("self").as_ref() == Some(&o) && parent == Some(o))
                }),
            ),
        ]),
        "exotic-values" => record([
            (
                "kind",
                now(|args| match args.at(0) {
                    Value::Cap(_) => "promise".into(),
                    Value::Null => "[object Null]".into(),
                    _ => "[object Object]".into(),
                }),
            ),
            ("big", now(|_| Value::BigInt("36893488147419103233".parse::<BigInt>().expect("digits")))),
            ("sym", now(|_| Value::Undefined)),
        ]),
        "far-reference-passed-back" => {
            let holder = holder().with("val", now(|_| 5.into()));
            let itself = Value::Cap(holder.cap());
            record([
                ("get", now(move |_| Value::Cap(holder.cap()))),
                ("same", now(move |args| identical(&args.at(0), &itself))),
                ("use", f(|args| async move { args.cap(0).invoke::<Value>("val", ()).await })),
            ])
        }
        "function-arg" => record([
            (
                "typeofArg",
                now(|args| if args.at(0).as_cap().is_some() { "function" } else { "object" }.into()),
            ),
            (
                "each",
                f(move |args| async move {
                    let mut answers = Vec::new();
                    for thing in things() {
                        answers.push(args.cap(0).apply::<Value>((thing,)).await?);
                    }
                    Ok(list(answers))
                }),
            ),
            ("on", on(things, "subscribed".into())),
        ]),
        "function-arg-throws" => record([(
            "run",
            f(|args| async move {
                Ok(match args.cap(0).apply::<Value>(()).await {
                    Ok(value) => value,
                    Err(error) => {
                        Value::from([("caught", Value::from([("message", Value::from(error.message()))]))])
                    }
                })
            }),
        )]),
        "inject-bad-messages" => record([("n", 1.into()), ("f", now(|args| (args.0.len() as u32).into()))]),
        "inject-double-resolve" => None,
        "inject-pipeline-attempt" => record([(
            "slow",
            f(|_| async {
                tokio::time::sleep(Duration::from_millis(30)).await;
                Ok(Value::from([("x", 1.into())]))
            }),
        )]),
        "inject-value-forms" | "inject-value-forms-2" => record([(
            "show",
            now(|args| {
                let show = |value: &Value| match value {
                    Value::Error(_) => "promise:rejected".to_owned(),
                    other => stringify(other),
                };
                let args = if args.0.is_empty() { vec![Value::Undefined] } else { args.0 };
                args.iter().map(show).collect::<Vec<_>>().join(" | ").into()
            }),
        )]),
        "inject-when" => record([(
            "mk",
            now(move |_| {
                let (p, resolver) = promise::<ThingClient>();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    resolver.resolve(ThingClient::from_cap(Cap::holding(&"later").expect("a text")));
                });
                Value::from([
                    ("p", Value::Cap(p.into())),
                    ("bad", Value::Cap(Cap::broken(Error::rejected("no")))),
                    ("f", now(|_| Value::Undefined)),
                ])
            }),
        )]),
        "key-escaping" => record([("keys", now(|args| keys(&args.at(0)))), ("echo", echo())]),
        "lru-eviction" => {
            let hit = world.clone();
            record([
                (
                    "take",
                    now(move |args| {
                        let mut kept = w.kept.lock().unwrap();
                        kept.push(args.cap(0));
                        (kept.len() as u32).into()
                    }),
                ),
                (
                    "hit",
                    f(move |args| {
                        let kept = hit.kept.lock().unwrap().get(args.number(0) as usize).cloned();
                        async move {
                            let kept = kept.ok_or_else(|| Error::rejected("nothing is kept"))?;
                            kept.apply::<Value>(("x",)).await
                        }
                    }),
                ),
            ])
        }
        "lru-pending-answers" => record([("later", later(10, |args| args.at(0)))]),
        "lru-root-survives" => record([("n", now(|_| 1.into()))]),
        "no-local" => None,
        "ops-failures" => record([("n", Value::Null), ("f", now(|_| Value::Undefined)), ("num", 5.into())]),
        "ops-methods" => record([
            ("echo", now(|args| Value::Array(args.0))),
            ("add", now(|args| (args.number(0) + args.number(1)).into())),
            ("self", now(|_| 7.into())),
            ("nothing", now(|_| Value::Undefined)),
            ("later", echo()),
        ]),
        "ops-object" => {
            let inner = Value::from([("z", 2.into())]);
            let deep = Value::from([("y", list([1.into(), inner]))]);
            let object = Object::new().with("x", 1).with("name", "n").with("deep", deep).open();
            Some(Value::Cap(object.cap()))
        }
        "ops-root-function" => Some(now(|args| list([(args.number(0) * 3.0).into(), args.at(1)]))),
        "pipelined-chain" => record([("authenticate", authenticate())]),
        "pipelined-on-failure" => record([("bad", fails("no session"))]),
        "progress" => record([(
            "work",
            f(|_| async {
                for done in [10, 50, 90] {
                    report_progress(&done)?;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ok("done".into())
            }),
        )]),
        "progress-on-promise-arg" => {
            record([("watch", now(|args| Value::from([("x", args.at(0)), ("got", list([]))])))])
        }
        "promise-arg" => record([("wait", now(|args| list(["resolved".into(), args.at(0)])))]),
        "promise-arg-is-a-pending-answer" => {
            record([("slow", hang()), ("dbl", now(|args| (args.number(0) * 2.0).into()))])
        }
        "rejections" => record([
            ("err", fails("it broke")),
            ("typed", fails("it broke")),
            ("str", fails("it broke")),
            ("obj", fails("an object")),
            ("num", fails("42")),
            ("arr", fails("1,2")),
            ("fn", fails("a function")),
        ]),
        "rejections-falsy" => record([
            ("zero", fails("0")),
            ("empty", fails("")),
            ("no", fails("false")),
            ("nul", fails("null")),
            ("undef", fails("undefined")),
            ("nan", fails("NaN")),
        ]),
        "returned-instance" => record([
            ("point", now(|_| Value::Cap(point(3.0, 4.0).cap()))),
            (
                "list",
                now(|_| list([Value::Cap(point(6.0, 8.0).cap()), Value::from([("plain", true.into())])])),
            ),
            ("bare", now(|_| Value::Cap(Object::new().cap()))),
        ]),
        "returned-object-with-methods" => record([("counter", counter("c"))]),
        "same-function-twice" => {
            let one = now(|args| format!("f{}", args.text(0)).into());
            record([
                (
                    "two",
                    now(|args| {
                        let kind = |at| if args.at(at).as_cap().is_some() { "function" } else { "undefined" };
                        list([kind(0).into(), kind(1).into()])
                    }),
                ),
                (
                    "p2",
                    now(|args| {
                        let there = |at| args.at(at).as_cap().is_some();
                        list([there(0).into(), there(1).into()])
                    }),
                ),
                ("ret", now(move |_| Value::from([("one", one.clone()), ("two", one.clone())]))),
            ])
        }
        "same-object-twice" => record([
            ("same", now(|args| list([identical(&args.at(0), &args.at(1)), stringify(&args.at(1)).into()]))),
            ("echo", echo()),
        ]),
        "special-values" => record([
            ("echo", echo()),
            (
                "kind",
                now(|args| {
                    let kind = match args.at(0) {
                        Value::Undefined => "undefined:undefined".to_owned(),
                        Value::Null => "null:object".to_owned(),
                        Value::Bool(value) => format!("{value}:boolean"),
                        Value::Number(number) if number.is_infinite() => {
                            format!("{}Infinity:number", if number > 0.0 { "" } else { "-" })
                        }
                        Value::Number(number) => {
                            format!("{}:number", if number == 0.0 { 0.0 } else { number })
                        }
                        Value::String(text) => format!("{text}:string"),
                        other => format!("{other:?}"),
                    };
                    kind.into()
                }),
            ),
        ]),
        "ws-basics" => record([
            ("transform", now(|args| args.text(0).to_uppercase().into())),
            ("authenticate", authenticate()),
            ("on", on(|| vec!["data".into(), "data".into(), "data".into()], Value::Undefined)),
        ]),
        "ws-browser-port-before-open" | "ws-send-before-open" => record([("f", now(|_| "ok".into()))]),
        _ => record([("echo", echo())]),
    }
}

/// Returns the index of the client of a Q-Connection recording.
pub fn q_page(_: &PlayState, name: &str) -> Option<Value> {
    page(if name == "bidirectional" { "ap" } else { "ah" })
}

pub fn q_asks(world: PlayState, connection: Connection) -> Running {
    Box::pin(async move {
        world.asked.notified().await;
        world.saw(connection.index::<Cap>().invoke("who", ()).await);
        world.saw(connection.index::<Cap>().invoke("sum", (1, 2, 3)).await);
        Ok(())
    })
}

/// The one call that is made to messages written by hand.
pub fn q_asks_x(world: PlayState, connection: Connection) -> Running {
    Box::pin(async move {
        let progress = world.clone();
        let call = connection
            .index::<Cap>()
            .invoke::<Value>("x", ())
            .on_progress(move |value| progress.saw(Ok(value)));
        world.saw(call.await);
        Ok(())
    })
}

/// The programs of the Q-Connection recordings that ask several things at once.
pub fn q_object(world: PlayState, connection: Connection) -> Running {
    Box::pin(async move {
        let peer = connection.index::<Cap>();
        for name in ["x", "name", "deep"] {
            world.saw(peer.get(name).await);
        }
        world.saw(peer.at("deep").at("y").get("1").await);
        world.saw(peer.get("missing").await);
        world.saw(peer.put("w", 5).await.map(|()| Value::Undefined));
        world.saw(peer.put("q", Value::from([("r", list([1.into()]))])).await.map(|()| Value::Undefined));
        world.saw(peer.get("q").await);
        for name in ["w", "q"] {
            world.saw(peer.delete(name).await.map(|()| Value::Undefined));
        }
        let names = peer.keys().await;
        world.saw(names.map(|names| list(names.into_iter().map(Value::from))));
        Ok(())
    })
}

pub fn q_failures(world: PlayState, connection: Connection) -> Running {
    Box::pin(async move {
        let peer = connection.index::<Cap>();
        world.saw(peer.invoke("missing", ()).await);
        world.saw(peer.apply(()).await);
        // `undefined` is said of null here.
        world.saw(
            peer.at("n")
                .get("x")
                .await
                .map_err(|_| Error::rejected("Cannot read properties of null (reading 'x')")),
        );
        world.saw(peer.invoke::<Value>("f", ()).pipeline_cap().get("x").await);
        Ok(())
    })
}

pub fn q_chain(world: PlayState, connection: Connection) -> Running {
    Box::pin(async move {
        let peer = connection.index::<Cap>();
        let session = || peer.invoke::<Value>("authenticate", ("tok-1",)).pipeline_cap();
        let profile = |session: &Cap| session.invoke::<Value>("profile", ()).pipeline_cap();
        world.saw(profile(&session()).invoke("name", ()).await);
        let s = session();
        let (token, name, age) = (s.get("token"), profile(&s).invoke("name", ()), profile(&s).get("age"));
        let (name, age) = (tokio::spawn(name.into_future()), tokio::spawn(age.into_future()));
        world.saw(token.await);
        world.saw(name.await.expect("no panic"));
        world.saw(age.await.expect("no panic"));
        Ok(())
    })
}

pub fn q_far(world: PlayState, connection: Connection) -> Running {
    Box::pin(async move {
        let peer = connection.index::<Cap>();
        let got: Value = peer.invoke("get", ()).await?;
        world.saw(Ok(got.clone()));
        let far = Args(vec![got]).cap(0);
        world.saw(far.invoke("val", ()).await);
        world.saw(far.get("n").await);
        world.saw(far.keys().await.map(|names| list(names.into_iter().map(Value::from))));
        world.saw(peer.invoke("same", (far.clone(),)).await);
        world.saw(peer.invoke("use", (far,)).await);
        Ok(())
    })
}
