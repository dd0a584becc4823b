//! Measures the cost of interfaces to the build of a crate that has them. Started by `run`.

mod cargo;
mod libraries;
mod lines;
mod methods;
mod report;

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fs, process};

use cargo::Cost;
use libraries::{LIBRARIES, Library, Size};
use report::{About, Outcome, Release, Spread};

const USAGE: &str =
    "usage: bench/build-cost/run [--quick] [--docs] [--repetitions N] [--size INTERFACES METHODS]
                            [LIBRARY]...

Writes build-cost.md and build-cost.json to bench/results.
  --quick           three repetitions, and no release builds, which take minutes each
  --docs            also puts the table into docs/performance.md
  --repetitions N   how often each check is timed (default 5)
  --size I M        how many interfaces, and methods in each (default 50 20)
  LIBRARY           only these: capnode, tarpc, jsonrpsee";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Options {
    about: About,
    quick: bool,
    docs: bool,
    libraries: Vec<Library>,
}

fn main() {
    if let Err(error) = run() {
        eprintln!("{error}");
        process::exit(1);
    }
}

fn run() -> Result<()> {
    let Some(Options { about, quick, docs, libraries }) = options()? else {
        println!("{USAGE}");
        return Ok(());
    };
    let bench = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = bench.join("../docs/performance.md");
    if docs {
        // Rather now than after a quarter of an hour.
        with_table(&page, "")?;
    }
    let outcomes = measure(&about, &libraries, !quick)?;
    let table = report::table(&about, &outcomes);
    fs::create_dir_all(bench.join("results"))?;
    fs::write(bench.join("results/build-cost.md"), &table)?;
    fs::write(bench.join("results/build-cost.json"), report::json(&about, &outcomes))?;
    if docs {
        fs::write(&page, with_table(&page, &table)?)?;
    }
    println!("{table}");
    Ok(())
}

/// Returns the text of the page with the table in its place.
fn with_table(page: &Path, table: &str) -> Result<String> {
    let (begin, end) = ("<!-- build-cost:begin -->", "<!-- build-cost:end -->");
    let text = fs::read_to_string(page).map_err(|error| format!("docs/performance.md: {error}"))?;
    let text = report::replace_between(&text, begin, end, table);
    Ok(text.map_err(|error| format!("docs/performance.md: {error}"))?)
}

/// The differences that interfaces make to the builds of a library's user, for each method.
#[derive(Default)]
struct Differences {
    /// One for each repetition: of processor time and of time, in milliseconds.
    check: Vec<(f64, f64)>,
    release: Option<Release>,
}

fn measure(about: &About, libraries: &[Library], release: bool) -> Result<Vec<Outcome>> {
    for library in libraries {
        eprintln!("{}: dependencies", library.name);
        library.write(about.size, false)?;
        cargo::prepare(library, release)?;
    }
    let mut differences: Vec<Differences> = libraries.iter().map(|_| Differences::default()).collect();
    for repetition in 1..=about.repetitions {
        for (library, differences) in libraries.iter().zip(&mut differences) {
            eprintln!("{}: {repetition} of {}", library.name, about.repetitions);
            let (without, with) = both(library, about.size, |_| cargo::check(library))?;
            differences.check.push(difference(without, with, about.size));
        }
    }
    let mut outcomes = Vec::new();
    for (library, mut differences) in libraries.iter().zip(differences) {
        if release {
            eprintln!("{}: release, which takes minutes", library.name);
            differences.release = Some(measure_release(library, about.size)?);
        }
        outcomes.push(differences.outcome(library, about.size)?);
    }
    Ok(outcomes)
}

/// Returns the results of `measure` for the crate without interfaces, and with them.
fn both<T>(library: &Library, size: Size, measure: impl Fn(bool) -> Result<T>) -> Result<(T, T)> {
    library.write(size, false)?;
    let without = measure(false)?;
    library.write(size, true)?;
    Ok((without, measure(true)?))
}

fn difference(without: Cost, with: Cost, size: Size) -> (f64, f64) {
    let each = |with: Duration, without: Duration| {
        (with.as_secs_f64() - without.as_secs_f64()) * 1_000.0 / size.total() as f64
    };
    (each(with.processor, without.processor), each(with.wall, without.wall))
}

fn measure_release(library: &Library, size: Size) -> Result<Release> {
    let measured = both(library, size, |with_interfaces| {
        let cost = cargo::release(library)?;
        Ok((cost, bytes(library, if with_interfaces { size.total() } else { 0 })?))
    });
    let ((cost_without, bytes_without), (cost_with, bytes_with)) = measured?;
    let (ms, wall_ms) = difference(cost_without, cost_with, size);
    Ok(Release { ms, wall_ms, bytes: (bytes_with as f64 - bytes_without as f64) / size.total() as f64 })
}

impl Differences {
    fn outcome(self, library: &Library, size: Size) -> Result<Outcome> {
        eprintln!("{}: lines, packages", library.name);
        let (without, with) = both(library, size, |_| added_lines(library))?;
        let lines = (with as f64 - without as f64) / size.total() as f64;
        let (check, check_wall) = spreads(self.check);
        let mut dependencies = vec![("with default features", cargo::dependencies(library, &[])?)];
        if library.name == "capnode" {
            dependencies.push(("without", cargo::dependencies(library, &["--no-default-features"])?));
        }
        let (name, version) = (library.name, cargo::version(library.name)?);
        Ok(Outcome { name, version, check, check_wall, lines, release: self.release, dependencies })
    }
}

fn spreads(values: Vec<(f64, f64)>) -> (Spread, Spread) {
    let (processor, wall) = values.into_iter().unzip();
    (Spread::of(processor), Spread::of(wall))
}

/// Returns the number of lines that the expansion of the macros adds.
fn added_lines(library: &Library) -> Result<usize> {
    let written = fs::read_to_string(library.source())?;
    Ok(lines::count(&cargo::expanded(library)?)? - lines::count_written(&written)?)
}

/// Returns the size of the program, which has to work.
fn bytes(library: &Library, calls: usize) -> Result<u64> {
    let program = cargo::program(library);
    let good = String::from_utf8(cargo::run(&mut Command::new(&program))?.stdout)?;
    if good.trim() != calls.to_string() {
        return Err(format!("{}: {} good answers of {calls}", library.name, good.trim()).into());
    }
    Ok(fs::metadata(program)?.len())
}

fn options() -> Result<Option<Options>> {
    let mut arguments = std::env::args().skip(1);
    let (mut quick, mut docs, mut repetitions) = (false, false, None);
    let mut names = Vec::new();
    let mut size = Size { interfaces: 50, methods: 20 };
    let number = |argument: Option<String>| Ok::<usize, Box<dyn Error>>(argument.ok_or(USAGE)?.parse()?);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" => return Ok(None),
            "--quick" => quick = true,
            "--docs" => docs = true,
            "--repetitions" => repetitions = Some(number(arguments.next())?),
            "--size" => {
                size = Size { interfaces: number(arguments.next())?, methods: number(arguments.next())? };
            }
            name if LIBRARIES.iter().any(|library| library.name == name) => names.push(argument),
            other => return Err(format!("there is no `{other}`\n{USAGE}").into()),
        }
    }
    let chosen = |library: &Library| names.is_empty() || names.iter().any(|name| name == library.name);
    let libraries = LIBRARIES.into_iter().filter(chosen).collect();
    let repetitions = repetitions.unwrap_or(if quick { 3 } else { 5 });
    if repetitions == 0 || size.total() == 0 {
        return Err(USAGE.into());
    }
    Ok(Some(Options { about: About { size, repetitions }, quick, docs, libraries }))
}
