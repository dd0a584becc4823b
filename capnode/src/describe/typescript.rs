//! Descriptions as TypeScript, as it is natural to a user of npm's `capnweb`.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

use super::form::{Description, InterfaceDescription, MemberDescription, Type};
use super::wire_form::{key_type, thrown_before};

/// The variable by which a file is written, not compared.
pub(super) const WRITE: &str = "CAPNODE_WRITE";

/// Words that no parameter may have as its name.
const RESERVED: &[&str] = &[
    "arguments",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "eval",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "var",
    "void",
    "while",
    "with",
    "yield",
];

/// Names that TypeScript or the file itself has.
const TAKEN: &[&str] = &[
    "any",
    "Array",
    "bigint",
    "Blob",
    "boolean",
    "Date",
    "Error",
    "Extract",
    "Headers",
    "never",
    "number",
    "Promise",
    "ReadableStream",
    "Record",
    "Request",
    "Response",
    "RpcStub",
    "RpcTarget",
    "string",
    "Uint8Array",
    "undefined",
    "unknown",
    "URL",
    "WritableStream",
];

impl Description {
    /// Returns the interfaces and types in TypeScript.
    ///
    /// # Errors
    ///
    /// If two interfaces or types have one name, or a name that TypeScript has.
    pub fn typescript(&self) -> Result<String, String> {
        let names = self.interfaces.iter().map(|it| &it.name).chain(self.types.iter().map(|it| &it.name));
        let taken = names.filter(|name| TAKEN.contains(&name.as_str()));
        let taken = taken.map(|name| format!("`{name}` is a name of TypeScript's: give it another name"));
        let problems: Vec<_> = self.problems.iter().cloned().chain(taken).collect();
        if !problems.is_empty() {
            return Err(problems.join("\n"));
        }
        let mut out = String::from("// Made by capnode from interfaces in Rust. Do not edit.\n");
        for warning in &self.warnings {
            _ = writeln!(out, "// {}", warning.replace('\n', " "));
        }
        let mut all = String::new();
        for declaration in &self.types {
            _ = write!(all, "\n{}export {}\n", declaration.docs, declaration.text);
        }
        for interface in &self.interfaces {
            interface.write(&mut all);
        }
        // One that is not used would be a mistake to some.
        let stub = if all.contains("RpcStub<") { "RpcStub, " } else { "" };
        _ = writeln!(out, "import type {{ {stub}RpcTarget }} from \"capnweb\";");
        Ok(out + &all)
    }

    /// Checks that a file is the TypeScript of the interfaces. Call it in a test, or in the build script of another
    /// crate than that of the interfaces. If the variable `CAPNODE_WRITE` is set, it writes the file.
    ///
    /// # Errors
    ///
    /// If the file is another, with the lines that differ, or cannot be read or written, and for the reasons of
    /// [`typescript`](Self::typescript).
    pub fn check_typescript(&self, path: impl AsRef<Path>) -> Result<(), String> {
        checked(path.as_ref(), &self.typescript()?)
    }
}

/// Compares a file with what it should be, or writes it.
pub(super) fn checked(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let found = match fs::read_to_string(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    if found == text {
        return Ok(());
    }
    if env::var_os(WRITE).is_some() {
        return fs::write(path, text).map_err(failed);
    }
    Err(format!("{} is stale: set {WRITE}=1 to write it\n{}", path.display(), difference(&found, text)))
}

/// Returns the lines in which two texts differ, without what they begin and end with alike.
fn difference(was: &str, is: &str) -> String {
    let (was, is): (Vec<_>, Vec<_>) = (was.lines().collect(), is.lines().collect());
    let start = was.iter().zip(&is).take_while(|(was, is)| was == is).count();
    let ends = was[start..].iter().rev().zip(is[start..].iter().rev());
    let end = ends.take_while(|(was, is)| was == is).count();
    let mut out = format!("from line {}\n", start + 1);
    let lines = |lines: &[&str]| {
        lines[start..lines.len() - end].iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()
    };
    lines(&was).into_iter().for_each(|line| out.extend(["- ", &line, "\n"]));
    lines(&is).into_iter().for_each(|line| out.extend(["+ ", &line, "\n"]));
    out
}

impl InterfaceDescription {
    fn write(&self, out: &mut String) {
        out.push('\n');
        comment(out, "", &self.docs, None);
        let extends = if self.extends.is_empty() { "RpcTarget".to_owned() } else { self.extends.join(", ") };
        _ = writeln!(out, "export interface {} extends {extends} {{", self.name);
        for member in &self.members {
            member.write(out);
        }
        out.push_str("}\n");
    }
}

impl MemberDescription {
    fn write(&self, out: &mut String) {
        comment(out, "  ", &self.docs, self.error.as_ref().and_then(thrown).as_deref());
        let name = if is_name(&self.name) { self.name.clone() } else { format!("{:?}", self.name) };
        let result = promise(&self.result);
        if self.property {
            _ = writeln!(out, "  readonly {name}: {result};");
            return;
        }
        let types: Vec<_> = self.arguments.iter().map(|argument| &argument.ty).collect();
        let names = self.arguments.iter().map(|argument| match argument.name.trim_start_matches('_') {
            name if RESERVED.contains(&name) || !is_name(name) => format!("{}_", argument.name),
            name => name.to_owned(),
        });
        _ = writeln!(out, "  {name}({}): {result};", parameters(names, &types));
    }
}

/// Returns the type of an error, if it is not only a message.
fn thrown(error: &Type) -> Option<String> {
    match error {
        Type::Known(name) if name == "Error" => Some("Error".to_owned()),
        error => Some(format!("Error & {{ data: {error} }}")),
    }
}

fn comment(out: &mut String, indent: &str, docs: &str, thrown: Option<&str>) {
    let thrown = thrown.map(|error| format!("@throws {{{error}}}"));
    let docs = docs.replace("*/", "*\\/");
    let lines: Vec<_> = docs.lines().chain(thrown.as_deref()).collect();
    match &lines[..] {
        [] => {}
        [line] => _ = writeln!(out, "{indent}/** {line} */"),
        lines => {
            _ = writeln!(out, "{indent}/**");
            for line in lines {
                _ = writeln!(out, "{}", format!("{indent} * {line}").trim_end());
            }
            _ = writeln!(out, "{indent} */");
        }
    }
}

fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '$');
    starts && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

fn promise(ty: &Type) -> String {
    format!("Promise<{}>", returned(ty))
}

fn returned(ty: &Type) -> String {
    match ty {
        Type::Known(name) if name == "()" => "void".to_owned(),
        ty => ty.typescript(),
    }
}

/// Writes parameters. References are stubs there, and options at the end may be left out.
fn parameters(names: impl Iterator<Item = String>, types: &[&Type]) -> String {
    let needed = types.iter().rposition(|ty| !matches!(ty, Type::Option(_))).map_or(0, |last| last + 1);
    let parameters = names.zip(types).enumerate().map(|(at, (name, ty))| {
        let mark = if at < needed { "" } else { "?" };
        format!("{name}{mark}: {}", ty.parameter())
    });
    parameters.collect::<Vec<_>>().join(", ")
}

impl Type {
    /// Returns the type as a parameter of a method or function has it.
    fn parameter(&self) -> String {
        match self {
            Self::Interface(name) => format!("RpcStub<{name}>"),
            // An argument that is a function may return at once.
            Self::Function { arguments, result, error } => {
                let result = match returned(result).as_str() {
                    "void" => "void".to_owned(),
                    result => format!("{result} | Promise<{result}>"),
                };
                format!("RpcStub<{}>", function(arguments, &result, error.as_deref()))
            }
            Self::Option(ty) => format!("{} | null", ty.parameter()),
            other => other.typescript(),
        }
    }

    /// Returns the type as it stands in results, records and lists.
    pub(super) fn typescript(&self) -> String {
        match self {
            Self::Known(name) => known(name).to_owned(),
            Self::Unknown(_) => "unknown".to_owned(),
            Self::Declared(name) | Self::Interface(name) => name.clone(),
            Self::Option(ty) => format!("{} | null", ty.within()),
            Self::List(ty) => format!("{}[]", ty.within()),
            Self::Map(key, value) => match key_type(&key.typescript()) {
                // Each key that the type names may be missing.
                key if key.starts_with(['E', '"']) => format!("{{ [key in {key}]?: {value} }}"),
                key => format!("Record<{key}, {value}>"),
            },
            Self::Tuple(parts) => tuple(&mut parts.iter()),
            Self::Array(ty, len) if *len <= 16 => tuple(&mut (0..*len).map(|_| &**ty)),
            Self::Array(ty, _) => format!("{}[]", ty.within()),
            Self::Result(ok, error) => format!("{{ Ok: {ok} }} | {{ Err: {error} }}"),
            Self::Function { arguments, result, error } => {
                function(arguments, &promise(result), error.as_deref())
            }
            Self::Reader(ty) => format!("ReadableStream<{ty}>"),
            Self::Writer(ty) => format!("WritableStream<{ty}>"),
        }
    }

    /// Returns the type in brackets, unless it stands by itself.
    fn within(&self) -> String {
        let text = self.typescript();
        let is_alone = text.chars().all(|c| c.is_alphanumeric() || "_$<>.".contains(c));
        if is_alone { text } else { format!("({text})") }
    }
}

fn tuple(parts: &mut dyn Iterator<Item = &Type>) -> String {
    format!("[{}]", parts.map(Type::typescript).collect::<Vec<_>>().join(", "))
}

fn function(arguments: &[Type], result: &str, error: Option<&Type>) -> String {
    let error = error.map_or_else(String::new, |error| thrown_before(&error.to_string()));
    let names = ('a'..='z').map(String::from);
    let types: Vec<_> = arguments.iter().collect();
    format!("{error}({}) => {result}", parameters(names, &types))
}

/// Returns the name in TypeScript of a type that each peer has a form of.
fn known(name: &str) -> &str {
    match name {
        "()" => "undefined",
        "bool" => "boolean",
        "char" | "String" => "string",
        "u8" | "u16" | "u32" | "i8" | "i16" | "i32" | "f32" | "f64" => "number",
        "u64" | "u128" | "usize" | "i64" | "i128" | "isize" => "number | bigint",
        "BigInt" => "bigint",
        "Bytes" => "Uint8Array",
        "Cap" => "any",
        "Url" => "URL",
        "Value" => "unknown",
        name => name,
    }
}
