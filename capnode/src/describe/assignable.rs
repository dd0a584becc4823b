//! Types of the user's that have changed, compared by the compiler of TypeScript.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::process::Command;
use std::{env, fs, io};

use super::form::Description;
use crate::runtime::random;

/// The variable that names the compiler.
const COMPILER: &str = "CAPNODE_TSC";

const OPTIONS: &[&str] = &[
    "--strict",
    "--exactOptionalPropertyTypes",
    "--noEmit",
    "--skipLibCheck",
    "--pretty",
    "false",
    "--target",
    "esnext",
    "--lib",
    "esnext,dom",
];

/// A value of one side that the other reads.
pub(super) struct Question {
    /// 0 for the earlier description.
    pub(super) sender: usize,
    pub(super) sent: String,
    pub(super) read: String,
    pub(super) place: String,
}

/// Returns the places where a value that is sent is none of the type that is read.
pub(super) fn assignable(sides: [&Description; 2], questions: Vec<Question>) -> Vec<String> {
    if questions.is_empty() {
        return Vec::new();
    }
    let answers = program(sides, &questions).and_then(|(text, first)| {
        let refused = refused(&text)?;
        // A type that is not known would fit everything.
        match refused.iter().find(|(line, _)| *line < first) {
            Some((_, why)) => Err(format!("the types do not compile: {why}")),
            None => Ok((refused, first)),
        }
    });
    let all = questions.into_iter().enumerate();
    let reported = all.filter_map(|(at, question)| {
        let Question { sent, read, place, .. } = question;
        match &answers {
            Ok((refused, first)) => {
                let reason = refused.iter().find(|(line, _)| *line == first + at)?.1.as_str();
                Some(format!("{place}: `{sent}` is sent, and `{read}` is read, but {reason}"))
            }
            Err(reason) => Some(format!("{place}: `{read}` has changed, and {reason}")),
        }
    });
    reported.collect()
}

/// Returns a program with a line for each question, and the number of the first of these lines.
fn program(sides: [&Description; 2], questions: &[Question]) -> Result<(String, usize), String> {
    let mut text = "interface RpcTarget {}\ntype RpcStub<T> = T;\n".to_owned();
    for (side, description) in sides.iter().enumerate() {
        let types = description.typescript()?;
        let types = types.lines().filter(|line| !line.starts_with("import "));
        _ = writeln!(text, "declare namespace Side{side} {{\n{}", types.collect::<Vec<_>>().join("\n"));
        for (at, Question { sender, sent, read, .. }) in questions.iter().enumerate() {
            _ = writeln!(text, "export type Asked{at} = {};", if *sender == side { sent } else { read });
        }
        text.push_str("}\n");
    }
    let first = text.lines().count() + 1;
    for (at, Question { sender, .. }) in questions.iter().enumerate() {
        let reader = 1 - sender;
        _ = writeln!(
            text,
            "export const asked{at}: Side{reader}.Asked{at} = null! as Side{sender}.Asked{at};"
        );
    }
    Ok((text, first))
}

/// Compiles a program, and returns the lines that the compiler refuses, each with what it says.
fn refused(program: &str) -> Result<Vec<(usize, String)>, String> {
    // Others may write to that folder: the name cannot be guessed, and nothing that is there already is followed.
    let file = env::temp_dir().join(format!("capnode-changes-{:016x}.ts", random::number()));
    File::create_new(&file)
        .and_then(|mut opened| opened.write_all(program.as_bytes()))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let compiler = env::var_os(COMPILER).unwrap_or_else(|| "tsc".into());
    let output = Command::new(compiler).args(OPTIONS).arg(&file).output();
    let _gone = fs::remove_file(&file);
    let output = output.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no `tsc` to compare it: {COMPILER} names one"),
        _ => format!("`tsc` cannot be started: {error}"),
    })?;
    let said = String::from_utf8_lossy(&output.stdout);
    // Lines that belong to the one before begin with space.
    let errors: Option<Vec<_>> = said.lines().filter(|line| line.contains(": error TS")).map(error).collect();
    match errors {
        Some(errors) if output.status.success() || !errors.is_empty() => Ok(errors),
        _ => Err(format!("`tsc` fails: {}", said.lines().next().unwrap_or_default())),
    }
}

/// Reads `name.ts(12,7): error TS2322: Type ..`.
fn error(line: &str) -> Option<(usize, String)> {
    let (place, message) = line.split_once("): error ")?;
    let (_, place) = place.rsplit_once('(')?;
    let (line, _) = place.split_once(',')?;
    let (_, message) = message.split_once(": ")?;
    Some((line.parse().ok()?, message.trim_end_matches('.').to_owned()))
}
