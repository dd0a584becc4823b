//! Every function that reads foreign input has a target, and all recordings go through the targets.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::TARGETS;

/// Functions that look like an entry, and the reason why they are not.
const NO_ENTRIES: &[(&str, &str)] = &[
    ("link/encoding.rs::parse", SESSION),
    ("link/inbound.rs::receive", SESSION),
    ("dialect/codec.rs::parse", SESSION),
    ("dialect/codec.rs::asked_in", SESSION),
    ("dialect/codec.rs::reconstruct", SESSION),
    ("dialect/codec.rs::recognizes", SESSION),
    ("link/drive.rs::asked_in", SESSION),
    ("link/ending.rs::reconstruct", SESSION),
    ("sans_io/mod.rs::receive", SESSION),
    ("sans_io/endpoint.rs::receive", SESSION),
    ("session/handle.rs::receive", SESSION),
    ("cap/layer.rs::take_in", "hands on a request that has been read"),
    ("driver.rs::take_in", "for the target `byte_stream`, and `session`"),
    (
        "dialect/capnweb/message.rs::read_program",
        "reads what this program has recorded, as `read` reads a peer's",
    ),
    ("link/clock.rs::check", "looks at the time"),
    ("link/liveness.rs::check", "looks at the time"),
    ("sans_io/mod.rs::reconstruct", "for the target `ids`"),
    ("connection.rs::reconstruct", "for the target `ids`"),
    ("driver.rs::receive", "hands the frames of a transport to the link"),
    ("transport/messages.rs::receive", MESSAGE),
    ("transport/ws.rs::receive", MESSAGE),
    ("transport/ws.rs::accept", "reads a head, which is for the target `upgrade`"),
    ("transport/ws.rs::connect", "what it is given is the user's own; the handshake is read by tungstenite"),
    ("kinds/headers.rs::get", "compares names"),
    ("dialect/capnweb/ser/compound.rs::variant", "writes"),
    ("signed/link.rs::issue", "makes a link of what is the user's own"),
    ("signed/link.rs::sign", "signs a document of this program"),
    ("signed/rules.rs::check_below", "a step of the verifier, for the target `signed_document`"),
    ("signed/rules.rs::check_chain", "a step of the verifier, for the target `signed_document`"),
    ("signed/target.rs::unescape", "a step of `segments` and `target_of_root`"),
    ("signed/tree.rs::get", "finds a member of what was read"),
    ("signed/target.rs::below", "compares two targets that were read"),
    ("signed/verifier.rs::new", "its origin is the owner's own"),
    (
        "dialect/capnweb/text.rs::plain_integer",
        "a step of the scanner and the reader, for the targets that run them",
    ),
];

/// The target with the model.
const SESSION: &str = "part of the target `session`";

const MESSAGE: &str = "tells kinds of message apart, which tungstenite has read";

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The source files that are not tests, by their names in `src`.
fn files(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let test = ["tests", "tests.rs", "testing.rs", "fuzzing.rs", "fuzzing"].contains(&&*name)
            || path.ends_with("dialect/values.rs");
        if test {
            continue;
        }
        if path.is_dir() {
            // Their targets are as optional as they are.
            if OPTIONAL.iter().all(|(module, is_on)| *is_on || name != *module) {
                files(&path, found);
            }
        } else {
            let text = read(&path);
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            let name = path.strip_prefix(source()).unwrap().to_string_lossy().replace('\\', "/");
            found.insert(name, text);
        }
    }
}

/// Names of functions that read foreign input, in any file.
fn is_entry_by_name(name: &str) -> bool {
    const NAMES: [&str; 11] = [
        "from_str",
        "detect",
        "from_js",
        "is_js",
        "look",
        "asked_in",
        "reconstruct",
        "receive",
        "take_in",
        "unescape",
        "decode_args",
    ];
    NAMES.contains(&name) || name.starts_with("parse")
}

/// `true` if a function is visible outside its module, takes text and can refuse it. Where text is read, such a
/// function is an entry, regardless of its name.
fn is_entry_by_shape(file: &str, signature: &str) -> bool {
    let reads = ["dialect/", "transport/", "kinds/", "origin.rs", "signed/"]
        .iter()
        .any(|place| file.starts_with(place));
    let (takes, gives) = signature.split_once("->").unwrap_or((signature, ""));
    let text = ["&str", "&'a str", "&[u8]", "&Text", "&Payload<", "&'a Payload<", "&'a Text"];
    let verdict = ["Option<", "Result<", "bool", "Cow<", "Self", "Error"];
    let public = signature.trim_start().starts_with("pub");
    reads
        && public
        && text.iter().any(|text| takes.contains(text))
        && verdict.iter().any(|kind| gives.contains(kind))
}

/// The modules that are there with the feature of the same name, and if it is on.
const OPTIONAL: &[(&str, bool)] =
    &[("signed", cfg!(feature = "signed")), ("sturdy", cfg!(feature = "sturdy"))];

/// All functions that are entries, by file and name.
fn entries() -> BTreeSet<String> {
    let mut sources = BTreeMap::new();
    files(&source(), &mut sources);
    let mut found = BTreeSet::new();
    for (file, text) in &sources {
        let mut at = 0;
        while let Some(next) = text[at..].find("fn ") {
            let place = at + next;
            at = place + 3;
            let line = text[..place].rfind('\n').map_or(0, |end| end + 1);
            let before = text[line..place].trim();
            let declares = before.split_whitespace().all(|word| {
                word.starts_with("pub") || ["const", "async", "in", "crate::dialect)"].contains(&word)
            });
            let name: String = text[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // One without a body is a trait's, and has it elsewhere.
            let end = text[at..].find(['{', ';']).map_or(text.len(), |end| at + end);
            let needs_signed = text[..line].trim_end().ends_with("#[cfg(feature = \"signed\")]");
            let absent = needs_signed && !cfg!(feature = "signed");
            if !declares || absent || name.is_empty() || text[end..].starts_with(';') {
                continue;
            }
            if is_entry_by_name(&name) || is_entry_by_shape(file, &text[line..end]) {
                found.insert(format!("{file}::{name}"));
            }
        }
    }
    found
}

#[test]
fn every_function_that_takes_in_what_others_wrote_has_a_target() {
    let found = entries();
    let excused: BTreeSet<_> = NO_ENTRIES.iter().map(|(entry, _)| (*entry).to_owned()).collect();
    let covered: BTreeSet<_> =
        TARGETS.iter().flat_map(|target| target.entries).map(|entry| (*entry).to_owned()).collect();
    let missing: Vec<_> =
        found.iter().filter(|entry| !covered.contains(*entry) && !excused.contains(*entry)).collect();
    assert!(missing.is_empty(), "no target in src/fuzzing.rs names {missing:#?}");
    // An entry that the search does not find, such as a trait's method, has to be there, too.
    let mut sources = BTreeMap::new();
    files(&source(), &mut sources);
    let is_built = |entry: &&String| {
        OPTIONAL.iter().all(|(module, is_on)| *is_on || !entry.starts_with(&format!("{module}/")))
    };
    for entry in covered.iter().chain(&excused).filter(is_built) {
        let (file, name) = entry.split_once("::").unwrap();
        let text = sources.get(file).unwrap_or_else(|| panic!("there is no {file}"));
        let there =
            [format!("fn {name}("), format!("fn {name}<")].iter().any(|declared| text.contains(declared));
        assert!(there, "there is no {entry}");
    }
}

#[test]
fn every_target_can_be_run() {
    let named: BTreeSet<_> =
        TARGETS.iter().map(|target| target.name.to_owned()).chain(["session".to_owned()]).collect();
    let manifest = read(&fuzz().join("Cargo.toml"));
    let mut there = BTreeSet::new();
    for file in fs::read_dir(fuzz().join("fuzz_targets")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let runs = if name == "session" {
            "capnode_model::run(".to_owned()
        } else {
            format!("capnode::fuzzing::{name}(")
        };
        assert!(read(&path).contains(&runs), "{} runs something else", path.display());
        let listed = format!("[[bin]]\nname = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&listed), "{name} is not in fuzz/Cargo.toml");
        if OPTIONAL.iter().all(|(module, is_on)| *is_on || !name.starts_with(&format!("{module}_"))) {
            there.insert(name);
        }
    }
    assert_eq!(there, named);
    let absent = OPTIONAL.iter().filter(|(_, is_on)| !is_on);
    let optional: usize =
        absent.map(|(module, _)| manifest.matches(&format!("name = \"{module}_")).count()).sum();
    assert_eq!(manifest.matches("[[bin]]").count(), named.len() + optional);
}

/// Returns the messages of the peers, from all recordings.
fn recorded() -> Vec<String> {
    let mut messages = Vec::new();
    for peer in ["capnweb", "capnode", "q-connection"] {
        let folder = fuzz().join("../tests/transcripts").join(peer);
        for file in fs::read_dir(&folder).unwrap() {
            for line in read(&file.unwrap().path()).lines() {
                let message = line.split_once("\"msg\":").and_then(|(_, message)| message.strip_suffix('}'));
                messages.extend(message.filter(|_| line.starts_with("{\"dir\"")).map(str::to_owned));
            }
        }
    }
    assert!(messages.len() > 1_000, "{} messages", messages.len());
    messages
}

#[test]
fn the_recordings_go_through_every_target() {
    for message in recorded() {
        // The message itself; and, for targets that take values, the innermost list or object in it.
        let inside = message.rfind(['[', '{']).and_then(|from| {
            let length = message[from..].find([']', '}'])?;
            Some(&message[from..=from + length])
        });
        for target in TARGETS {
            (target.run)(message.as_bytes());
            (target.run)(inside.unwrap_or("null").as_bytes());
        }
    }
}
