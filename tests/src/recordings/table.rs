//! All recordings, how a Rust node takes the place of either side, and what may be otherwise.
//!
//! Rules for all recordings, which the comparison and the player apply by themselves:
//!
//! * **Ids** are ours, one for each recorded one. In Q-Connection a function or object has one id with us, where the
//!   package takes a new one for each sending; within one message they still go one to one.
//! * **Tables** of Capnode's are compared by what they say, whatever the order of their links; members of objects have
//!   no order.
//! * **A stack** is internal, and never leaves the program. An error says its class, where that is not `Error`.
//! * **Every call is answered**: also those on which the recorded program failed, or that were for nobody.
//! * **No nulls** in Capnode: what the original writes as null, and then fails to read, is undefined.
//! * **Answers** may come earlier than they were recorded.
//! * **Unheld functions are given back**: the recorded program kept them for ever.
//! * **Rejections are errors.** What JavaScript rejected with that is no error arrives as one whose message says it, and is
//!   passed on as what it was.
//! * **Strings are Unicode.** Half a surrogate pair arrives as U+FFFD.
//!
//! Everything else is written down at its recording, with one of the reasons in [`Why`], and has to occur: a difference
//! that is not needed fails.

use capnode::{Dialect, Value};
use serde_json::{Value as Json, json};

use crate::recordings::Side;
use crate::recordings::programs::{self, Part, PlayState};

/// Why a Rust node does not do the same as the recorded program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A Rust function fails with an error, and a value thrown by JavaScript arrives as an error.
    OnlyErrors,
    /// The message has another wording.
    OtherWords,
    /// A value that holds itself can be sent.
    Circles,
    /// There are no `NaN`, `Infinity` and null in Capnode; the first two are an error, which the original sends as
    /// null, and null is undefined, on which the original fails.
    NoNull,
    /// A member that is undefined is there, where the original leaves it out, so that no key of a map is lost.
    UndefinedIsThere,
    /// A reference is given back once, when it is dropped, and not at all if others may have it.
    GivenBackOnce,
    /// A repeated request for the index does not return the ids of functions that were given back.
    NoDeadFunctions,
    /// Half a surrogate pair arrives as U+FFFD.
    Unicode,
    /// The methods of an object are among its properties: in JavaScript they are their class's.
    NoClasses,
    /// Functions have no properties.
    BareFunctions,
    /// An argument that is undefined is one that was not given.
    MissingIsUndefined,
    /// Forms of a later version of the package are understood.
    LaterForms,
    /// A call whose answer has no place to go gets none.
    NobodyAsks,
    /// A call has its arguments, and the thing itself is called in one way.
    OneWay,
    /// A function that occurs twice arrives twice, as one function.
    TwiceTheSame,
    /// No function is forgotten, since there is no limit in this test.
    NothingForgotten,
    /// A call's id is not that of its result.
    NotTheResult,
    /// A reference does not show until its use whether it is to a function or to an object.
    JustReferences,
    /// Rust has no such value, or no such call.
    NoSuchValue,
    /// Over a closed connection nothing is sent.
    Closed,
    /// The original loses messages that come together.
    NothingLost,
}

/// The cover of one side of a recording: played by a Rust node, or not, with the reason.
pub enum Cover {
    Played(Box<Part>),
    Not(&'static str),
}

pub struct Row {
    pub name: &'static str,
    pub a: Cover,
    pub b: Cover,
}

impl Row {
    pub fn cover(&self, side: Side) -> &Cover {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}

type Index = fn(&PlayState, &str) -> Option<Value>;

impl Part {
    fn new(index: Index) -> Self {
        Self {
            name: "",
            index,
            program: None,
            instead: Vec::new(),
            not_in_rust: Vec::new(),
            until: None,
            hang: 0,
            unsaid: 0,
        }
    }

    fn instead(mut self, recorded: Json, ours: Json, why: Why) -> Self {
        self.instead.push((recorded, Some(ours), why));
        self
    }

    fn without(mut self, recorded: Json, why: Why) -> Self {
        self.instead.push((recorded, None, why));
        self
    }

    fn not(mut self, calls: &[&'static str], why: Why) -> Self {
        self.not_in_rust.extend(calls.iter().map(|call| (*call, why)));
        self
    }

    fn until(mut self, call: &'static str, why: Why) -> Self {
        self.until = Some((call, why));
        self
    }

    fn hang(mut self, hang: usize) -> Self {
        self.hang = hang;
        self
    }

    fn unsaid(mut self, unsaid: usize) -> Self {
        self.unsaid = unsaid;
        self
    }

    fn program(mut self, program: fn(PlayState, capnode::Connection) -> programs::Running) -> Self {
        self.program = Some(program);
        self
    }
}

const BY_HAND: &str = "the messages were written by hand; there is no program to take the place of";
const BYTES: &str = "chunks of bytes, which `chunks_of_a_stream_are_joined_and_split_into_messages` plays";
const PROCESS: &str = "how the original's process ends";

pub fn rows(dialect: Dialect) -> Vec<Row> {
    let mut rows = if dialect == Dialect::Capnode { capnode() } else { q() };
    for row in &mut rows {
        for cover in [&mut row.a, &mut row.b] {
            if let Cover::Played(part) = cover {
                part.name = row.name;
            }
        }
    }
    rows
}

fn row(name: &'static str, a: Part, b: Part) -> Row {
    Row { name, a: Cover::Played(Box::new(a)), b: Cover::Played(Box::new(b)) }
}

fn by_hand(name: &'static str, b: Part) -> Row {
    Row { name, a: Cover::Not(BY_HAND), b: Cover::Played(Box::new(b)) }
}

fn not(name: &'static str, why: &'static str) -> Row {
    Row { name, a: Cover::Not(why), b: Cover::Not(why) }
}

fn capnode() -> Vec<Row> {
    let a = || Part::new(programs::nothing);
    let b = || Part::new(programs::capnode);
    let page = || Part::new(programs::capnode_page);
    let fails = |message: &str| json!({"type": "error", "value": {"message": message}});
    let error = || json!({"type": "error", "value": {}});
    let caught = |message: &str| json!({"value": {"links": [{"rejected_with": message}], "value": {"type": 0, "id": 0}}});
    let codes = |codes: &[u16]| json!({"value": {"links": [codes], "value": {"type": 2, "id": 0}}});
    let dropped = json!({"type": "dealloc"});
    let gone = "serializeObject was passed a object";
    // A pointer past the end of the table.
    let undefined = &json!({"type": 0, "id": 4_294_967_295_u32});
    vec![
        row("bidirectional", page(), b().program(programs::capnode_asks)),
        row("bidirectional-2", page(), b().program(programs::capnode_asks)),
        row("call-primitives", a(), b()),
        row("call-primitives-2", a(), b()),
        row("callback-arg", a(), b()),
        row("callback-throws", a(), b().hang(1)),
        row(
            "circular-array",
            a().not(&["echo(a) where a[1]===a"], Why::Circles),
            b().instead(
                fails("Maximum call stack size exceeded"),
                json!({"type": "return", "value":
                    {"links": [[1, {"type": 2, "id": 0}]], "value": {"type": 2, "id": 0}}}),
                Why::Circles,
            ),
        ),
        row("circular-object", a(), b()),
        row("circular-via-array", a(), b()),
        row("concurrent-out-of-order", a(), b()),
        row("concurrent-out-of-order-2", a(), b()),
        row(
            "dealloc-callback",
            a(),
            b().without(json!({"type": "dealloc", "replyId": "ca6881121570277250d1"}), Why::GivenBackOnce)
                .without(
                    json!({"type": "invocation", "replyId": "3d6e4e4e650d419ce341"}),
                    Why::GivenBackOnce,
                ),
        ),
        row(
            "dealloc-index-function",
            a().without(dropped.clone(), Why::GivenBackOnce).not(&["a.dealloc()"], Why::GivenBackOnce),
            b().instead(
                json!({"methodId": "0d5c419ea77529ece1e02b9aeaefaf03948178ca"}),
                json!({"value": {"links": [{"a": {"type": 1, "id": 1}, "b": {"type": 1, "id": 2}}, "a again",
                    "627c56c846ab61b95daf"], "value": {"type": 0, "id": 0}}}),
                Why::NoDeadFunctions,
            ),
        ),
        row("empty-containers", a(), b()),
        row("error-async", a(), b()),
        row(
            "error-non-error-reason",
            a(),
            b().instead(error(), json!({"value": {"message": "text"}}), Why::OnlyErrors).instead(
                error(),
                json!({"value": {"message": "42"}}),
                Why::OnlyErrors,
            ),
        ),
        row("error-sync-throw", a(), b()),
        row("error-undefined-reason", a(), b()),
        row("event-emitter", a(), b()),
        row("event-emitter-object-arg", a().unsaid(1), b()),
        row("exotic-values", a().not(&["echo(bigint)", "echo(symbol)"], Why::NoSuchValue), b()),
        row("falsy-returns", a(), b()),
        row("function-roundtrip", a(), b()),
        row("index-absent", a(), b()),
        row("index-is-function", a(), b()),
        row("index-is-primitive", a(), b()),
        row("index-is-primitive-2", a(), b()),
        row("index-nested", a(), b()),
        row("index-twice", a(), b()),
        by_hand("inject-bad-messages", b().hang(1)),
        by_hand("inject-duplicate-return", b()),
        by_hand(
            "inject-error-forms",
            b().instead(json!({"methodId": "r1"}), caught("no stack"), Why::OtherWords).instead(
                json!({"methodId": "r2"}),
                caught("the peer gave no message"),
                Why::OtherWords,
            ),
        ),
        by_hand("inject-link-orders", b()),
        by_hand("inject-link-orders-2", b()),
        by_hand("inject-unknown-method", b()),
        row(
            "lone-surrogates",
            a(),
            b().instead(codes(&[0xd800]), codes(&[0xfffd]), Why::Unicode)
                .instead(codes(&[97, 0xdc00, 98]), codes(&[97, 0xfffd, 98]), Why::Unicode)
                .instead(codes(&[0xdc00, 0xd800]), codes(&[0xfffd, 0xfffd]), Why::Unicode),
        ),
        row(
            "nan-infinity",
            a(),
            b().instead(
                json!({"value": {"links": [], "value": null}}),
                fails("Capnode has no NaN"),
                Why::NoNull,
            )
            .instead(
                json!({"value": {"links": [{"x": null}]}}),
                fails("Capnode has no infinity"),
                Why::NoNull,
            )
            .instead(
                json!({"value": {"links": [[null]]}}),
                fails("Capnode has no infinity"),
                Why::NoNull,
            ),
        ),
        row("negative-zero", a(), b()),
        row("nested-arrays", a(), b()),
        row(
            "null-values",
            a().not(&["echo(null)", "echo({a:null})"], Why::NoNull),
            b().instead(fails(gone), json!({"type": "return", "value": {"links": []}}), Why::NoNull).instead(
                fails(gone),
                json!({"type": "return", "value": {"links": [{"a": undefined}], "value": {"type": 0, "id": 0}}}),
                Why::NoNull,
            ),
        ),
        row("numbers", a(), b()),
        row("odd-keys", a(), b()),
        row("passing-functions-back-and-forth", a(), b()),
        row(
            "reconstruct",
            a().without(dropped, Why::GivenBackOnce)
                .not(&["reconstruct(undefined)", "reconstructed.dealloc()"], Why::GivenBackOnce),
            b(),
        ),
        row("returned-object-with-functions", a(), b()),
        row("same-function-twice-in-args", a(), b()),
        row("same-function-twice-in-index", a(), b()),
        row("same-function-twice-in-return", a(), b()),
        row("same-object-twice", a(), b()),
        row("tcp-burst-callbacks", a().not(&["callback-args"], Why::NothingLost), b()),
        row("tcp-burst-calls", a(), b()),
        row(
            "tcp-disconnect-pending",
            a().until("hang() across a disconnect", Why::Closed),
            b().until("hang() across a disconnect", Why::Closed),
        ),
        row("tcp-example", a(), b()),
        row("tcp-large-message", a(), b()),
        not("tcp-one-message-two-chunks", BYTES),
        not("tcp-process-dies", PROCESS),
        not("tcp-trailing-whitespace", BYTES),
        not("tcp-two-messages-one-chunk", BYTES),
        row("transform-example", a(), b()),
        row("transform-example-2", a(), b()),
        row(
            "undefined-values",
            a(),
            b().instead(
                json!({"value": {"links": [{"b": 1, "c": {"type": 2, "id": 1}}, [null, 2, null]], "value": {"type": 0, "id": 0}}}),
                json!({"value": {
                    "links": [{"a": undefined, "b": 1, "c": {"type": 2, "id": 1}}, [undefined, 2, undefined]],
                    "value": {"type": 0, "id": 0},
                }}),
                Why::UndefinedIsThere,
            ),
        ),
        row("unicode", a(), b()),
    ]
}

fn q() -> Vec<Row> {
    let a = || Part::new(programs::nothing);
    let b = || Part::new(programs::q);
    let page = || Part::new(programs::q_page);
    let fails = |message: &str| json!({"resolution": {"!": {"message": message}}});
    let fails_with = fails;
    let falsy = |reason: Json| json!({"resolution": {"!": reason}});
    let answer = |value: Json| json!({"resolution": value});
    vec![
        row("bidirectional", page(), b().program(programs::q_asks)),
        row("bidirectional-2", page(), b().program(programs::q_asks)),
        row("closed", a().until("hang() across close", Why::Closed), b().hang(1)),
        row("closed-2", a().until("hang() across close", Why::Closed), b().hang(1)),
        row("concurrent-out-of-order", a(), b()),
        row("concurrent-out-of-order-2", a(), b()),
        row("cycles", a(), b()),
        row("exotic-values", a().not(&["kind(bigint)"], Why::NoSuchValue), b()),
        row(
            "far-reference-passed-back",
            a().program(programs::q_far),
            b().instead(answer(json!(["n"])), answer(json!(["n", "val"])), Why::NoClasses),
        ),
        row("function-arg", a(), b()),
        row(
            "function-arg-throws",
            a().instead(falsy(json!("plain")), fails("plain"), Why::OnlyErrors),
            b().instead(
                answer(json!({"caught": "plain"})),
                answer(json!({"caught": {"message": "plain"}})),
                Why::OnlyErrors,
            ),
        ),
        by_hand("inject-bad-messages", b().without(json!({"type": "resolve", "to": null}), Why::NobodyAsks)),
        by_hand(
            "inject-double-resolve",
            b().program(programs::q_asks_x).instead(
                json!({"to": "z1"}),
                fails("there is no such object here, or it has been forgotten"),
                Why::NotTheResult,
            ),
        ),
        by_hand("inject-pipeline-attempt", b()),
        by_hand(
            "inject-value-forms",
            b().instead(json!({"to": "r6"}), answer(json!("{\"a\":1}")), Why::MissingIsUndefined)
                .instead(json!({"to": "r10"}), answer(json!("{\"js\":\"function\"}")), Why::JustReferences)
                .instead(json!({"to": "r11"}), answer(json!("{\"js\":\"function\"}")), Why::JustReferences),
        ),
        by_hand(
            "inject-value-forms-2",
            b().instead(json!({"to": "r5"}), answer(json!("{\"js\":\"function\"}")), Why::LaterForms)
                .instead(json!({"to": "r6"}), answer(json!("promise:rejected")), Why::LaterForms),
        ),
        by_hand("inject-when", b()),
        row("key-escaping", a(), b()),
        row("lru-eviction", a().not(&["onmessagelost"], Why::NothingForgotten), b().hang(1)),
        row("lru-pending-answers", a().not(&["onmessagelost"], Why::NothingForgotten), b()),
        row("lru-root-survives", a(), b()),
        row(
            "no-local",
            a(),
            b().instead(
                json!({"type": "resolve"}),
                fails("This connection has no main object."),
                Why::OtherWords,
            )
            .instead(
                json!({"type": "resolve"}),
                fails("This connection has no main object."),
                Why::OtherWords,
            ),
        ),
        row("numbers-and-text", a(), b()),
        row(
            "ops-failures",
            // There are no keys of a number, and there is no operation `bogus`.
            a().program(programs::q_failures).until("invoke(\"f\").get(\"x\")", Why::NoSuchValue),
            b().instead(
                fails_with("Cannot read properties of undefined (reading 'apply')"),
                fails("'missing' is not a function."),
                Why::OtherWords,
            )
            .instead(
                fails_with("value.apply is not a function"),
                fails("'' is not a function."),
                Why::OtherWords,
            ),
        ),
        row(
            "ops-methods",
            a().instead(
                json!({"args": ["echo", {"%": "undefined"}]}),
                json!({"args": ["echo", []]}),
                Why::OneWay,
            ),
            b(),
        ),
        row("ops-object", a().program(programs::q_object), b()),
        row(
            "ops-root-function",
            a().instead(json!({"op": "post"}), json!({"op": "apply"}), Why::OneWay).instead(
                json!({"op": "post"}),
                json!({"op": "apply", "args": [{"%": "undefined"}, [7]]}),
                Why::OneWay,
            ),
            b().instead(answer(json!("p")), answer(json!({"%": "undefined"})), Why::BareFunctions),
        ),
        row("pipelined-chain", a().program(programs::q_chain), b()),
        row("pipelined-on-failure", a(), b()),
        row("progress", a(), b()),
        row("progress-on-promise-arg", a(), b()),
        row("promise-arg", a(), b()),
        row("promise-arg-is-a-pending-answer", a(), b().hang(1)),
        row(
            "rejections",
            a(),
            b().instead(falsy(json!({"code": "E1"})), fails("it broke"), Why::OnlyErrors)
                .instead(falsy(json!("it broke")), fails("it broke"), Why::OnlyErrors)
                .instead(falsy(json!({"code": 5})), fails("an object"), Why::OnlyErrors)
                .instead(falsy(json!(42)), fails("42"), Why::OnlyErrors)
                .instead(falsy(json!([1, 2])), fails("1,2"), Why::OnlyErrors)
                .instead(falsy(json!({"type": "function"})), fails("a function"), Why::OnlyErrors),
        ),
        row(
            "rejections-falsy",
            a(),
            b().instead(falsy(json!(0)), fails("0"), Why::OnlyErrors)
                .instead(falsy(json!("")), fails(""), Why::OnlyErrors)
                .instead(falsy(json!(false)), fails("false"), Why::OnlyErrors)
                .instead(falsy(json!(null)), fails("null"), Why::OnlyErrors)
                .instead(falsy(json!({"%": "undefined"})), fails("undefined"), Why::OnlyErrors)
                .instead(falsy(json!({"%": "NaN"})), fails("NaN"), Why::OnlyErrors),
        ),
        row("returned-instance", a(), b()),
        row("returned-object-with-methods", a().unsaid(1), b()),
        row(
            "same-function-twice",
            a().not(&["ret()"], Why::TwiceTheSame).unsaid(1),
            b().instead(
                answer(json!(["function", "undefined"])),
                answer(json!(["function", "function"])),
                Why::TwiceTheSame,
            )
            .instead(
                answer(json!([true, false])),
                answer(json!([true, true])),
                Why::TwiceTheSame,
            ),
        ),
        row("same-object-twice", a(), b()),
        row("special-values", a(), b()),
        row("ws-basics", a().unsaid(2), b()),
        row("ws-browser-port-before-open", a(), b()),
        row("ws-close-browser-port", a(), b()),
        row("ws-close-node-port", a(), b()),
        row("ws-send-before-open", a(), b()),
    ]
}
