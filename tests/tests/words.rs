//! The words of the code: the glossary lists identifiers that were replaced, and none of them comes back.

use std::fs;
use std::path::{Path, PathBuf};

use capnode_tests::source::{root, tokens};

/// Folders without code of this project: what is built or generated, and programs of users in the macro's tests.
const SKIPPED: &[&str] = &["target", "node_modules", "generated", "ui"];

/// Crates whose names are their own, wherever they stand in a path.
const FOREIGN: &[&str] = &["std", "core", "alloc", "serde", "tokio", "mem", "tungstenite"];

/// A row of the glossary's table of identifiers.
struct Row {
    /// A name, a variant with its type, or a module.
    was: Vec<String>,
    now: String,
    /// Paths from the root of the repository, without `.rs`; empty for everywhere.
    scope: Vec<PathBuf>,
}

/// Returns the rows of the table.
fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("docs/glossary.md")).unwrap();
    let section = text.split("\n## Identifiers\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let row = |line: &str| {
        let cells: Vec<_> = line.split('|').collect();
        let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        Row {
            was: tokens(&quoted(cells[1])[0]).into_iter().map(str::to_owned).collect(),
            now: quoted(cells[2])[0].clone(),
            scope: quoted(cells[3]).into_iter().map(Into::into).collect(),
        }
    };
    section.lines().filter(|line| line.starts_with("| `")).map(row).collect()
}

impl Row {
    fn is_about(&self, file: &Path) -> bool {
        let module = file.with_extension("");
        self.scope.is_empty() || self.scope.iter().any(|scope| module.starts_with(scope))
    }

    /// Returns the first use of the old name. A variant of another enum may have the name of a type that was renamed.
    fn find<'a>(&self, all: &[&'a str]) -> Option<&'a str> {
        let variants = if starts_large(&self.was[0]) { variants(all) } else { Vec::new() };
        let starts =
            all.windows(self.was.len()).enumerate().filter(|(_, words)| *words == self.was.as_slice());
        let mut starts = starts.map(|(at, _)| at).filter(|at| {
            let of = (*at > 1 && all[at - 1] == "::").then(|| all[at - 2]);
            let is_of_other = of
                .is_some_and(|of| FOREIGN.contains(&of) || (starts_large(of) && starts_large(&self.was[0])));
            let is_variant = self.was.len() == 1 && variants.contains(at);
            !is_of_other && !is_variant
        });
        starts.next().map(|at| all[at])
    }
}

fn starts_large(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
}

/// Returns the places of what stands in the bodies of enums, but not inside the variants.
fn variants(all: &[&str]) -> Vec<usize> {
    let (mut places, mut depth) = (Vec::new(), None);
    for (at, token) in all.iter().enumerate() {
        match (*token, &mut depth) {
            ("enum", None) => depth = Some(0),
            ("{" | "(" | "[", Some(depth)) => *depth += 1,
            ("}" | ")" | "]", Some(1)) => depth = None,
            ("}" | ")" | "]", Some(depth)) => *depth -= 1,
            (_, Some(1)) => places.push(at),
            _ => {}
        }
    }
    places
}

/// Returns the paths of all sources from the root.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = folder.join(&name);
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
                found.extend(sources(&path));
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn replaced_identifiers_do_not_come_back() {
    let rows = rows();
    let mut faults = Vec::new();
    for file in sources(Path::new("")) {
        let text = fs::read_to_string(root().join(&file)).unwrap();
        let all = tokens(&text);
        for row in rows.iter().filter(|row| row.is_about(&file)) {
            if let Some(found) = row.find(&all) {
                let line = text[..found.as_ptr().addr() - text.as_ptr().addr()].lines().count();
                let was = row.was.concat();
                faults.push(format!("{}:{line}: `{was}` is called `{}`", file.display(), row.now));
            }
        }
    }
    assert!(faults.is_empty(), "docs/glossary.md has other names:\n{}", faults.join("\n"));
}

#[test]
fn each_replaced_identifier_has_a_scope_that_exists_and_stands_once() {
    let rows = rows();
    assert!(rows.len() > 100, "{} rows", rows.len());
    for (at, row) in rows.iter().enumerate() {
        for scope in &row.scope {
            let path = root().join(scope);
            let exists = path.is_dir() || path.with_extension("rs").exists();
            assert!(exists, "`{}`: there is no {}", row.was.concat(), scope.display());
        }
        let again = rows[..at]
            .iter()
            .find(|other| other.was == row.was && other.scope.iter().any(|scope| row.scope.contains(scope)));
        assert!(again.is_none(), "`{}` stands twice for one scope", row.was.concat());
    }
}

#[test]
fn an_old_name_is_found_and_a_variant_of_that_name_is_not() {
    let row = |was: &str| Row {
        was: tokens(was).into_iter().map(str::to_owned).collect(),
        now: String::new(),
        scope: Vec::new(),
    };
    let source =
        "// Word\nenum Kind { Word(Old), Other { Old: u8 } }\nfn f() { Kind::Word; std::old(); \"older\"; }";
    let all = tokens(source);
    assert_eq!(row("Old").find(&all), Some("Old"));
    assert_eq!(row("Kind::Word").find(&all), Some("Kind"));
    assert_eq!([row("Word").find(&all), row("old").find(&all), row("older").find(&all)], [None; 3]);
    assert_eq!(row("mod few").find(&tokens("pub mod few;")), Some("mod"));
}
