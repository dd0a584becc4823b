//! Text of a peer, as it is printed.

use std::fmt::{self, Write as _};

/// Prints text with all unprintable characters escaped, so that it stays within its line, and a terminal only shows it.
pub(crate) struct EscapeControl<'a>(pub(crate) &'a str);

impl fmt::Display for EscapeControl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((at, character)) = rest.char_indices().find(|(_, character)| is_control(*character)) {
            f.write_str(&rest[..at])?;
            for escaped in character.escape_default() {
                f.write_char(escaped)?;
            }
            rest = &rest[at + character.len_utf8()..];
        }
        f.write_str(rest)
    }
}

/// `true` if a character acts instead of being shown: control characters, ends of lines and paragraphs, and characters
/// that turn the direction of the text around them.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_printable_character_is_escaped() {
        for (text, printed) in [
            ("a plain text, é 🙂", "a plain text, é 🙂"),
            ("no\nINFO forged", "no\\nINFO forged"),
            ("\r\t\0", "\\r\\t\\u{0}"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
            ("user\u{202e}nimda\u{2066}", "user\\u{202e}nimda\\u{2066}"),
            ("", ""),
        ] {
            assert_eq!(EscapeControl(text).to_string(), printed);
        }
    }
}
