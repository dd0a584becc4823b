//! The examples, as programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The folder of the programs, which are built as the tests are.
fn target() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // This is `target/PROFILE/deps/TEST-HASH`.
        let this = std::env::current_exe().expect("a test runs from a file");
        let target = this.parent().and_then(Path::parent).expect("it is deep in `target`");
        let profile = match target.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = Command::new(cargo)
            .args([
                "build",
                "--quiet",
                "--examples",
                "--bin",
                "server",
                "--bin",
                "client",
                "--profile",
                profile,
            ])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .output()
            .expect("cargo starts");
        assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
        target.to_owned()
    })
}

/// A command that runs one of the examples, with its output piped; it is ended when it is dropped.
pub fn example(name: &str) -> tokio::process::Command {
    run(&target().join("examples"), name)
}

/// A command that runs `server` or `client` of `examples/hello`, as [`example`] does.
pub fn hello(name: &str) -> tokio::process::Command {
    run(target(), name)
}

fn run(directory: &Path, name: &str) -> tokio::process::Command {
    let mut command =
        tokio::process::Command::new(directory.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}
