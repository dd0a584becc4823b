//! Round trips of any value through each of the languages, which return it unchanged as far as they can say it.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::Index;

use super::testing::{Everything, shown};
use super::{capnode, q};
use crate::limits::Limits;
use crate::message::{CapDescriptor, Message, Path, Payload, ReturnMode, Slot, Text};

/// A value whose containers know each other by number, so that any of them may be in any.
#[derive(Clone, Debug)]
enum Leaf {
    Text(&'static str),
    Function(u8),
    Object(u8),
    To(Index),
}

#[derive(Clone, Debug)]
enum Container {
    List(Vec<Leaf>),
    Object(Vec<(&'static str, Leaf)>),
}

const KEYS: [&str; 12] = ["a", "b", "@", "$", "%x", "!", "a/b", r"\\", "", "é", "type", r"q\n/"];

fn leaf(texts: &'static [&'static str]) -> impl Strategy<Value = Leaf> {
    prop_oneof![
        3 => proptest::sample::select(texts).prop_map(Leaf::Text),
        1 => (1..4_u8).prop_map(Leaf::Function),
        1 => (4..6_u8).prop_map(Leaf::Object),
        3 => any::<Index>().prop_map(Leaf::To),
    ]
}

fn containers(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<Container>> {
    let list = proptest::collection::vec(leaf(texts), 0..5).prop_map(Container::List);
    let leaves = proptest::collection::vec(leaf(texts), KEYS.len());
    let object = (proptest::sample::subsequence(&KEYS[..], 0..5), leaves)
        .prop_map(|(keys, leaves)| Container::Object(keys.into_iter().zip(leaves).collect()));
    proptest::collection::vec(prop_oneof![list, object], 1..7)
}

/// The payload in which container 0 is the value, or the only argument.
struct Build<'a> {
    containers: &'a [Container],
    occurs: Vec<usize>,
    nodes: Vec<usize>,
    out: String,
    refs: Vec<Slot<CapDescriptor>>,
}

impl Build<'_> {
    fn payload(containers: &[Container], argument: bool) -> Payload<CapDescriptor> {
        let mut occurs = vec![0; containers.len()];
        let mut left = vec![0];
        while let Some(at) = left.pop() {
            occurs[at] += 1;
            if occurs[at] == 1 {
                let to = |leaf: &Leaf| match leaf {
                    Leaf::To(index) => Some(index.index(containers.len())),
                    _ => None,
                };
                match &containers[at] {
                    Container::List(leaves) => left.extend(leaves.iter().filter_map(to)),
                    Container::Object(members) => {
                        left.extend(members.iter().filter_map(|(_, leaf)| to(leaf)))
                    }
                }
            }
        }
        let mut build = Build { containers, occurs, nodes: Vec::new(), out: String::new(), refs: Vec::new() };
        build.out.push_str(if argument { "[" } else { "" });
        build.at(0);
        build.out.push_str(if argument { "]" } else { "" });
        let (root, mut ranges) = (build.out.len(), Vec::new());
        while ranges.len() < build.nodes.len() {
            let start = build.out.len();
            build.content(build.nodes[ranges.len()]);
            ranges.push(start..build.out.len());
        }
        let text = Text::Shared { frame: build.out.into(), start: 0, end: root };
        Payload { text, refs: build.refs.into(), nodes: ranges.into() }
    }

    fn at(&mut self, container: usize) {
        if self.occurs[container] < 2 {
            return self.content(container);
        }
        let node = self.nodes.iter().position(|node| *node == container).unwrap_or_else(|| {
            self.nodes.push(container);
            self.nodes.len() - 1
        });
        self.slot(CapDescriptor::Node(node));
    }

    fn slot(&mut self, to: CapDescriptor) {
        let at = self.out.len();
        self.refs.push(Slot { start: at, end: at, to });
    }

    fn leaf(&mut self, leaf: &Leaf) {
        match leaf {
            Leaf::Text(text) => self.out.push_str(text),
            Leaf::Function(id) => self.slot(CapDescriptor::SenderFunction(-i64::from(*id))),
            Leaf::Object(id) => self.slot(CapDescriptor::SenderHosted(-i64::from(*id))),
            Leaf::To(index) => self.at(index.index(self.containers.len())),
        }
    }

    fn content(&mut self, container: usize) {
        match &self.containers[container] {
            Container::List(leaves) => {
                self.out.push_str("[[");
                for (at, leaf) in leaves.iter().enumerate() {
                    self.out.push_str(if at > 0 { "," } else { "" });
                    self.leaf(leaf);
                }
                self.out.push_str("]]");
            }
            Container::Object(members) => {
                self.out.push('{');
                for (at, (key, leaf)) in members.iter().enumerate() {
                    write!(self.out, "{}\"{key}\":", if at > 0 { "," } else { "" }).unwrap();
                    self.leaf(leaf);
                }
                self.out.push('}');
            }
        }
    }
}

fn names() -> Everything {
    Everything { names: (1..8).map(|id| format!("f{id}").into()).collect(), calls: 0 }
}

/// Shows a payload with the names that both sides use: theirs are numbered as they come, ours are `f1`, `f2`, ….
fn named(mut payload: Payload<CapDescriptor>, name: impl Fn(i64) -> i64) -> String {
    for slot in &mut payload.refs {
        if let CapDescriptor::SenderFunction(id) | CapDescriptor::SenderHosted(id) = &mut slot.to {
            *id = name(*id);
        }
    }
    shown(&payload)
}

fn number(name: Option<&str>) -> i64 {
    -name.unwrap().trim_matches(['"', 'f']).parse::<i64>().unwrap()
}

const QUIET: &[&str] = &["1", "-2.5", "\"text\"", "\"\\ud800\"", "true"];
const ALL: &[&str] =
    &["1", "\"a\"", "null", "[\"undefined\"]", "[\"nan\"]", "[\"inf\"]", "[\"-inf\"]", "[[]]", "{}"];

macro_rules! through {
    ($language:ident, $payload:expr, $target:expr, $path:expr, $functions:expr) => {{
        let mut names = names();
        let (mut sender, mut receiver) = ($language::Codec::new(1), $language::Codec::new(2));
        let (payload, mut frame) = ($payload, String::new());
        let asked = r#"{"type":"index","methodId":"r"}"#;
        let asked = if stringify!($language) == "q" {
            r#"{"type":"send","to":"","from":"r","op":"when","args":[]}"#
        } else {
            asked
        };
        // As an answer: the receiver asked.
        let ask = Message::Call {
            id: 1,
            target: 0,
            path: Path::Empty,
            args: None,
            return_mode: ReturnMode::Streamed,
        };
        receiver.write(&ask, &mut names, &mut frame).unwrap();
        sender.parse(asked, &Limits::default(), &mut names).unwrap().unwrap();
        let mut answer = String::new();
        let outcome = Ok(payload.clone());
        sender.write(&Message::Answer { id: 1, outcome }, &mut names, &mut answer).unwrap();
        let id = frame.split('"').find(|part| part.len() > 19).unwrap();
        let answer = answer.replacen("\"r\"", &format!("\"{id}\""), 1);
        let read = receiver.parse(&answer, &Limits::default(), &mut names).unwrap();
        let Some(Message::Answer { id: 1, outcome: Ok(read) }) = read else { panic!("{answer}: {read:?}") };
        let name: fn(&$language::Codec, i64) -> Option<&str> = $functions;
        prop_assert_eq!(named(read, |id| number(name(&receiver, id))), named(payload, |id| id), "{}", answer);
    }};
}

proptest! {
    #[test]
    fn values_go_through_q_connection(containers in containers(ALL)) {
        through!(q, Build::payload(&containers, false), 0, Path::Empty, |codec, id| codec.lent_name(id));
    }

    #[test]
    fn arguments_go_through_q_connection(containers in containers(ALL)) {
        let mut names = names();
        let (mut sender, mut receiver) = (q::Codec::new(1), q::Codec::new(2));
        let args = Build::payload(&containers, true);
        let op = |args| Message::Call { id: 1, target: 0, path: Path::name("m"), args: Some(args), return_mode: ReturnMode::Streamed };
        let mut frame = String::new();
        sender.write(&op(args.clone()), &mut names, &mut frame).unwrap();
        let read = receiver.parse(&frame, &Limits::default(), &mut names).unwrap();
        let Some(Message::Call { args: Some(read), .. }) = read else { panic!("{frame}") };
        prop_assert_eq!(named(read, |id| number(receiver.lent_name(id))), named(args, |id| id), "{}", frame);
    }

    #[test]
    fn values_go_through_capnode(containers in containers(QUIET)) {
        // There are only functions.
        let mut payload = Build::payload(&containers, false);
        for slot in &mut payload.refs {
            if let CapDescriptor::SenderHosted(id) = slot.to {
                slot.to = CapDescriptor::SenderFunction(id);
            }
        }
        through!(capnode, payload, 0, Path::Empty, |codec, id| codec.lent_name(id));
    }
}
