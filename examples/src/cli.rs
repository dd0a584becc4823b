//! The command lines of the examples.

use std::fmt;

/// The reason why a command line was not understood, with the usage.
pub struct Misuse {
    problem: String,
    usage: &'static str,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", self.problem, self.usage)
    }
}

/// The way `main` prints the error that it returns.
impl fmt::Debug for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Misuse {}

/// The options of a command line: names from `with_value`, each followed by a value, and names from
/// `flags`. Each is returned with its value, in the order given; `None` if the usage was asked for,
/// and printed.
pub fn options(
    arguments: impl IntoIterator<Item = String>,
    with_value: &[&str],
    flags: &[&str],
    usage: &'static str,
) -> Result<Option<Vec<(String, String)>>, Misuse> {
    let mut options = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(name) = arguments.next() {
        if name == "--help" || name == "-h" {
            println!("{usage}");
            return Ok(None);
        }
        let value = if flags.contains(&name.as_str()) {
            String::new()
        } else if with_value.contains(&name.as_str()) {
            let missing = || Misuse { problem: format!("{name} needs a value"), usage };
            arguments.next().ok_or_else(missing)?
        } else {
            return Err(Misuse { problem: format!("unknown argument: {name}"), usage });
        };
        options.push((name, value));
    }
    Ok(Some(options))
}

/// A misuse that only the program itself can tell.
pub fn misuse(problem: impl Into<String>, usage: &'static str) -> Misuse {
    Misuse { problem: problem.into(), usage }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Option<Vec<(String, String)>>, Misuse> {
        let arguments = arguments.iter().map(ToString::to_string);
        options(arguments, &["--to"], &["--fast"], "usage: go [--to PLACE] [--fast]")
    }

    #[test]
    fn options_come_with_their_values_in_order() {
        let expected = vec![("--fast".to_owned(), String::new()), ("--to".to_owned(), "sea".to_owned())];
        assert_eq!(read(&["--fast", "--to", "sea"]).unwrap(), Some(expected));
        assert_eq!(read(&["--help", "whatever"]).unwrap(), None);
    }

    #[test]
    fn what_is_wrong_is_said_together_with_the_usage() {
        let problem = |arguments: &[&str]| read(arguments).unwrap_err().to_string();
        assert!(problem(&["--far"]).starts_with("unknown argument: --far\n"));
        assert!(problem(&["sea"]).starts_with("unknown argument: sea\n"));
        assert!(problem(&["--to"]).starts_with("--to needs a value\n"));
        assert!(problem(&["--to"]).ends_with("usage: go [--to PLACE] [--fast]"));
    }
}
