//! Peers in JavaScript: the scripts in `tests/js`, run by Node.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, OpenOptions};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout};

/// The time limit of `npm ci`.
const INSTALLING: Duration = Duration::from_secs(300);

/// The time in which a script must report that it listens.
const STARTING: Duration = Duration::from_secs(60);

/// The time limit of a script that ends by itself.
const RUNNING: Duration = Duration::from_secs(180);

/// Makes the scripts ready to run. `false` if they are to be left out.
///
/// # Panics
///
/// If Node is not there, or the packages cannot be installed.
pub fn ready() -> bool {
    if is_skipped("node") {
        eprintln!("left out, since CAPNODE_SKIP names node");
        return false;
    }
    if let Err(error) = Command::new("node").arg("--version").stdout(Stdio::null()).status() {
        panic!(
            "these tests run peers in JavaScript, and `node` cannot be started ({error}). Get Node 20 or newer from \
             https://nodejs.org or your distribution, or set CAPNODE_SKIP=node to leave these tests out."
        );
    }
    install();
    true
}

/// Returns whether `CAPNODE_SKIP`, a list separated by commas, names a tool that is to be done without.
fn is_skipped(tool: &str) -> bool {
    std::env::var("CAPNODE_SKIP").is_ok_and(|list| list.split(',').any(|name| name.trim() == tool))
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("js")
}

/// Returns whether the installed packages are those of `package-lock.json`.
fn is_installed() -> bool {
    let modified = |path: &str| fs::metadata(directory().join(path)).and_then(|file| file.modified()).ok();
    // npm writes this last.
    let installed = modified("node_modules/.package-lock.json");
    installed.is_some() && installed >= modified("package-lock.json")
}

/// Installs the packages, once for all tests that run now.
fn install() {
    static HERE: Mutex<()> = Mutex::new(());
    let _once = HERE.lock().unwrap_or_else(PoisonError::into_inner);
    if is_installed() {
        return;
    }
    // Other processes may be about to do the same.
    let _lock = FileLock::take();
    if is_installed() {
        return;
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    match Command::new(npm).arg("ci").current_dir(directory()).output() {
        Ok(Output { status, .. }) if status.success() => {}
        Ok(Output { stdout, stderr, .. }) => {
            let said = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
            panic!(
                "`npm ci` in {} failed; CAPNODE_SKIP=node leaves these tests out.\n{said}",
                directory().display()
            );
        }
        Err(error) => panic!("`npm`, which comes with Node, cannot be started: {error}"),
    }
}

/// A file that is there while one process installs.
struct FileLock(PathBuf);

impl FileLock {
    fn take() -> Self {
        let mut hasher = DefaultHasher::new();
        directory().hash(&mut hasher);
        let path = std::env::temp_dir().join(format!("capnode-tests-{:016x}.lock", hasher.finish()));
        while OpenOptions::new().write(true).create_new(true).open(&path).is_err() {
            let since = fs::metadata(&path).and_then(|file| file.modified());
            let age = since.ok().and_then(|since| SystemTime::now().duration_since(since).ok());
            if age.is_some_and(|age| age > INSTALLING) {
                // Its maker was ended before it was done.
                let _gone = fs::remove_file(&path);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Self(path)
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // If it has gone already, all is well.
        let _gone = fs::remove_file(&self.0);
    }
}

fn node(script: &str, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("node");
    command.arg(directory().join(script)).args(arguments).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// A command that runs a module given as text, which can import the same as the scripts; it is ended when it is
/// dropped.
pub fn module(text: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("node");
    command.args(["--input-type=module", "--eval", text]).current_dir(directory());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// The path of a file of an installed package, such as `capnweb/dist/index.js`.
pub fn package_file(path: &str) -> PathBuf {
    directory().join("node_modules").join(path)
}

/// A script that serves. It ends when this is dropped.
pub struct Server {
    child: Child,
    address: String,
    // Kept open, so that the script can print.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a script, and waits until it has said where it listens.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn start(script: &str, arguments: &[&str]) -> Self {
        // A server whose tests were ended the hard way goes when its standard input does.
        let mut arguments = arguments.to_vec();
        arguments.push("--until-stdin-closes");
        let mut child = node(script, &arguments).stdin(Stdio::piped()).spawn().expect("node starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        let mut line = String::new();
        let read = tokio::time::timeout(STARTING, stdout.read_line(&mut line)).await;
        assert!(matches!(read, Ok(Ok(_))), "{script} did not say that it listens: {read:?}");
        let address = line.trim().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("{script} said `{line}`")).to_owned();
        Self { child, address, _stdout: stdout }
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends it, as a crash would.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
    }
}

/// The output of a script, and its success.
#[derive(Debug)]
pub struct Ended {
    /// The lines on its standard output.
    pub lines: Vec<String>,
    /// `true` if its exit code was 0.
    pub success: bool,
}

impl Ended {
    /// Checks that a client that makes checks has passed all, and at least so many.
    ///
    /// # Panics
    ///
    /// If it has not.
    pub fn assert_passed(&self, at_least: usize) {
        let failed: Vec<_> = self.lines.iter().filter(|line| line.starts_with("FAILED ")).collect();
        assert!(failed.is_empty() && self.success, "{}: {failed:#?}", self.last());
        let passed = self.last().strip_suffix(" passed, 0 failed").and_then(|number| number.parse().ok());
        assert!(passed.is_some_and(|passed: usize| passed >= at_least), "{}", self.last());
    }

    /// The last line.
    pub fn last(&self) -> &str {
        self.lines.last().map_or("", String::as_str)
    }
}

/// Runs a script to its end.
///
/// # Panics
///
/// If it does not end.
pub async fn run(script: &str, arguments: &[&str]) -> Ended {
    let mut child = node(script, arguments).stdin(Stdio::null()).spawn().expect("node starts");
    let mut stdout = child.stdout.take().expect("it was piped");
    let mut text = String::new();
    let run = async {
        stdout.read_to_string(&mut text).await.expect("it prints text");
        child.wait().await.expect("it ends")
    };
    let status = tokio::time::timeout(RUNNING, run).await;
    let status = status.unwrap_or_else(|_| panic!("{script} did not end"));
    Ended { lines: text.lines().map(str::to_owned).collect(), success: status.success() }
}
