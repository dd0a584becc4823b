//! Two descriptions, compared: what fails between programs that know one and programs that know the other.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::{env, fs, iter};

use super::assignable::{Question, assignable};
use super::form::{Description, InterfaceDescription, MemberDescription, Type};
use super::typescript::{WRITE, checked};

/// Calls and values that fail when one side knows interfaces as they are, and the other as they were. Each has its place and the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Breaks {
    /// Failures of clients of the earlier description with a server of the later one.
    pub old_clients: Vec<String>,
    /// Failures of clients of the later description with a server of the earlier one.
    pub new_clients: Vec<String>,
}

impl Description {
    /// Returns what fails with programs that know the interfaces by an earlier description.
    ///
    /// What is compared is how values are written: a name of an interface may change, an argument may be added if it is an
    /// `Option`, and an integer may become a larger one. Callbacks and objects that clients hand over are compared the other
    /// way round.
    ///
    /// A type of yours that has changed is compared by TypeScript's compiler: the command that the variable `CAPNODE_TSC` names,
    /// or `tsc`. It cannot tell numbers from each other. Where it is not found, each such change is reported for both.
    #[must_use]
    pub fn breaks_since(&self, earlier: &Self) -> Breaks {
        let sides = [earlier, self];
        let roots = |side: usize| &sides[side].roots;
        let [old_clients, new_clients] = [OLD, NEW].map(|user| {
            let mut comparing =
                Comparing { sides, seen: HashSet::new(), questions: Vec::new(), found: BTreeSet::new() };
            for root in roots(user) {
                let same = roots(1 - user).iter().find(|other| *other == root);
                // One that is alone may be renamed.
                let only = roots(1 - user).first().filter(|_| roots(OLD).len() == 1 && roots(NEW).len() == 1);
                match same.or(only) {
                    Some(other) => comparing.uses(user, root, other),
                    None => comparing.report(root, "is not there".to_owned()),
                }
            }
            let questions = std::mem::take(&mut comparing.questions);
            comparing.found.extend(assignable(comparing.sides, questions));
            comparing.found.into_iter().collect()
        });
        Breaks { old_clients, new_clients }
    }

    /// Checks that a file, which is kept with the program, is the description as JSON. Call it in a test. If the variable
    /// `CAPNODE_WRITE` is set, it writes the file.
    ///
    /// # Errors
    ///
    /// If the description is another, with what [fails](Self::breaks_since) for clients on either side, or if the file cannot
    /// be read or written.
    pub fn check_snapshot(&self, path: impl AsRef<Path>) -> Result<(), String> {
        let path = path.as_ref();
        let Err(stale) = checked(path, &self.to_json()) else { return Ok(()) };
        let earlier = fs::read_to_string(path).ok().and_then(|text| Self::from_json(&text).ok());
        let Some(earlier) = earlier.filter(|_| env::var_os(WRITE).is_none()) else { return Err(stale) };
        let breaks = self.breaks_since(&earlier);
        let list = |who: &str, breaks: &[String]| match breaks {
            [] => format!("{who}: nothing fails\n"),
            breaks => format!("{who}:\n* {}\n", breaks.join("\n* ")),
        };
        let old = list("old clients with a new server", &breaks.old_clients);
        let new = list("new clients with an old server", &breaks.new_clients);
        Err(format!("{stale}\n{old}{new}"))
    }
}

/// A side of a comparison: the other is one less it.
const OLD: usize = 0;
const NEW: usize = 1;

/// A comparison of clients of one description with servers of another.
struct Comparing<'a> {
    sides: [&'a Description; 2],
    /// The interfaces that were compared, each with the side that calls them.
    seen: HashSet<(usize, &'a str, &'a str)>,
    questions: Vec<Question>,
    found: BTreeSet<String>,
}

impl<'a> Comparing<'a> {
    fn report(&mut self, place: &str, reason: String) {
        self.found.insert(format!("{place}: {reason}"));
    }

    /// Looks at the calls that `user` makes of objects of the other side.
    fn uses(&mut self, user: usize, used: &'a str, provided: &'a str) {
        if !self.seen.insert((user, used, provided)) {
            return;
        }
        let provided = members(self.sides[1 - user], provided);
        for member in members(self.sides[user], used) {
            let place = format!("{used}.{}", member.name);
            let Some(other) = provided.iter().find(|other| other.name == member.name) else {
                self.report(&place, "is not there".to_owned());
                continue;
            };
            if member.property != other.property {
                let is = |member: &MemberDescription| if member.property { "a property" } else { "a method" };
                self.report(&place, format!("is {} there, and {} here", is(other), is(member)));
                continue;
            }
            let types = |member: &'a MemberDescription| member.arguments.iter().map(|argument| &argument.ty);
            for (at, (given, taken)) in paired(types(member), types(other)).enumerate() {
                let place = format!("{place}, argument `{}`", other.arguments[at].name);
                match given {
                    Some(given) => self.compare(user, given, taken, &place),
                    None if may_be_missing(taken) => {}
                    None => self.report(&place, format!("is not given, and `{}` is read", written(taken))),
                }
            }
            self.compare(1 - user, &other.result, &member.result, &format!("{place}, the result"));
            if let (Some(thrown), Some(read)) = (&other.error, &member.error) {
                self.compare(1 - user, thrown, read, &format!("{place}, the error"));
            }
        }
    }

    /// Looks at a value that one side sends and the other reads.
    fn compare(&mut self, sender: usize, sent: &'a Type, read: &'a Type, place: &str) {
        if !self.fits(sender, sent, read, place) {
            self.report(place, format!("`{}` is sent, and `{}` is read", written(sent), written(read)));
        }
    }

    fn fits(&mut self, sender: usize, sent: &'a Type, read: &'a Type, place: &str) -> bool {
        match (sent, read) {
            // Whatever is sent for nothing is left aside.
            (_, Type::Known(read)) if read == "()" || read == "Value" => true,
            (Type::Interface(_) | Type::Function { .. }, Type::Known(read)) => read == "Cap",
            (Type::Known(sent), Type::Known(read)) => sent == read || is_larger(sent, read),
            (Type::Known(sent), Type::Option(_)) if sent == "()" => true,
            (Type::Option(sent), Type::Option(read)) => self.fits(sender, sent, read, place),
            (sent, Type::Option(read)) => self.fits(sender, sent, read, place),
            (Type::Unknown(sent), Type::Unknown(read)) => sent == read,
            (Type::List(sent) | Type::Array(sent, _), Type::List(read)) => {
                self.fits(sender, sent, read, place)
            }
            (Type::Array(sent, len), Type::Array(read, other)) => {
                len == other && self.fits(sender, sent, read, place)
            }
            (Type::Map(key, value), Type::Map(read_key, read_value)) => {
                self.fits(sender, key, read_key, place) && self.fits(sender, value, read_value, place)
            }
            (Type::Tuple(sent), Type::Tuple(read)) => {
                let mut parts = sent.iter().zip(read);
                sent.len() == read.len() && parts.all(|(sent, read)| self.fits(sender, sent, read, place))
            }
            (Type::Result(ok, error), Type::Result(read_ok, read_error)) => {
                self.fits(sender, ok, read_ok, place) && self.fits(sender, error, read_error, place)
            }
            (Type::Reader(sent), Type::Reader(read)) => self.fits(sender, sent, read, place),
            (Type::Writer(taken), Type::Writer(written)) => self.fits(1 - sender, written, taken, place),
            (Type::Interface(provided), Type::Interface(used)) => {
                self.uses(1 - sender, used, provided);
                true
            }
            (
                Type::Function { arguments: taken, result, error },
                Type::Function { arguments: given, result: read, error: read_error },
            ) => {
                let all = paired(given.iter(), taken.iter()).all(|(given, taken)| match given {
                    Some(given) => self.fits(1 - sender, given, taken, place),
                    None => may_be_missing(taken),
                });
                let error = match (error, read_error) {
                    (Some(thrown), Some(read)) => self.fits(sender, thrown, read, place),
                    _ => true,
                };
                all && error && self.fits(sender, result, read, place)
            }
            (Type::Declared(_), _) | (_, Type::Declared(_)) => self.declared(sender, sent, read, place),
            _ => false,
        }
    }

    /// Looks at types of the user's, or leaves it to the compiler of TypeScript if they have changed.
    fn declared(&mut self, sender: usize, sent: &'a Type, read: &'a Type, place: &str) -> bool {
        let [one, other] =
            [(sender, sent), (1 - sender, read)].map(|(side, ty)| mentioned(self.sides[side], ty));
        for name in one.interfaces.intersection(&other.interfaces) {
            self.uses(1 - sender, name, name);
            // A function may take one.
            if one.has_function {
                self.uses(sender, name, name);
            }
        }
        if sent != read || one.types != other.types {
            self.questions.push(Question {
                sender,
                sent: sent.typescript(),
                read: read.typescript(),
                place: place.to_owned(),
            });
        }
        true
    }
}

/// The parts of a type of the user's.
#[derive(Default)]
struct Mentioned<'a> {
    types: BTreeSet<(&'a str, &'a str)>,
    interfaces: BTreeSet<&'a str>,
    has_function: bool,
}

fn mentioned<'a>(description: &'a Description, ty: &Type) -> Mentioned<'a> {
    let mut all = Mentioned::default();
    let mut waiting = vec![ty.typescript()];
    while let Some(text) = waiting.pop() {
        all.has_function |= text.contains("=>");
        let words: HashSet<_> = text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').collect();
        let types = description.types.iter().filter(|ty| words.contains(ty.name.as_str()));
        for ty in types {
            if all.types.insert((&ty.name, &ty.text)) {
                waiting.push(ty.text.clone());
            }
        }
        let names = description.interfaces.iter().map(|interface| interface.name.as_str());
        all.interfaces.extend(names.filter(|name| words.contains(name)));
    }
    all
}

/// Returns each argument that is taken, with the one that is given. Those that are too many are left aside.
fn paired<'a>(
    given: impl Iterator<Item = &'a Type>,
    taken: impl Iterator<Item = &'a Type>,
) -> impl Iterator<Item = (Option<&'a Type>, &'a Type)> {
    given.map(Some).chain(iter::repeat(None)).zip(taken)
}

fn may_be_missing(ty: &Type) -> bool {
    matches!(ty, Type::Option(_)) || matches!(ty, Type::Known(name) if name == "()" || name == "Value")
}

/// Returns a type as it is in Rust, for messages.
fn written(ty: &Type) -> String {
    let all = |types: &[Type]| types.iter().map(written).collect::<Vec<_>>().join(", ");
    match ty {
        Type::Known(name) | Type::Unknown(name) | Type::Declared(name) => name.clone(),
        Type::Interface(name) => format!("{name}Client"),
        Type::Option(ty) => format!("Option<{}>", written(ty)),
        Type::List(ty) => format!("Vec<{}>", written(ty)),
        Type::Map(key, value) => format!("HashMap<{}, {}>", written(key), written(value)),
        Type::Tuple(parts) => format!("({})", all(parts)),
        Type::Array(ty, len) => format!("[{}; {len}]", written(ty)),
        Type::Result(ok, error) => format!("Result<{}, {}>", written(ok), written(error)),
        Type::Function { arguments, result, error } => {
            let result = match error {
                Some(error) => format!("Result<{}, {}>", written(result), written(error)),
                None => written(result),
            };
            format!("Func<fn({}) -> {result}>", all(arguments))
        }
        Type::Reader(ty) => format!("Reader<{}>", written(ty)),
        Type::Writer(ty) => format!("Writer<{}>", written(ty)),
    }
}

/// Returns the members of an interface, with those of its ancestors.
fn members<'a>(description: &'a Description, name: &str) -> Vec<&'a MemberDescription> {
    let find = |name: &str| description.interfaces.iter().find(|interface| interface.name == name);
    let mut interfaces: Vec<&InterfaceDescription> = find(name).into_iter().collect();
    let mut at = 0;
    while let Some(interface) = interfaces.get(at) {
        let parents = interface.extends.iter().filter_map(|parent| find(parent));
        let parents: Vec<_> =
            parents.filter(|parent| interfaces.iter().all(|known| known.name != parent.name)).collect();
        interfaces.extend(parents);
        at += 1;
    }
    interfaces.into_iter().flat_map(|interface| &interface.members).collect()
}

/// `true` if each value of a type can be read as one of another.
fn is_larger(sent: &str, read: &str) -> bool {
    let range = |name: &str| {
        let signed = name.starts_with('i');
        let bits = match name.strip_prefix(['i', 'u'])? {
            // It is as large as it may be.
            "size" => 64,
            bits => bits.parse::<u32>().ok()?,
        };
        Some((signed, bits))
    };
    match (range(sent), range(read)) {
        (Some((false, sent)), Some((true, read))) => sent < read,
        (Some((true, _)), Some((false, _))) => false,
        (Some((_, sent)), Some((_, read))) => sent <= read,
        (Some((_, bits)), None) => (read == "f64" && bits <= 32) || (read == "f32" && bits <= 16),
        _ => matches!((sent, read), ("f32", "f64") | ("char", "String")),
    }
}
