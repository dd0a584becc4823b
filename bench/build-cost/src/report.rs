//! The results, as a table and as JSON.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use crate::libraries::Size;

/// The costs of one library, for each method, less those of the crate without interfaces.
pub struct Outcome {
    pub name: &'static str,
    pub version: String,
    /// Milliseconds.
    pub check: Spread,
    pub check_wall: Spread,
    pub lines: f64,
    /// Nothing if no release was built.
    pub release: Option<Release>,
    /// The numbers of dependencies of a crate that only has the interfaces, by the use of the library there.
    pub dependencies: Vec<(&'static str, usize)>,
}

pub struct Release {
    /// Milliseconds of processor time.
    pub ms: f64,
    pub wall_ms: f64,
    pub bytes: f64,
}

pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

pub struct About {
    pub size: Size,
    pub repetitions: usize,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => (values[middle - 1] + values[middle]) / 2.0,
            _ => values[middle],
        };
        Self { median, least: values[0], most: values[values.len() - 1] }
    }

    fn json(&self) -> String {
        format!(r#"{{"median": {:.4}, "least": {:.4}, "most": {:.4}}}"#, self.median, self.least, self.most)
    }
}

pub fn table(about: &About, outcomes: &[Outcome]) -> String {
    let versions: Vec<String> = outcomes.iter().map(|one| format!("{} {}", one.name, one.version)).collect();
    let Size { interfaces, methods } = about.size;
    let mut text = format!(
        "Measured on {}: {}, {} cores; {}; capnode at {}. {interfaces} interfaces of {methods} methods with their \
         implementations; times are processor time of the user's crate alone, medians of {} repetitions, interleaved (the \
         release was built once); what the same crate is without interfaces is taken off.\nVersions: {}.\n\n",
        said_by("date", &["-u", "+%F"]),
        processor(),
        std::thread::available_parallelism().map_or(1, usize::from),
        said_by("rustc", &["--version"]).replace("rustc ", "Rust "),
        said_by("git", &["describe", "--always", "--dirty", "--exclude=*"]),
        about.repetitions,
        versions.join(", "),
    );
    let mut row = |head: &str, cells: Vec<String>| {
        let _ = writeln!(text, "| {head} | {} |", cells.join(" | "));
    };
    row("", outcomes.iter().map(|one| one.name.to_owned()).collect());
    row("---", outcomes.iter().map(|_| "--:".to_owned()).collect());
    let each = |cell: fn(&Outcome) -> Option<String>| {
        outcomes.iter().map(|one| cell(one).unwrap_or_else(|| "–".to_owned())).collect::<Vec<_>>()
    };
    row("`cargo check`, ms a method", each(|one| Some(format!("{:.2}", one.check.median))));
    row("least and most", each(|one| Some(format!("{:.2} … {:.2}", one.check.least, one.check.most))));
    row("lines that the macro adds, a method", each(|one| Some(format!("{:.1}", one.lines))));
    if outcomes.iter().any(|one| one.release.is_some()) {
        let release = |show: fn(&Release) -> String| {
            outcomes
                .iter()
                .map(|one| one.release.as_ref().map_or_else(|| "–".to_owned(), show))
                .collect::<Vec<_>>()
        };
        row("release build with callers, ms a method", release(|one| format!("{:.1}", one.ms)));
        row("release program, bytes a method", release(|one| format!("{:.0}", one.bytes)));
    }
    let counted = |one: &Outcome| {
        let counts = one.dependencies.iter().map(|(how, count)| match one.dependencies.len() {
            1 => count.to_string(),
            _ => format!("{count} {how}"),
        });
        Some(counts.collect::<Vec<_>>().join(", "))
    };
    row("packages a crate with it is built of", each(counted));
    text
}

pub fn json(about: &About, outcomes: &[Outcome]) -> String {
    let one = |one: &Outcome| {
        let dependencies = one.dependencies.iter().map(|(how, count)| format!("{how:?}: {count}"));
        let release = one.release.as_ref().map_or_else(
            || "null".to_owned(),
            |release| {
                let Release { ms, wall_ms, bytes } = release;
                format!(r#"{{"ms": {ms:.4}, "wall_ms": {wall_ms:.4}, "bytes": {bytes:.1}}}"#)
            },
        );
        format!(
            r#"    {{
      "name": {:?}, "version": {:?},
      "check_ms": {},
      "check_wall_ms": {},
      "lines": {:.3},
      "release": {release},
      "dependencies": {{{}}}
    }}"#,
            one.name,
            one.version,
            one.check.json(),
            one.check_wall.json(),
            one.lines,
            dependencies.collect::<Vec<_>>().join(", "),
        )
    };
    let libraries: Vec<String> = outcomes.iter().map(one).collect();
    format!(
        "{{\n  \"interfaces\": {}, \"methods\": {}, \"repetitions\": {},\n  \"a_method\": [\n{}\n  ]\n}}\n",
        about.size.interfaces,
        about.size.methods,
        about.repetitions,
        libraries.join(",\n")
    )
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| format!("({program} says nothing)"))
}

fn processor() -> String {
    let described = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = described.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Replaces the text between the two markers.
///
/// # Errors
///
/// If the markers are missing.
pub fn replace_between(text: &str, begin: &str, end: &str, what: &str) -> Result<String, String> {
    let missing = || format!("`{begin}` and, after it, `{end}` must be there");
    let (before, rest) = text.split_once(begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(end).ok_or_else(missing)?;
    Ok(format!("{before}{begin}\n{what}{end}{after}"))
}

#[test]
fn only_what_is_between_the_markers_changes() {
    let text = "before <a>\nold\n<b> after";
    assert_eq!(replace_between(text, "<a>", "<b>", "new\n").as_deref(), Ok("before <a>\nnew\n<b> after"));
    assert!(replace_between("<b> <a>", "<a>", "<b>", "new").is_err());
}

#[test]
fn a_median_is_in_the_middle() {
    assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]).median, 2.0);
    assert_eq!(Spread::of(vec![4.0, 1.0]).median, 2.5);
}
