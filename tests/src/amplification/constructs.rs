//! Everything that a peer can write into a value, in each language, at any size.

use capnode::Dialect;

/// A value of about `n` bytes.
pub struct Construct {
    pub name: &'static str,
    pub value: Value,
    pub taken: Taken,
}

/// The positions in which a node accepts the value. Elsewhere the value fails the call or ends the session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Taken {
    Always,
    /// As an argument and a result, but not as a result of this side.
    In,
    /// Only as an argument.
    AsArgument,
    /// As long as there are few: each is a call of its own.
    Few,
    Never,
}

pub enum Value {
    /// An expression of Cap'n Web.
    Expression(fn(n: usize) -> String),
    /// A table of Capnode's whose first link has this number, and the value itself.
    Table(fn(n: usize, first: usize) -> (Vec<String>, String)),
    /// Of Q-Connection, where paths in it begin with this.
    Tree(fn(n: usize, path: &str) -> String),
}

/// `part` again and again, with commas between.
fn list(n: usize, part: &str) -> String {
    let count = (n / (part.len() + 1)).max(1);
    let mut list = part.to_owned();
    for _ in 1..count {
        list.push(',');
        list.push_str(part);
    }
    list
}

/// Joins numbered parts of about `length` bytes each, with commas between.
fn numbered(n: usize, length: usize, part: impl Fn(usize) -> String) -> String {
    (0..(n / length).max(1)).map(part).collect::<Vec<_>>().join(",")
}

fn nested(n: usize, depth: usize) -> String {
    list(n, &format!("{}{}", "[".repeat(depth), "]".repeat(depth)))
}

fn nested_objects(n: usize, depth: usize) -> String {
    list(n, &format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)))
}

fn expression(name: &'static str, value: fn(usize) -> String) -> Construct {
    Construct { name, value: Value::Expression(value), taken: Taken::Always }
}

fn table(name: &'static str, value: fn(usize, usize) -> (Vec<String>, String)) -> Construct {
    Construct { name, value: Value::Table(value), taken: Taken::Always }
}

fn tree(name: &'static str, value: fn(usize, &str) -> String) -> Construct {
    Construct { name, value: Value::Tree(value), taken: Taken::Always }
}

impl Construct {
    fn refused(self) -> Self {
        Self { taken: Taken::Never, ..self }
    }

    fn only(self, taken: Taken) -> Self {
        Self { taken, ..self }
    }
}

pub fn constructs(dialect: Dialect) -> Vec<Construct> {
    match dialect {
        Dialect::CapnWeb => capn_web(),
        Dialect::Capnode => capnode(),
        _ => q(),
    }
}

fn capn_web() -> Vec<Construct> {
    // An array of its own, which is written in another one.
    fn array(n: usize, part: &str) -> String {
        format!("[[{}]]", list(n, part))
    }
    vec![
        expression("numbers", |n| array(n, "0")),
        expression("long numbers", |n| array(n, "-1.2345678901234567e-300")),
        expression("words", |n| array(n, "null")),
        expression("empty arrays", |n| array(n, "[[]]")),
        expression("empty objects", |n| array(n, "{}")),
        expression("arrays in arrays", |n| format!("[[{}]]", nested(n, 100))),
        expression("objects in objects", |n| format!("[[{}]]", nested_objects(n, 100))),
        expression("members", |n| format!("{{{}}}", numbered(n, 12, |at| format!("\"k{at:06}\":1")))),
        expression("the same member", |n| format!("{{{}}}", list(n, "\"k\":1"))),
        expression("escaped keys", |n| {
            format!("{{{}}}", numbered(n, 14, |at| format!("\"\\u0041{at:05}\":1")))
        }),
        expression("a text", |n| format!("\"{}\"", "x".repeat(n))),
        expression("a text of wide letters", |n| format!("\"{}\"", "\u{1F600}".repeat(n / 4))),
        expression("a text of escapes", |n| format!("\"{}\"", "\\n".repeat(n / 2))),
        expression("a text of escaped zeros", |n| format!("\"{}\"", "\\u0000".repeat(n / 6))),
        expression("a text of halves", |n| format!("\"{}\"", "\\ud800".repeat(n / 6))),
        expression("empty texts", |n| array(n, "\"\"")),
        expression("bytes", |n| format!("[\"bytes\",\"{}\"]", "AAAA".repeat(n / 4))),
        expression("many bytes", |n| array(n, "[\"bytes\",\"AA==\"]")),
        expression("typed bytes", |n| array(n, "[\"bytes\",\"AAAA\",\"Uint8ClampedArray\"]")),
        expression("big integers", |n| array(n, "[\"bigint\",\"1\"]")),
        expression("long big integers", |n| array(n, &format!("[\"bigint\",\"{}\"]", "9".repeat(1000)))),
        expression("dates", |n| array(n, "[\"date\",0]")),
        expression("undefined", |n| array(n, "[\"undefined\"]")),
        expression("not a number", |n| array(n, "[\"nan\"],[\"inf\"],[\"-inf\"]")),
        expression("errors", |n| array(n, "[\"error\",\"Error\",\"\"]")),
        expression("an error with a long message", |n| {
            format!("[\"error\",\"Error\",\"{}\"]", "\\u0007".repeat(n / 6))
        }),
        expression("an error with a stack", |n| {
            format!("[\"error\",\"TypeError\",\"m\",\"{}\"]", "at x\\n".repeat(n / 6))
        }),
        expression("an error with properties", |n| {
            format!(
                "[\"error\",\"Error\",\"m\",null,{{{}}}]",
                numbered(n, 12, |at| format!("\"k{at:06}\":1"))
            )
        }),
        expression("errors in errors", |n| {
            let inside = "[\"error\",\"E\",\"m\",null,{\"cause\":".repeat(60);
            array(n, &format!("{inside}1{}", "}]".repeat(60)))
        }),
        expression("headers", |n| format!("[\"headers\",[{}]]", list(n, "[\"a\",\"b\"]"))),
        expression("other headers", |n| {
            format!("[\"headers\",[{}]]", numbered(n, 16, |at| format!("[\"a{at:06}\",\"b\"]")))
        }),
        expression("many headers", |n| array(n, "[\"headers\",[]]")),
        expression("a url", |n| format!("[\"url\",\"http://a/{}\"]", "x".repeat(n))),
        expression("a url of dots", |n| format!("[\"url\",\"http://a/{}\"]", "x/../".repeat(n / 5))),
        expression("many urls", |n| array(n, "[\"url\",\"http://a/\"]")),
        expression("functions", |n| {
            format!("[[{}]]", numbered(n, 18, |at| format!("[\"export\",-{}]", at + 1_000_000)))
        }),
        expression("the same function", |n| array(n, "[\"export\",-1]")),
        expression("promises", |n| {
            format!("[[{}]]", numbered(n, 18, |at| format!("[\"promise\",-{}]", at + 1_000_000)))
        })
        .refused(),
        expression("our own", |n| array(n, "[\"import\",0]")),
        expression("members of our own", |n| array(n, "[\"import\",0,[\"echo\"]]")).only(Taken::Few),
        expression("properties of our own", |n| array(n, "[\"pipeline\",0,[\"echo\"]]")).only(Taken::Few),
        expression("a long path", |n| format!("[\"pipeline\",0,[{}]]", list(n, "\"a\""))).refused(),
        expression("a path of long names", |n| format!("[\"pipeline\",0,[\"{}\"]]", "a".repeat(n)))
            .only(Taken::AsArgument),
        expression("calls in a value", |n| array(n, "[\"pipeline\",0,[\"ignore\"],[]]")).only(Taken::Few),
        expression("a map", |n| format!("[\"remap\",0,[],[],[{}]]", list(n, "[\"pipeline\",0,[]]"))),
        expression("a map with references", |n| {
            format!("[\"remap\",0,[],[],[[[{}]]]]", list(n, "[\"pipeline\",0]"))
        }),
        expression("nothing known", |n| format!("[\"{}\"]", "x".repeat(n))).refused(),
        expression("too many brackets", |n| "[".repeat(n)).refused(),
        expression("a number without an end", |n| "9".repeat(n)),
        expression("white space", |n| format!("{}1", " ".repeat(n))),
    ]
}

const LIST: &str = "{\"type\":2,\"id\":";

fn capnode() -> Vec<Construct> {
    fn one(link: String, first: usize) -> (Vec<String>, String) {
        let kind = if link.starts_with('[') { 2 } else { 0 };
        (vec![link], format!("{{\"type\":{kind},\"id\":{first}}}"))
    }
    /// Many links, and a list of pointers at them before.
    fn many(
        n: usize,
        length: usize,
        kind: usize,
        first: usize,
        link: impl Fn(usize) -> String,
    ) -> (Vec<String>, String) {
        let count = (n / length).max(1);
        let pointers: Vec<_> =
            (1..=count).map(|at| format!("{{\"type\":{kind},\"id\":{}}}", first + at)).collect();
        let mut links = vec![format!("[{}]", pointers.join(","))];
        links.extend((0..count).map(link));
        (links, format!("{LIST}{first}}}"))
    }
    vec![
        table("numbers", |n, first| one(format!("[{}]", list(n, "0")), first)),
        table("words", |n, first| one(format!("[{}]", list(n, "true")), first)),
        table("nulls", |n, first| one(format!("[{}]", list(n, "null")), first)),
        table("a text", |n, _| (Vec::new(), format!("\"{}\"", "x".repeat(n)))),
        table("a text of escapes", |n, _| (Vec::new(), format!("\"{}\"", "\\u0000".repeat(n / 6)))),
        table("texts", |n, first| one(format!("[{}]", list(n, "\"\"")), first)),
        table("members", |n, first| {
            one(format!("{{{}}}", numbered(n, 12, |at| format!("\"k{at:06}\":1"))), first)
        }),
        table("the same member", |n, first| one(format!("{{{}}}", list(n, "\"k\":1")), first)),
        table("lists", |n, first| many(n, 24, 2, first, |_| "[]".to_owned())),
        table("records", |n, first| many(n, 24, 0, first, |_| "{}".to_owned())),
        table("functions", |n, first| many(n, 42, 1, first, |at| format!("\"f{at:018}\""))),
        table("functions that are repeated", |n, first| many(n, 24, 1, first, |_| "\"f\"".to_owned())),
        table("the same list", |n, first| {
            let pointer = format!("{LIST}{}}}", first + 1);
            (vec![format!("[{}]", list(n, &pointer)), "[1]".to_owned()], format!("{LIST}{first}}}"))
        }),
        table("the same function", |n, first| {
            let pointer = format!("{{\"type\":1,\"id\":{}}}", first + 1);
            (vec![format!("[{}]", list(n, &pointer)), "\"f\"".to_owned()], format!("{LIST}{first}}}"))
        }),
        table("lists of each other", |n, first| {
            // Each holds the next one twice: unfolded, there would be no end of it.
            let count = (n / 46).max(1);
            let pointer = |at| format!("{LIST}{}}}", first + at % count);
            ((0..count).map(|at| format!("[{0},{0}]", pointer(at + 1))).collect(), pointer(0))
        })
        .only(Taken::In),
        table("a chain", |n, first| {
            let count = (n / 24).max(1);
            let mut links: Vec<_> = (1..count).map(|at| format!("[{LIST}{}}}]", first + at)).collect();
            links.push("[]".to_owned());
            (links, format!("{LIST}{first}}}"))
        })
        .refused(),
        table("a list that holds itself", |n, first| {
            one(format!("[{}]", list(n, &format!("{LIST}{first}}}"))), first)
        }),
        table("records of functions", |n, first| {
            let count = (n / 60).max(1);
            let pointers: Vec<_> =
                (1..=count).map(|at| format!("{{\"type\":0,\"id\":{}}}", first + at)).collect();
            let mut links = vec![format!("[{}]", pointers.join(","))];
            links
                .extend((0..count).map(|_| format!("{{\"f\":{{\"type\":1,\"id\":{}}}}}", first + count + 1)));
            links.push("\"f\"".to_owned());
            (links, format!("{LIST}{first}}}"))
        }),
        table("pointers at nothing", |n, first| {
            one(format!("[{}]", list(n, "{\"type\":2,\"id\":999999}")), first)
        }),
        table("links that nothing points at", |n, _| (vec![list(n, "[]")], "1".to_owned())),
        table("values in the place of pointers", |n, first| one(format!("[{}]", nested(n, 100)), first)),
        table("too many brackets", |n, _| (Vec::new(), "[".repeat(n))).refused(),
    ]
}

fn q() -> Vec<Construct> {
    vec![
        tree("numbers", |n, _| format!("[{}]", list(n, "0"))),
        tree("nulls", |n, _| format!("[{}]", list(n, "null"))),
        tree("a text", |n, _| format!("\"{}\"", "x".repeat(n))),
        tree("a text of escapes", |n, _| format!("\"{}\"", "\\u0000".repeat(n / 6))),
        tree("empty arrays", |n, _| format!("[{}]", list(n, "[]"))),
        tree("empty objects", |n, _| format!("[{}]", list(n, "{}"))),
        tree("arrays in arrays", |n, _| format!("[{}]", nested(n, 100))),
        tree("objects in objects", |n, _| format!("[{}]", nested_objects(n, 100))),
        tree("members", |n, _| format!("{{{}}}", numbered(n, 12, |at| format!("\"k{at:06}\":1")))),
        tree("the same member", |n, _| format!("{{{}}}", list(n, "\"k\":1"))),
        tree("escaped members", |n, _| {
            format!("{{{}}}", numbered(n, 14, |at| format!("\"\\\\@{at:06}\":1")))
        }),
        tree("special numbers", |n, _| format!("[{}]", list(n, "{\"%\":\"NaN\"}"))),
        tree("undefined", |n, _| format!("[{}]", list(n, "{\"%\":\"undefined\"}"))),
        tree("rejections", |n, _| format!("[{}]", list(n, "{\"!\":{\"message\":\"\"}}"))),
        tree("functions", |n, _| {
            format!("[{}]", numbered(n, 40, |at| format!("{{\"@\":\"f{at:08}\",\"type\":\"function\"}}")))
        }),
        tree("the same function", |n, _| format!("[{}]", list(n, "{\"@\":\"f\",\"type\":\"function\"}"))),
        tree("objects by reference", |n, _| {
            format!("[{}]", numbered(n, 20, |at| format!("{{\"@\":\"o{at:08}\"}}")))
        }),
        tree("our own", |n, _| format!("[{}]", list(n, "{\"@l\":\"\"}"))),
        tree("the same array", |n, path| format!("[[1],{}]", list(n, &format!("{{\"$\":\"{path}/0\"}}")))),
        tree("an array that holds itself", |n, path| {
            format!("[{}]", list(n, &format!("{{\"$\":\"{path}\"}}")))
        }),
        tree("arrays that hold each other", |n, path| {
            let count = (n / 30).max(1);
            let at = |at: usize| format!("{{\"$\":\"{path}/{}\"}}", at % count);
            format!(
                "[{}]",
                (0..count).map(|one| format!("[{0},{0}]", at(one + 1))).collect::<Vec<_>>().join(",")
            )
        })
        .only(Taken::In),
        tree("references to references", |n, path| {
            let count = (n / 14).max(1);
            let at = |at: usize| format!("{{\"$\":\"{path}/{at}\"}}");
            format!("[[],{}]", (0..count).map(at).collect::<Vec<_>>().join(","))
        }),
        tree("references to nothing", |n, _| format!("[{}]", list(n, "{\"$\":\"/nowhere\"}"))),
        tree("many under a long key", |n, path| {
            let (key, inside) = ("k".repeat(n / 2), list(n / 2, "[]"));
            format!("{{\"{key}\":[{inside}],\"b\":{{\"$\":\"{path}/b\"}}}}")
        }),
        tree("many shared under a long key", |n, path| {
            // The value behind the long key is first seen there, and named by a short path from then on.
            let key = "k".repeat(n / 2);
            let one = format!("{{\"$\":\"{path}/b\"}}");
            format!("{{\"{key}\":{{\"$\":\"{path}/b\"}},\"b\":[[],{}]}}", list(n / 2, &one))
        })
        .only(Taken::In),
        tree("many that are one under a long key", |n, path| {
            let key = "k".repeat(n / 2);
            let first = format!("{{\"$\":\"{path}/{key}\"}}");
            format!(
                "{{\"{key}\":[],\"b\":{first},\"c\":[{}]}}",
                list(n / 4, &format!("{{\"$\":\"{path}/b\"}}"))
            )
        }),
        tree("many inside a shared one with a long key", |n, path| {
            let (key, count) = ("k".repeat(n / 3), n / 3 / 40);
            let inside = list(n / 3, "[]");
            let paths: Vec<_> = (0..count).map(|at| format!("{{\"$\":\"{path}/b/{at}\"}}")).collect();
            format!("{{\"b\":[{inside}],\"{key}\":{{\"$\":\"{path}/b\"}},\"c\":[{}]}}", paths.join(","))
        }),
        tree("a path of many steps", |n, path| format!("[{{\"$\":\"{path}{}\"}}]", "/a".repeat(n / 2))),
        tree("too many brackets", |n, _| "[".repeat(n)).refused(),
    ]
}
