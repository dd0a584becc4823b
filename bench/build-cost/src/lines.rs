//! Counts lines of code.

use std::error::Error;
use std::io::Write;
use std::process::{Command, Stdio};

/// Counts the lines of a text as rustfmt writes it by default, without empty ones, comments and documentation.
pub fn count(source: &str) -> Result<usize, Box<dyn Error>> {
    let formatted = formatted(source)?;
    Ok(formatted.lines().filter(|line| is_code(line)).count())
}

fn is_code(line: &str) -> bool {
    let line = line.trim_start();
    !(line.is_empty() || line.starts_with("//") || line.starts_with("#[doc"))
}

/// Counts the lines of handwritten code, without attributes, which are gone once they have been expanded.
pub fn count_written(source: &str) -> Result<usize, Box<dyn Error>> {
    let formatted = formatted(source)?;
    Ok(formatted.lines().filter(|line| is_code(line) && !line.trim_start().starts_with("#[")).count())
}

fn formatted(source: &str) -> Result<String, Box<dyn Error>> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config", "max_width=100,use_small_heuristics=Default"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = rustfmt.stdin.take().ok_or("rustfmt has no input")?;
    let output = std::thread::scope(|scope| {
        // Both at a time, since it may write before it has read all.
        let writing = scope.spawn(move || input.write_all(source.as_bytes()));
        let output = rustfmt.wait_with_output();
        writing.join().map_err(|_| "writing to rustfmt panicked")??;
        Ok::<_, Box<dyn Error>>(output?)
    })?;
    if !output.status.success() {
        return Err("rustfmt failed".into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn documentation_is_no_code_and_attributes_are_only_where_they_stay() {
    let source = "/// What it is.\n#[doc = \"More.\"]\n#[inline]\nfn f() {\n\n    // why\n    g()\n}\n";
    assert_eq!(count(source).unwrap(), 4);
    assert_eq!(count_written(source).unwrap(), 3);
}
