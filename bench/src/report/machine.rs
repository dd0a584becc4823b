//! The versions, the machine and the date of a measurement.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub struct About {
    pub date: String,
    pub commit: String,
    pub processor: String,
    pub cores: usize,
    pub system: String,
    pub rust: String,
    pub node: String,
    /// The number of times that each measurement was made, and its time.
    pub repetitions: usize,
    pub seconds: f64,
    /// The versions of the peers' packages, and of those that the baseline is made of.
    pub versions: BTreeMap<String, String>,
}

impl About {
    pub fn new(repetitions: usize, seconds: f64) -> Self {
        let packages = crate::peers::ALL.iter().map(|peer| peer.package).chain(["tokio", "serde_json"]);
        let versions = packages.filter_map(|package| Some((package.to_owned(), version(package)?)));
        Self {
            date: said_by("date", &["-u", "+%F"]),
            commit: said_by("git", &["describe", "--always", "--dirty", "--exclude=*"]),
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            // The version, without additions of a distribution or a host.
            system: said_by("uname", &["-sr"]).split('-').next().unwrap_or_default().to_owned(),
            rust: said_by("rustc", &["--version"]).replace("rustc ", "Rust "),
            node: said_by("node", &["--version"]).replace('v', "Node "),
            repetitions,
            seconds,
            versions: versions.collect(),
        }
    }
}

/// The folder of this workspace.
pub fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(here()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| format!("({program} says nothing)"))
}

fn processor() -> String {
    let described = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = described.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Returns the version of a package in the lock files.
fn version(package: &str) -> Option<String> {
    let cargo = fs::read_to_string(here().join("Cargo.lock")).ok()?;
    let npm = fs::read_to_string(here().join("js/package-lock.json")).unwrap_or_default();
    cargo_version(&cargo, package).or_else(|| npm_version(&npm, package))
}

fn cargo_version(lock: &str, package: &str) -> Option<String> {
    let (_, rest) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

fn npm_version(lock: &str, package: &str) -> Option<String> {
    let lock: serde_json::Value = serde_json::from_str(lock).ok()?;
    let path = Path::new("node_modules").join(package);
    Some(lock["packages"][path.to_str()?]["version"].as_str()?.to_owned())
}

#[test]
fn versions_are_those_of_the_lock_file() {
    let lock = "[[package]]\nname = \"tokio-util\"\nversion = \"0.7.1\"\n\n[[package]]\nname = \"tokio\"\nversion = \"1.2.3\"\n";
    assert_eq!(cargo_version(lock, "tokio").as_deref(), Some("1.2.3"));
    assert_eq!(cargo_version(lock, "io"), None);
}
