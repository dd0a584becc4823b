//! The programs that a newcomer is shown: those of `capnode/docs/first.md`, and the JavaScript of the README.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use capnode_tests::examples::{example, hello};
use capnode_tests::{js, soon};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_first_page_shows_the_programs_that_are_tested() {
    let page = read("capnode/docs/first.md");
    for file in ["src/lib.rs", "src/bin/server.rs", "src/bin/client.rs", "page.html"] {
        let text = read(&format!("examples/hello/{file}"));
        assert!(page.contains(&format!("`{file}`")), "capnode/docs/first.md does not name {file}");
        assert!(
            page.contains(&format!("\n{text}```\n")),
            "capnode/docs/first.md should have {file} as it is"
        );
    }
}

/// A program, its input, and the lines that it prints.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { stdin: child.stdin.take(), child, lines }
    }

    /// Types a line.
    async fn says(&mut self, line: &str) {
        self.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> Option<String> {
        soon(self.lines.next_line()).await.unwrap()
    }

    async fn prints(&mut self, line: &str) {
        assert_eq!(self.line().await.as_deref(), Some(line));
    }
}

#[tokio::test]
async fn the_programs_and_the_browser_page_of_the_first_page_run() {
    let mut command = hello("server");
    command.arg("ws://127.0.0.1:0");
    let mut server = Running::start(command);
    let line = server.line().await.unwrap();
    let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));

    let mut command = hello("client");
    command.args(["ann", url]);
    let mut ann = Running::start(command);
    ann.prints("* ann joins").await;

    let mut command = hello("client");
    command.args(["bob", url]);
    let mut other = Running::start(command);
    other.prints("* bob joins").await;
    ann.prints("* bob joins").await;
    let mut leaves = "* bob leaves";
    if js::ready() {
        other.child.kill().await.unwrap();
        ann.prints(leaves).await;
        other = Running::start(page(url));
        other.prints("* page joins").await;
        ann.prints("* page joins").await;
        other.says("good day").await;
        other.prints("page: good day").await;
        ann.prints("page: good day").await;
        leaves = "* page leaves";
    }
    ann.says("hello").await;
    ann.prints("ann: hello").await;
    other.prints("ann: hello").await;
    other.child.kill().await.unwrap();
    ann.prints(leaves).await;

    // Ctrl+D.
    ann.stdin = None;
    assert!(soon(ann.child.wait()).await.unwrap().success());
    loop {
        match server.line().await.as_deref() {
            Some("* ann leaves") => break,
            Some(_) => {}
            None => panic!("the server has ended"),
        }
    }
}

/// The script of the page, connected to `url`.
fn page(url: &str) -> Command {
    let page = read("examples/hello/page.html");
    let between = |start: &str, end: &str| page.split(start).nth(1).unwrap().split(end).next().unwrap();
    // The address that the page gives for the package is right.
    let package = between(r#""capnweb": "./node_modules/"#, "\"");
    assert!(js::package_file(package).exists(), "no {package}");
    let script = between("<script type=\"module\">", "</script>");
    assert!(script.contains("ws://127.0.0.1:5004"));
    js::module(&format!("import './page.mjs';{}", script.replace("ws://127.0.0.1:5004", url)))
}

#[tokio::test]
async fn the_javascript_of_the_readme_runs_in_node_and_in_a_page() {
    if !js::ready() {
        return;
    }
    let mut command = example("tour_server");
    command.args(["--ws", "127.0.0.1:0", "--origin", "http://localhost:8000"]);
    let mut server = Running::start(command);
    let line = server.line().await.unwrap();
    let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));

    let readme = read("README.md");
    let script = readme.split("```js\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(script.contains("127.0.0.1:5004"));
    let script = script.replace("127.0.0.1:5004", address);
    for script in [script.clone(), format!("import './page.mjs';{script}")] {
        let mut running = Running::start(js::module(&script));
        running.prints("user of ann").await;
        // A page stays until it is closed.
        running.stdin = None;
        assert!(soon(running.child.wait()).await.unwrap().success());
    }
}
