//! A recording as a plan: the messages to the node, those expected from it, and its program's actions.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use capnode::Value;
use capnode_tests::recordings::{
    Line, Recording,
    json::{form, same, value},
    parse,
};
use serde_json::{Value as Json, json};

use crate::case::{Case, Program, Why};
use capnode_tests::recordings::objects::Thrown;

/// A step of a recording that has been put into our terms.
#[derive(Debug)]
pub enum Step {
    /// The program makes a call, whose result is number `id`.
    Make {
        id: i64,
        expression: Json,
        awaited: bool,
    },
    /// The program lets go of something.
    LetGo(i64),
    /// The node sends this.
    Expect(Json),
    /// The peer sends this.
    Play {
        text: String,
        message: Json,
    },
    Event(Json),
}

enum Parsed {
    Frame { ours: bool, text: String, message: Json },
    Event(Json),
}

impl Parsed {
    fn ours(&self) -> Option<&Json> {
        match self {
            Parsed::Frame { ours: true, message, .. } => Some(message),
            _ => None,
        }
    }

    fn theirs(&self) -> Option<&Json> {
        match self {
            Parsed::Frame { ours: false, message, .. } => Some(message),
            _ => None,
        }
    }
}

/// The kind of a message, and the id that comes next, if one does.
pub fn kind(message: &Json) -> (&str, i64) {
    let (kind, rest) = form(message).unwrap_or_default();
    (kind, rest.first().and_then(Json::as_i64).unwrap_or_default())
}

fn is_answer(message: &Json, to: i64) -> bool {
    matches!(kind(message), ("resolve" | "reject", id) if id == to)
}

/// A recording in our terms.
#[derive(Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// The answers of this side's callbacks.
    pub answers: VecDeque<Result<Value, Thrown>>,
    /// The references that npm's program has not disposed of.
    pub left_behind: BTreeSet<i64>,
    /// The number of this side's objects that were disposed of.
    pub disposed: usize,
}

pub fn plan(recording: &Recording, case: &Case) -> Result<Plan, String> {
    let mut lines = Vec::new();
    for line in &recording.lines {
        lines.push(match line {
            Line::Frame { from, text } => {
                Parsed::Frame { ours: *from == case.rust, text: text.clone(), message: parse(text)? }
            }
            Line::Event(event) => Parsed::Event(event.clone()),
        });
    }
    cut(&mut lines, case)?;
    substitute(&mut lines, case)?;
    if case.also.contains(&Why::OneCallFails) {
        go_on(&mut lines)?;
    }
    if case.also.contains(&Why::WholeValues) {
        make_whole(&mut lines)?;
    }
    let mut plan = Plan { answers: recorded_answers(&lines), ..Plan::default() };
    let otherwise = case.seen.iter().map(|(call, ..)| call).chain(case.unsent.iter().map(|(call, ..)| call));
    for call in otherwise.chain(case.not_in_rust.iter().map(|(call, _)| call)) {
        if !lines.iter().any(|line| matches!(line, Parsed::Event(event) if event["call"] == *call)) {
            return Err(format!("no event `{call}`"));
        }
    }

    let pulled: HashSet<_> = lines.iter().filter_map(Parsed::ours).map(kind).collect();
    let pulled = |id| pulled.contains(&("pull", id));
    let program = !matches!(case.program, Program::Served);
    let (mut number, mut answered, mut unwanted) = (0, HashSet::new(), Vec::new());
    let steps = &mut plan.steps;
    for line in &lines {
        // These have numbers, too.
        number += i64::from(line.ours().is_some_and(|message| matches!(kind(message).0, "pipe" | "stream")));
        let (message, text) = match line {
            Parsed::Event(event) => {
                let ours = event["event"] == "disposed" && event["side"] == case.rust.name();
                plan.disposed += usize::from(ours);
                steps.push(Step::Event(event.clone()));
                continue;
            }
            Parsed::Frame { ours: false, text, message } => (message, Some(text)),
            Parsed::Frame { ours: true, message, .. } => (message, None),
        };
        if let Some(text) = text {
            steps.push(Step::Play { text: text.clone(), message: message.clone() });
            if let ("resolve" | "reject", id) = kind(message) {
                if pulled(id) && answered.insert(id) {
                    steps.push(Step::Expect(json!(["release", id, 1])));
                }
                if program {
                    lent(message, &mut plan.left_behind);
                }
            }
            continue;
        }
        match kind(message) {
            ("push", _) => {
                number += 1;
                let (expression, awaited) = (message[1].clone(), pulled(number));
                if let Program::Recorded = case.program {
                    steps.push(Step::Make { id: number, expression: expression.clone(), awaited });
                }
                if program && !awaited {
                    plan.left_behind.insert(number);
                }
                steps.push(Step::Expect(json!(["push", expression])));
                if awaited || !program {
                    steps.push(Step::Expect(json!(["pull", number])));
                }
                if !program && !awaited {
                    unwanted.push(number);
                }
            }
            ("pull", id) if (1..=number).contains(&id) => {}
            ("release", id) if pulled(id) => {
                if message[2] != 1 {
                    return Err(format!("{message} gives back more than one"));
                }
                if answered.insert(id) {
                    steps.push(Step::LetGo(id));
                    steps.push(Step::Expect(message.clone()));
                }
            }
            ("release", id) => {
                plan.left_behind.remove(&id);
                steps.push(Step::LetGo(id));
                steps.push(Step::Expect(message.clone()));
            }
            _ => steps.push(Step::Expect(message.clone())),
        }
    }
    // Calls that a handler does not await may be answered at any time.
    for id in &unwanted {
        let message = json!(["resolve", id, ["undefined"]]);
        steps.push(Step::Play { text: message.to_string(), message });
    }
    steps.extend(unwanted.iter().map(|id| Step::Expect(json!(["release", id, 1]))));
    if unwanted.is_empty() == case.also.contains(&Why::UnwantedResults) {
        return Err("whether results are unwanted is not as the table says".to_owned());
    }
    if case.also.contains(&Why::DroppedOnce) && plan.disposed < 2 {
        return Err("nothing is disposed of twice".to_owned());
    }
    Ok(plan)
}

/// Notes the references that the peer lends in an answer.
fn lent(expression: &Json, ids: &mut BTreeSet<i64>) {
    match (kind(expression), expression) {
        (("export", id), _) => drop(ids.insert(id)),
        (_, Json::Array(elements)) => elements.iter().for_each(|element| lent(element, ids)),
        (_, Json::Object(members)) => members.values().for_each(|member| lent(member, ids)),
        _ => {}
    }
}

/// Leaves out everything after the last played line.
fn cut(lines: &mut Vec<Parsed>, case: &Case) -> Result<(), String> {
    if let Some((call, why)) = case.until {
        let last = |line: &Parsed| matches!(line, Parsed::Event(event) if event["call"] == call);
        let at = lines.iter().position(last).ok_or_else(|| format!("no event `{call}` ({why:?})"))?;
        if at + 1 == lines.len() {
            return Err(format!("nothing comes after `{call}` ({why:?})"));
        }
        lines.truncate(at + 1);
    }
    Ok(())
}

/// Takes out how the session ended.
fn go_on(lines: &mut Vec<Parsed>) -> Result<(), String> {
    let before = lines.len();
    lines.retain(|line| match line {
        Parsed::Frame { .. } => line.ours().is_none_or(|message| kind(message).0 != "abort"),
        Parsed::Event(event) => event["event"] != "ws-close",
    });
    if lines.len() == before { Err("the session goes on anyhow".to_owned()) } else { Ok(()) }
}

/// Puts the node's messages in the place of npm's, where the table says so.
fn substitute(lines: &mut Vec<Parsed>, case: &Case) -> Result<(), String> {
    for instead in &case.instead {
        let recorded = |line: &Parsed| line.ours().is_some_and(|line| same(line, &instead.recorded));
        let unneeded = || format!("{} does not occur ({:?})", instead.recorded, instead.why);
        let at = lines.iter().position(recorded).ok_or_else(unneeded)?;
        match &instead.ours {
            Some(ours) if same(ours, &instead.recorded) => return Err(format!("{ours} is no difference")),
            Some(ours) => {
                lines[at] = Parsed::Frame { ours: true, text: String::new(), message: ours.clone() }
            }
            None => drop(lines.remove(at)),
        }
    }
    Ok(())
}

/// Replaces the promises in our answers by what came of them, and numbers our exports without them.
fn make_whole(lines: &mut Vec<Parsed>) -> Result<(), String> {
    let mut outcomes = HashMap::new();
    for message in lines.iter().filter_map(Parsed::ours) {
        if let ("resolve" | "reject", id @ ..0) = kind(message) {
            outcomes.insert(id, message.clone());
        }
    }
    if outcomes.is_empty() {
        return Err("there are no promises to be replaced".to_owned());
    }
    lines.retain(|line| {
        let of_promise = |message: &Json, kinds: &[&str]| {
            let (kind, id) = kind(message);
            kinds.contains(&kind) && outcomes.contains_key(&id)
        };
        !line.ours().is_some_and(|message| of_promise(message, &["resolve", "reject"]))
            && !line.theirs().is_some_and(|message| of_promise(message, &["release"]))
    });
    let mut exports = 0;
    for line in lines {
        let Parsed::Frame { ours: true, message, .. } = line else { continue };
        let mut failed = None;
        replace_promises(message, &outcomes, &mut exports, &mut failed);
        if let Some(reason) = failed {
            *message = json!(["reject", message[1], reason]);
        }
    }
    Ok(())
}

fn replace_promises(
    expression: &mut Json,
    outcomes: &HashMap<i64, Json>,
    exports: &mut i64,
    failed: &mut Option<Json>,
) {
    match kind(expression) {
        ("promise", id) => match outcomes.get(&id) {
            Some(outcome) if kind(outcome).0 == "resolve" => {
                *expression = outcome[2].clone();
                replace_promises(expression, outcomes, exports, failed);
            }
            Some(outcome) => *failed = Some(outcome[2].clone()),
            None => *failed = Some(json!("a promise without an outcome")),
        },
        ("export", _) => {
            *exports -= 1;
            *expression = json!(["export", exports]);
        }
        _ => match expression {
            Json::Array(elements) => {
                elements.iter_mut().for_each(|element| replace_promises(element, outcomes, exports, failed));
            }
            Json::Object(members) => {
                members.values_mut().for_each(|member| replace_promises(member, outcomes, exports, failed));
            }
            _ => {}
        },
    }
}

/// Returns the answers of this side's callbacks, in the order of the peer's calls.
fn recorded_answers(lines: &[Parsed]) -> VecDeque<Result<Value, Thrown>> {
    let mut answers = VecDeque::new();
    let theirs = lines.iter().filter_map(Parsed::theirs);
    let calls = theirs.filter(|message| matches!(kind(message).0, "push" | "stream")).zip(1..);
    for (_, id) in calls.filter(|(call, _)| kind(&call[1]).1 < 0) {
        let answer = lines.iter().filter_map(Parsed::ours).find(|message| is_answer(message, id));
        answers.push_back(match answer {
            None => Ok(Value::Undefined),
            Some(answer) if kind(answer).0 == "reject" => {
                let text = |json: &Json| json.as_str().map(str::to_owned);
                let message = text(&answer[2]).or_else(|| text(&answer[2][2]));
                Err(Thrown(message.unwrap_or_default()))
            }
            Some(answer) => {
                value(&answer[2], &mut |_, _| None).ok_or_else(|| Thrown(format!("what {answer} says")))
            }
        });
    }
    answers
}
