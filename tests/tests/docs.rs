//! Consistency of the documents: their tables are complete, and their links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines outside of code blocks, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut code = false;
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !code {
            lines.push((at + 1, line));
        }
    }
    assert!(!code, "a code block does not end");
    lines
}

/// Returns the anchor of a heading: small letters, digits and hyphens.
fn anchor(heading: &str) -> String {
    let mut anchor = String::new();
    for c in heading.trim().to_lowercase().chars() {
        match c {
            ' ' => anchor.push('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => anchor.push(c),
            _ => {}
        }
    }
    anchor
}

/// The anchors of all headings. A heading that is there twice has a number behind it the second time.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let name = anchor(heading);
        let before = seen.entry(name.clone()).or_default();
        anchors.insert(if *before == 0 { name } else { format!("{name}-{before}") });
        *before += 1;
    }
    anchors
}

/// The targets of all links in a line, code apart.
fn links(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    // Every other part is code.
    for text in line.split('`').step_by(2) {
        for link in text.split("](").skip(1) {
            found.extend(link.split_once(')').map(|(target, _)| target));
        }
    }
    // A link whose text is code has its target in the next part of prose.
    found
}

/// The label and the target of a line that defines a link: `[label]: target`.
fn definition(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix('[')?.split_once("]: ")
}

/// The labels by which a line refers to links: `[text][label]`.
fn references(line: &str) -> Vec<&str> {
    let texts = line.split('`').step_by(2);
    let labels = texts.flat_map(|text| text.split("][").skip(1));
    labels.filter_map(|label| label.split_once(']').map(|(label, _)| label)).collect()
}

/// The cells of a row of a table.
fn cells(row: &str) -> Vec<&str> {
    let row = row.trim();
    let row = row.strip_prefix('|').unwrap_or(row);
    row.strip_suffix('|').unwrap_or(row).split('|').map(str::trim).collect()
}

/// Returns the faults in the tables of a document.
fn faults_of_tables(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut columns = None;
    for (number, line) in prose(text) {
        if !line.starts_with('|') {
            columns = None;
            continue;
        }
        let cells = cells(line);
        // The first cell of a heading may be empty.
        let empty =
            cells.iter().enumerate().any(|(at, cell)| cell.is_empty() && (at > 0 || columns.is_some()));
        let columns = *columns.get_or_insert(cells.len());
        if empty {
            faults.push(format!("line {number}: a cell is empty: {line}"));
        }
        if cells.len() != columns {
            faults
                .push(format!("line {number}: {} cells, where the table has {columns}: {line}", cells.len()));
        }
    }
    faults
}

/// Returns the faults in the links of the document at `path`.
fn faults_of_links(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let own = anchors(text);
    let prose = prose(text);
    let labels: BTreeSet<&str> =
        prose.iter().filter_map(|(_, line)| definition(line)).map(|(label, _)| label).collect();
    for (number, line) in prose {
        for label in references(line).into_iter().filter(|label| !labels.contains(label)) {
            faults.push(format!("{}:{number}: no link is called [{label}]", path.display()));
        }
        for link in links(line).into_iter().chain(definition(line).map(|(_, target)| target)) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = path.with_file_name(file);
            let found = match (link.starts_with('#'), anchor) {
                (true, anchor) => own.contains(anchor),
                (false, "") => file.exists(),
                (false, anchor) => file.exists() && anchors(&read(&file)).contains(anchor),
            };
            if !found {
                faults.push(format!("{}:{number}: nothing is at {link}", path.display()));
            }
        }
    }
    faults
}

/// The pages in a folder.
fn pages(folder: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(root().join(folder)).unwrap();
    let mut pages: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    assert!(pages.len() > 3, "{folder}: {pages:?}");
    pages.sort();
    pages
}

/// The pages for users, which are modules of the crate's documentation too.
const GUIDE: &str = "capnode/docs";

fn documents() -> Vec<PathBuf> {
    let mut documents = [pages("docs"), pages(GUIDE)].concat();
    for page in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"] {
        documents.push(root().join(page));
    }
    documents.sort();
    documents
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let faults: Vec<String> =
        documents().iter().flat_map(|path| faults_of_links(path, &read(path))).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_table_of_a_document_has_an_empty_cell_or_one_too_few() {
    let faults: Vec<String> = documents()
        .iter()
        .flat_map(|path| {
            faults_of_tables(&read(path)).into_iter().map(move |fault| format!("{}: {fault}", path.display()))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The rows of the tables under the heading `heading`.
fn rows<'a>(text: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let lines = prose(text);
    let lines = lines.iter().map(|(_, line)| *line).skip_while(|line| *line != heading).skip(1);
    let table = lines.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with('|'));
    table.skip(2).map(cells).collect()
}

/// A page of the guide stands in two places. Its links to other pages are defined at its end, as files; `guide.rs` defines
/// the same labels before it, as modules.
#[test]
fn every_page_of_the_guide_is_a_module_whose_links_lead_to_modules() {
    let guide = read(&root().join("capnode/src/guide.rs"));
    let modules: BTreeMap<&str, &str> =
        guide.lines().filter_map(|line| definition(line.trim_start().trim_start_matches('"'))).collect();
    let mut faults = Vec::new();
    for path in pages(GUIDE) {
        let (file, text) = (path.file_name().unwrap().to_str().unwrap(), read(&path));
        let module = file.trim_end_matches(".md").replace('-', "_");
        let included =
            format!("#[doc = links!()]\n#[doc = include_str!(\"../docs/{file}\")]\npub mod {module} {{}}\n");
        if !guide.contains(&included) {
            faults.push(format!("{file}: guide.rs should have\n{included}"));
        }
        for (number, line) in prose(&text) {
            for link in links(line).iter().filter(|link| !link.starts_with('#') && !link.contains("://")) {
                faults.push(format!("{file}:{number}: define a link for {link} at the end of the page"));
            }
            let Some((label, target)) = definition(line).filter(|(_, target)| !target.contains("://")) else {
                continue;
            };
            let expected =
                format!("crate::guide::{}", target.replacen(".md", "", 1).replacen("from-j", "from_j", 1));
            if modules.get(label) != Some(&expected.as_str()) {
                faults.push(format!("{file}:{number}: guide.rs should have [{label}]: {expected}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The pages of the guide are listed in four places: for readers of the repository, of one page, and of the crate's
/// documentation.
#[test]
fn every_page_of_the_guide_is_in_every_list_of_them() {
    let mut faults = Vec::new();
    let lists = ["README.md", "docs/README.md", "capnode/docs/first.md", "capnode/src/lib.rs"];
    for list in lists {
        let text = read(&root().join(list));
        for page in pages(GUIDE) {
            let name = page.file_stem().unwrap().to_str().unwrap();
            let module = format!("guide::{}", name.replace('-', "_"));
            let is_itself = root().join(list).ends_with(page.strip_prefix(root()).unwrap());
            if !is_itself && !text.contains(&format!("{name}.md")) && !text.contains(&module) {
                faults.push(format!("{list}: {name} is missing"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The code below the heading of an anchor, up to the next heading that is not below it.
fn section(text: &str, heading: &str) -> Option<String> {
    let prose = prose(text);
    let is_heading = |line: &str| line.starts_with('#');
    let at = prose
        .iter()
        .position(|(_, line)| is_heading(line) && anchor(line.trim_start_matches('#')) == heading)?;
    let level = |line: &str| line.len() - line.trim_start_matches('#').len();
    let (first, line) = prose[at];
    let end = prose[at + 1..].iter().find(|(_, next)| is_heading(next) && level(next) <= level(line));
    let end = end.map_or(usize::MAX, |(number, _)| number - 1);
    Some(text.lines().take(end).skip(first).collect::<Vec<_>>().join("\n"))
}

#[test]
fn every_feature_of_the_javascript_libraries_has_an_example() {
    let page = root().join(GUIDE).join("from-javascript.md");
    let text = read(&page);
    let targets: BTreeMap<&str, &str> =
        prose(&text).into_iter().filter_map(|(_, line)| definition(line)).collect();
    let mut linked = BTreeSet::new();
    for heading in ["## Capnode", "## Q-Connection"] {
        let rows = rows(&text, heading);
        assert!(rows.len() >= 25, "{heading}: {} rows", rows.len());
        for row in rows {
            let cell = row.last().unwrap();
            let found: Vec<&str> = links(cell)
                .into_iter()
                .chain(references(cell).into_iter().map(|label| targets[label]))
                .collect();
            assert!(!found.is_empty(), "no link to an example: {row:?}");
            for link in found {
                // An example is here, or in another page of the guide.
                let code = match link.split_once('#') {
                    Some(("", anchor)) => {
                        linked.insert(anchor.to_owned());
                        section(&text, anchor)
                    }
                    Some((file, anchor)) => section(&read(&page.with_file_name(file)), anchor),
                    None => Some(read(&page.with_file_name(link))),
                };
                assert!(code.is_some_and(|code| code.contains("```rust")), "no code at {link}: {row:?}");
            }
        }
    }
    // And every example is for a feature.
    let examples = text.split("\n## Examples\n").nth(1).unwrap().split("\n## ").next().unwrap();
    for example in examples.split("\n### ").skip(1) {
        let (heading, _) = example.split_once('\n').unwrap();
        assert!(linked.contains(&anchor(heading)), "no feature: {heading}");
    }
}

#[test]
fn what_is_wrong_with_a_document_is_found() {
    let table = "| a | b |\n|---|---|\n| 1 | |\n| 1 |\n| 1 | 2 |\n";
    assert_eq!(faults_of_tables(table).len(), 2);
    assert!(faults_of_tables("| | b |\n|---|---|\n| 1 | 2 |\n```\n| |\n```\n").is_empty());

    let path = root().join(GUIDE).join("from-javascript.md");
    let text = "# A heading, of two\n[here](#a-heading-of-two) [gone](#nothing) `[code](#gone)`\n[`code`](gone.md)\n";
    let faults = faults_of_links(&path, text);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults_of_links(&path, "[x](semantics.md#order), [y](https://example.com)").is_empty());
    let text = "[x][one], [y][two]\n\n[one]: gone.md\n[three]: semantics.md\n";
    assert_eq!(faults_of_links(&path, text).len(), 2);

    let text = "# A\n```rust\n```\n## B\n### C\n```text\n# d\n```\n## E\n";
    assert_eq!(section(text, "b").as_deref(), Some("### C\n```text\n# d\n```"));
    assert_eq!(section(text, "d"), None);
}

#[test]
fn decisions_are_numbered_in_order_and_those_that_are_cited_exist() {
    let decisions = read(&root().join("docs/decisions.md"));
    let numbers: Vec<usize> = decisions
        .lines()
        .filter_map(|line| line.strip_prefix("**")?.strip_prefix('D')?.split_once(". ")?.0.parse().ok())
        .collect();
    assert!(!numbers.is_empty());
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
    let leads = decisions.split("\n\n").filter(|paragraph| paragraph.starts_with("**")).count();
    assert_eq!(leads, numbers.len(), "a decision has no number");

    for page in documents() {
        for (line, text) in prose(&read(&page)) {
            for cited in text.split("decision D").skip(1) {
                let number: String = cited.chars().take_while(char::is_ascii_digit).collect();
                let known = number.parse().is_ok_and(|number: usize| numbers.contains(&number));
                assert!(known, "{}:{line}: there is no decision D{number}", page.display());
            }
        }
    }
}
