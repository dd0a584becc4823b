//! Rust's source, for tests that read it.

use std::path::{Path, PathBuf};

/// Returns the root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the identifiers, numbers and punctuation of a source, without comments, texts and lifetimes.
///
/// # Panics
///
/// If it is not Rust.
pub fn tokens(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let is_word = |at: usize| bytes.get(at).is_some_and(|c| c.is_ascii_alphanumeric() || *c == b'_');
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let rest = &text[at..];
        let raw = rest.trim_start_matches('b').strip_prefix('r').map(|rest| rest.trim_start_matches('#'));
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if let Some(body) = raw.filter(|body| body.starts_with('"')) {
            let quotes = rest.len() - body.len() - rest.find('r').unwrap() - 1;
            let end = format!("\"{}", "#".repeat(quotes));
            at += rest.len() - body.len() + 1 + body[1..].find(&end).unwrap() + end.len();
        } else if rest.starts_with('"') {
            at += 1;
            while bytes[at] != b'"' {
                at += if bytes[at] == b'\\' { 2 } else { 1 };
            }
            at += 1;
        } else if let Some(body) = rest.strip_prefix('\'') {
            let c = body.chars().next().unwrap();
            if c == '\\' {
                at += 3 + body[2..].find('\'').unwrap() + 1;
            } else if body[c.len_utf8()..].starts_with('\'') {
                at += 2 + c.len_utf8();
            } else {
                // A lifetime.
                at += 1;
                while is_word(at) {
                    at += 1;
                }
            }
        } else if is_word(at) {
            let start = at;
            while is_word(at) {
                at += 1;
            }
            tokens.push(&text[start..at]);
        } else {
            let len = if rest.starts_with("::") { 2 } else { rest.chars().next().unwrap().len_utf8() };
            if !rest.starts_with(char::is_whitespace) {
                tokens.push(&text[at..at + len]);
            }
            at += len;
        }
    }
    tokens
}
