//! Runs cargo for the crates that are measured.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::libraries::Library;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The cost of a build.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Processor time of cargo and all that it ran.
    pub processor: Duration,
    pub wall: Duration,
}

/// Builds a crate's interfaces as `cargo check` does, without callers.
pub fn check(library: &Library) -> Result<Cost> {
    timed(library, &["check", "--lib"], "Checking")
}

/// Builds the program that calls all of them.
pub fn release(library: &Library) -> Result<Cost> {
    timed(library, &["build", "--release"], "Compiling")
}

/// Returns the program that `release` made.
pub fn program(library: &Library) -> PathBuf {
    target().join("release").join(library.package())
}

/// Returns the text of a crate's interfaces, with all macros expanded.
pub fn expanded(library: &Library) -> Result<String> {
    // Build scripts look at this variable, so that it would have the dependencies built anew; hence the other folder.
    let folder = target().join("expanded");
    let file = folder.join(library.package()).with_extension("rs");
    let mut command = cargo(library, &["rustc", "--lib", "--profile=check"]);
    command.env("RUSTC_BOOTSTRAP", "1").arg("--target-dir").arg(&folder);
    run(command.args(["--", "-Zunpretty=expanded", "-o"]).arg(&file))?;
    Ok(fs::read_to_string(file)?)
}

/// Returns the number of packages that a crate is built of, itself not counted.
pub fn dependencies(library: &Library, options: &[&str]) -> Result<usize> {
    let output = run(cargo(library, &["tree", "-e", "normal", "--prefix", "none"]).args(options))?;
    let text = String::from_utf8(output.stdout)?;
    let packages: std::collections::BTreeSet<&str> = text
        .lines()
        .map(|line| line.trim_end_matches(" (*)").trim())
        .filter(|line| !line.is_empty())
        .collect();
    Ok(packages.len() - 1)
}

/// Returns the version of a package that the library's users get.
pub fn version(package: &str) -> Result<String> {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock"))?;
    let rest = lock.split_once(&format!("name = \"{package}\"\nversion = \"")).map(|(_, rest)| rest);
    let version = rest.and_then(|rest| rest.split_once('"')).map(|(version, _)| version.to_owned());
    version.ok_or_else(|| format!("Cargo.lock has no `{package}`").into())
}

fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from)
}

fn cargo(library: &Library, arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).args(["--locked", "-p", &library.package()]);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_INCREMENTAL", "0");
    // The environment of this program is not meant for those that it starts.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

fn timed(library: &Library, arguments: &[&str], verb: &str) -> Result<Cost> {
    let (before, start) = (children(), Instant::now());
    let output = run(&mut cargo(library, arguments))?;
    let wall = start.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    let lines = said.lines().filter(|line| line.trim_start().starts_with(verb));
    let built: Vec<&str> = lines.collect();
    if built.iter().any(|line| !line.contains(&library.package())) || built.is_empty() {
        return Err(format!("not the user's crate alone was built:\n{said}").into());
    }
    let processor = match (before, children()) {
        (Some(before), Some(after)) => after - before,
        _ => wall,
    };
    Ok(Cost { processor, wall })
}

/// Builds everything that is needed before a build can be timed.
pub fn prepare(library: &Library, release: bool) -> Result<()> {
    run(&mut cargo(library, &["check", "--lib"]))?;
    if release {
        run(&mut cargo(library, &["build", "--release"]))?;
    }
    Ok(())
}

/// Runs a program to its end, which has to be a good one.
pub fn run(command: &mut Command) -> Result<Output> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(output);
    }
    // A mistake in generated code is there a thousand times.
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().filter(|line| !line.contains("Compiling")).take(40).collect();
    Err(format!("{command:?} failed:\n{}", said.join("\n")).into())
}

/// The processor time of all programs that have been run, where the system tells it.
fn children() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may have spaces. Times are in hundredths of a second.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = fields.split(' ').skip(13).take(2).map(|field| field.parse::<u64>().ok());
    Some(Duration::from_millis(10 * ticks.sum::<Option<u64>>()?))
}
