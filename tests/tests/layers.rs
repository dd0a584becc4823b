//! The order of the library's modules: docs/architecture.md lists them from the top, and an import points down.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use capnode_tests::source::{root, tokens};

/// Imports that point up, each with its reason: types that hold each other.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("cap", "cap/property", "a reference is of one of its kinds, each of which holds references"),
    ("cap", "cap/durable", "a reference is of one of its kinds, each of which holds references"),
    ("cap", "cap/data", "a reference to a value breaks when one in the value does"),
    ("cap", "cap/stream/ends", "an end of a stream is a record of functions where a language has no objects"),
    ("cap", "cap/import", "a reference is of one of its kinds, each of which holds references"),
    ("cap", "cap/local", "a reference is of one of its kinds, each of which holds references"),
    ("cap", "cap/promise", "a reference is of one of its kinds, each of which holds references"),
    ("cap/local", "cap/property", "a method of an object, as a value, is a reference into the object"),
    (
        "cap/hook",
        "cap/pending",
        "a caller gives up an answer by the slot that waits for it, and that holds the connection",
    ),
    ("cap/local", "cap/methods", "a call of a method holds the object, and an object is called with it"),
    ("cap/payload", "cap", "references stand in values, and values in requests of references"),
    ("cap/payload", "cap/graph", "nodes of a graph stand in values, and values in graphs"),
    ("cap/response", "cap/durable_call", "a call by way of a slot is a response, and has one"),
    ("cap/response", "cap/pending", "an answer of a peer is a response, and responses stand in answers"),
    (
        "cap/response",
        "cap/promise",
        "a request that waits in a promise is a response, and requests have responses",
    ),
    ("cap/slot", "cap/value", "a record that stands for a reference is first read as a value of any kind"),
    ("cap/value", "cap/fetch", "a value can be a blob, whose body is a stream"),
    ("cap/value", "cap/shared", "a value can be a shared one, which is read as a value"),
    (
        "describe/shape",
        "describe/collect",
        "a type says what it is to the collector, which goes on to the types in it",
    ),
    (
        "link",
        "link/locked",
        "a connection has its state, and only the file that changes the state can lock it",
    ),
    ("link", "link/pool", "a connection tells its pool what it holds, and the pool ends connections"),
    (
        "message",
        "kinds/bytes",
        "bytes stand beside the text of messages, and errors of kinds hold texts of messages",
    ),
    ("link/inbox", "link/task", "a task waits in the state of the connection that it answers"),
];

/// Names that only the runtime's module may use: they bind the library to one clock, executor or source of randomness.
const HOST: &[&str] = &[
    "tokio::time",
    "tokio::spawn",
    "tokio::task",
    "tokio::runtime",
    "std::time::Instant",
    "std::thread::spawn",
    "getrandom",
    "spawn_blocking",
];

/// A module by its path from the crate's root.
type Module = Vec<String>;

/// Returns the place behind the bracket that closes the one at `open`.
fn closing(tokens: &[&str], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    panic!("a bracket is not closed")
}

/// Leaves out the items that only tests have.
fn without_tests<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if tokens[at..].starts_with(&["#", "[", "cfg"]) {
            let end = closing(tokens, at + 1);
            let condition = &tokens[at..end];
            if condition.contains(&"test") && !condition.contains(&"not") {
                at = end;
                while tokens[at] == "#" {
                    at = closing(tokens, at + 1);
                }
                while !matches!(tokens[at], ";" | "," | "}") {
                    let is_body = tokens[at] == "{";
                    at = if matches!(tokens[at], "(" | "[" | "{") { closing(tokens, at) } else { at + 1 };
                    if is_body {
                        at -= 1;
                        break;
                    }
                }
                // The end of the item, unless that is the end of its surroundings.
                at += 1;
                continue;
            }
        }
        kept.push(tokens[at]);
        at += 1;
    }
    kept
}

/// The sources, without tests, and the names that each module gives away or has in scope.
#[derive(Default)]
struct Sources {
    tokens: BTreeMap<Module, Vec<String>>,
    /// The modules that the names of a module stand for.
    names: BTreeMap<Module, BTreeMap<String, Module>>,
}

impl Sources {
    fn read() -> Self {
        let mut sources = Self::default();
        sources.add(&root().join("capnode/src"), Path::new("lib.rs"), Vec::new());
        sources
    }

    fn add(&mut self, folder: &Path, file: &Path, module: Module) {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let all = tokens(&text);
        let kept = without_tests(&all);
        for at in 0..kept.len() {
            if let ["mod", child, ";"] = kept[at..kept.len().min(at + 3)] {
                let inner = module.iter().collect::<PathBuf>();
                // `__private` has a file of another name.
                let name = child.trim_start_matches('_');
                let files = [inner.join(format!("{name}.rs")), inner.join(name).join("mod.rs")];
                let file = files.iter().find(|file| folder.join(file).exists()).unwrap();
                let path = module.iter().cloned().chain([name.to_owned()]).collect();
                self.add(folder, file, path);
            }
        }
        self.tokens.insert(module, kept.into_iter().map(str::to_owned).collect());
    }

    /// Returns the path from the crate's root for one as a module writes it; `None` for other crates'.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let mut base = module.clone();
        match first.as_str() {
            "crate" => return Some(rest.to_vec()),
            "self" => {}
            "super" => {
                let ups = path.iter().take_while(|word| *word == "super").count();
                base.truncate(module.len().checked_sub(ups)?);
                base.extend_from_slice(&path[ups..]);
                return Some(base);
            }
            _ => {
                let child: Module = module.iter().chain([first]).cloned().collect();
                if !self.tokens.contains_key(&child) {
                    return None;
                }
                base.push(first.clone());
            }
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// Returns the module in which that which a path leads to is written.
    fn home(&self, path: &Module) -> Module {
        let mut path = path.clone();
        for _ in 0..8 {
            let len = (0..=path.len()).rev().find(|len| self.tokens.contains_key(&path[..*len])).unwrap();
            let (module, rest) = path.split_at(len);
            let named = rest.first().and_then(|name| self.names.get(module)?.get(name));
            match named {
                Some(further) => path = further.iter().chain(&rest[1..]).cloned().collect(),
                None => return module.to_vec(),
            }
        }
        panic!("{path:?} leads nowhere")
    }

    /// Returns all imports: from which module, to which, and for what.
    fn imports(&mut self) -> BTreeSet<(Module, Module, String)> {
        let mut paths = Vec::new();
        let files = self.tokens.clone();
        for (module, tokens) in &files {
            let mut at = 0;
            let mut names = BTreeMap::new();
            let mut used = Vec::new();
            while at < tokens.len() {
                if tokens[at] == "use" {
                    let end = at + tokens[at..].iter().position(|token| token == ";").unwrap();
                    let is_public = at > 0 && matches!(tokens[at - 1].as_str(), "pub" | ")");
                    for (path, name) in tree(&tokens[at + 1..end]) {
                        let Some(path) = self.absolute(module, &path) else { continue };
                        names.insert(name, path.clone());
                        // Names that a module passes on from its children belong to the children.
                        if !(is_public && path.starts_with(module)) {
                            used.push(path);
                        }
                    }
                    at = end;
                } else if tokens.get(at + 1).is_some_and(|next| next == "::")
                    && (at == 0 || tokens[at - 1] != "::")
                {
                    let mut path = vec![tokens[at].clone()];
                    while tokens.get(at + 1).is_some_and(|next| next == "::") && is_name(&tokens[at + 2]) {
                        path.push(tokens[at + 2].clone());
                        at += 2;
                    }
                    let named =
                        names.get(&path[0]).map(|base| base.iter().chain(&path[1..]).cloned().collect());
                    used.extend(named.or_else(|| self.absolute(module, &path)));
                }
                at += 1;
            }
            self.names.insert(module.clone(), names);
            paths.extend(used.into_iter().map(|path| (module.clone(), path)));
        }
        let imports = paths.into_iter().map(|(from, path)| {
            let to = self.home(&path);
            (from, to, path.last().cloned().unwrap_or_default())
        });
        imports.filter(|(from, to, _)| from != to).collect()
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// Returns the paths in what stands behind a `use`, and the names that they are given.
fn tree(tokens: &[String]) -> Vec<(Module, String)> {
    let open = tokens.iter().position(|token| token == "{");
    let words = |tokens: &[String]| tokens.iter().filter(|token| is_name(token)).cloned().collect::<Module>();
    let Some(open) = open else {
        let (path, name) = match tokens.iter().position(|token| token == "as") {
            Some(at) => (words(&tokens[..at]), tokens[at + 1].clone()),
            None => (words(tokens), tokens.last().unwrap().clone()),
        };
        return vec![(path, name)];
    };
    let prefix = words(&tokens[..open]);
    let inner = &tokens[open + 1..tokens.len() - 1];
    let (mut depth, mut start, mut all) = (0, 0, Vec::new());
    for at in 0..=inner.len() {
        match inner.get(at).map(String::as_str) {
            Some("{") => depth += 1,
            Some("}") => depth -= 1,
            Some(",") | None if depth == 0 => {
                if start < at {
                    all.extend(tree(&inner[start..at]));
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    let with_prefix = |(path, name): (Module, String)| match path.as_slice() {
        [only] if only == "self" => (prefix.clone(), prefix.last().unwrap().clone()),
        _ => (prefix.iter().chain(&path).cloned().collect(), name),
    };
    all.into_iter().map(with_prefix).collect()
}

/// The order of the files of each folder, from the top: `mod` is the folder's own.
fn order() -> BTreeMap<Module, Vec<String>> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let section = text.split("\n## Layers\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut order = BTreeMap::<Module, Vec<String>>::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').collect();
        let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let module: Module = quoted(cells[1])[0].split('/').map(str::to_owned).collect();
        if let [name] = module.as_slice() {
            order.entry(Vec::new()).or_default().push(name.clone());
        }
        let files = quoted(cells[2]);
        if !files.is_empty() {
            order.insert(module, files);
        }
    }
    order
}

/// Returns `true` if `from` stands above `to`: the folder that has both lists it first.
fn points_down(order: &BTreeMap<Module, Vec<String>>, from: &Module, to: &Module) -> bool {
    let common = from.iter().zip(to).take_while(|(one, other)| one == other).count();
    let place = |module: &Module| {
        let name = module.get(common).map_or(if common == 0 { "lib" } else { "mod" }, String::as_str);
        let files = order.get(&from[..common]);
        let place = files.and_then(|files| files.iter().position(|file| file == name));
        place.unwrap_or_else(|| panic!("`{name}` of {:?} is not in docs/architecture.md", &from[..common]))
    };
    place(from) < place(to)
}

#[test]
fn imports_point_down() {
    let order = order();
    let mut sources = Sources::read();
    let imports = sources.imports();
    assert!(imports.len() > 500, "{} imports", imports.len());
    let mut wrong = BTreeMap::<(String, String), Vec<String>>::new();
    for (from, to, name) in &imports {
        if !points_down(&order, from, to) {
            wrong.entry((from.join("/"), to.join("/"))).or_default().push(name.clone());
        }
    }
    for (from, to, reason) in EXCEPTIONS {
        assert!(!reason.is_empty());
        let found = wrong.remove(&((*from).to_owned(), (*to).to_owned()));
        assert!(found.is_some(), "{from} imports nothing of {to} any more: delete the exception");
    }
    let lines = wrong.iter().map(|((from, to), names)| format!("{from} → {to}: {}", names.join(", ")));
    assert!(wrong.is_empty(), "imports that point up:\n{}", lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_order_lists_the_files_that_there_are() {
    let sources = Sources::read();
    let mut files = BTreeMap::<Module, BTreeSet<String>>::new();
    for module in sources.tokens.keys() {
        match module.split_last() {
            Some((name, folder)) => files.entry(folder.to_vec()).or_default().insert(name.clone()),
            None => files.entry(Vec::new()).or_default().insert("lib".to_owned()),
        };
    }
    for (folder, files) in &mut files {
        if !folder.is_empty() {
            files.insert("mod".to_owned());
        }
    }
    let order = order().into_iter().map(|(folder, files)| {
        let set: BTreeSet<_> = files.iter().cloned().collect();
        assert_eq!(set.len(), files.len(), "{folder:?} lists a file twice");
        (folder, set)
    });
    assert_eq!(order.collect::<BTreeMap<_, _>>(), files);
}

#[test]
fn only_the_runtime_knows_a_clock_an_executor_and_a_source_of_randomness() {
    let sources = Sources::read();
    let mut faults = Vec::new();
    for (module, tokens) in
        sources.tokens.iter().filter(|(module, _)| module.first().is_none_or(|top| top != "runtime"))
    {
        let text = tokens.join(" ");
        for name in HOST {
            let parts: Vec<_> = name.split("::").collect();
            let spaced = parts.join(" :: ");
            let (last, path) = parts.split_last().unwrap();
            let grouped = format!("use {} :: {{", path.join(" :: "));
            let in_group = text.split(&grouped).skip(1).any(|group| {
                group.split(';').next().is_some_and(|group| group.split(' ').any(|word| word == *last))
            });
            let whole = format!(" {text} ").contains(&format!(" {spaced} "));
            if whole || in_group {
                faults.push(format!("{}: {name}", module.join("/")));
            }
        }
    }
    assert!(faults.is_empty(), "use crate::runtime instead:\n{}", faults.join("\n"));
}

/// Returns the places in a source that name a dialect or its codec, or compare one.
fn asks_which_dialect(tokens: &[String]) -> Vec<String> {
    let is_variant = |name: &str| name.starts_with(|c: char| c.is_ascii_uppercase() || c == '{' || c == '*');
    let names = tokens.windows(3).filter(|words| {
        matches!(words[0].as_str(), "Dialect" | "Codec") && words[1] == "::" && is_variant(&words[2])
    });
    let text = format!(" {} ", tokens.join(" ").replace("= =", "==").replace("! =", "!="));
    let compared =
        ["dialect ( ) ==", "dialect ( ) !=", "dialect ==", "dialect !=", "== dialect", "!= dialect"];
    let compares = compared.into_iter().filter(|words| text.contains(&format!(" {words} ")));
    names.map(|words| words.concat()).chain(compares.map(str::to_owned)).collect()
}

#[test]
fn only_the_dialects_ask_which_dialect_it_is() {
    let sources = Sources::read();
    let above = sources.tokens.iter().filter(|(module, _)| module.first().is_none_or(|top| top != "dialect"));
    let mut faults = Vec::new();
    for (module, tokens) in above {
        faults
            .extend(asks_which_dialect(tokens).iter().map(|words| format!("{}: {words}", module.join("/"))));
    }
    assert!(faults.is_empty(), "ask for the peer's `Capabilities` instead:\n{}", faults.join("\n"));
}

#[test]
fn what_a_source_imports_is_found() {
    let source = "//! a::b\nuse crate::{a, b::{self, C as D}};\n#[cfg(test)]\nmod tests { use x::y; }\nfn f<'a>(c: &'a str) { 'x'; \"k::l\"; b::g() }";
    let all = tokens(source);
    let kept = without_tests(&all);
    assert_eq!(
        kept.join(" "),
        "use crate :: { a , b :: { self , C as D } } ; fn f < > ( c : & str ) { ; ; b :: g ( ) }"
    );
    let owned: Vec<String> = kept[1..16].iter().map(|token| (*token).to_owned()).collect();
    let path = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Module>();
    let expected =
        [(path(&["crate", "a"]), "a"), (path(&["crate", "b"]), "b"), (path(&["crate", "b", "C"]), "D")];
    let expected = expected.map(|(path, name)| (path, name.to_owned()));
    assert_eq!(tree(&owned), expected);
}
