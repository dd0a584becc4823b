//! The crates that are measured: the same interfaces, each library's way.

mod capnode;
mod jsonrpsee;
mod tarpc;

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::methods::{Method, Output, methods};

/// The code that a library's users write.
pub struct Library {
    pub name: &'static str,
    /// The trait, the implementation for `Object`, and a `serve` that turns an object into the served one.
    interface: fn(&[Method]) -> String,
    /// The code of `main` that is there even without interfaces: a connection, and a call by hand.
    main: fn(interfaces: usize) -> String,
    /// A function that calls all methods of the interface `i`, and returns the number of good answers.
    caller: fn(i: usize, &[Method]) -> String,
}

pub const LIBRARIES: [Library; 3] = [capnode::LIBRARY, tarpc::LIBRARY, jsonrpsee::LIBRARY];

/// The code of every module, even if its interface is left out.
const DATA: &str = r#"
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Record {
        pub id: u32,
        pub name: String,
        pub tags: Vec<String>,
        pub parent: Option<u32>,
    }

    impl Record {
        pub fn named(name: impl Into<String>) -> Self {
            Self { id: 21, name: name.into(), tags: Vec::new(), parent: None }
        }
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Refused;

    impl std::fmt::Display for Refused {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("refused")
        }
    }

    impl std::error::Error for Refused {}

    #[derive(Clone)]
    pub struct Object;
"#;

/// The size of the crates.
#[derive(Clone, Copy)]
pub struct Size {
    pub interfaces: usize,
    pub methods: usize,
}

impl Size {
    pub fn total(self) -> usize {
        self.interfaces * self.methods
    }
}

impl Library {
    pub fn package(&self) -> String {
        format!("user-{}", self.name)
    }

    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/users").join(self.name)
    }

    /// Returns the place of the interfaces.
    pub fn source(&self) -> PathBuf {
        self.folder().join("lib.rs")
    }

    /// Writes the crate, with its interfaces or without them. It writes an existing crate again, which makes cargo
    /// build it again.
    pub fn write(&self, size: Size, with_interfaces: bool) -> io::Result<()> {
        fs::create_dir_all(self.folder())?;
        let methods = methods(size.methods);
        let interface = if with_interfaces { (self.interface)(&methods) } else { String::new() };
        let modules = (0..size.interfaces).map(|i| format!("pub mod i{i} {{{DATA}{interface}}}\n"));
        fs::write(self.source(), modules.collect::<String>())?;

        let called = if with_interfaces { 0..size.interfaces } else { 0..0 };
        let callers = called.clone().map(|i| (self.caller)(i, &methods));
        fs::write(
            self.folder().join("main.rs"),
            (self.main)(called.len()) + &callers.collect::<String>() + EXPECT,
        )
    }
}

const EXPECT: &str = "
fn is<T: PartialEq<U>, U>(answer: T, expected: U) -> u32 {
    u32::from(answer == expected)
}
";

/// Counts a good answer, of which `answer` is a `Result`; in it is another if `nested` and the method is fallible.
fn count(method: &Method, answer: &str, nested: bool) -> String {
    let expected = method.kind.expected;
    match (nested, method.kind.output) {
        (true, Output::Fallible(_)) => format!("    good += is({answer}??, {expected});\n"),
        _ => format!("    good += is({answer}?, {expected});\n"),
    }
}
