//! The bounds of JSON texts, for byte streams of peers that put nothing between them.

/// A text under examination, with its state so far.
#[derive(Debug, Default)]
pub(super) struct Text {
    depth: usize,
    begun: bool,
    in_string: bool,
    escaped: bool,
}

/// The role of the next byte in a text.
#[derive(Debug, PartialEq)]
pub(super) enum Byte {
    /// White space before it begins.
    Before,
    Inside,
    /// Its last one.
    Last,
    /// The first one behind it: where a number or a word ends is only seen then.
    Behind,
}

impl Text {
    /// Looks at the next byte. Text that is no JSON has an end, too: its reader finds the error.
    pub(super) fn look(&mut self, byte: u8) -> Byte {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    return self.ended();
                }
                _ => {}
            }
            return Byte::Inside;
        }
        let bare = self.begun && self.depth == 0;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' if !self.begun => return Byte::Before,
            b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'[' | b'"' if bare => return Byte::Behind,
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.begun = true;
                self.depth = self.depth.saturating_sub(1);
                return self.ended();
            }
            _ => {}
        }
        self.begun = true;
        Byte::Inside
    }

    fn ended(&self) -> Byte {
        if self.depth == 0 { Byte::Last } else { Byte::Inside }
    }
}

#[cfg(test)]
mod tests {
    use super::{Byte, Text};

    fn split(stream: &str) -> Vec<String> {
        let (mut texts, mut text, mut state) = (Vec::new(), String::new(), Text::default());
        for character in stream.chars() {
            let byte = if character.is_ascii() { character as u8 } else { b'x' };
            match state.look(byte) {
                Byte::Before => continue,
                Byte::Inside => {
                    text.push(character);
                    continue;
                }
                Byte::Last => text.push(character),
                Byte::Behind => {
                    texts.push(std::mem::take(&mut text));
                    state = Text::default();
                    if state.look(byte) != Byte::Before {
                        text.push(character);
                    }
                    continue;
                }
            }
            texts.push(std::mem::take(&mut text));
            state = Text::default();
        }
        if !text.is_empty() {
            texts.push(text);
        }
        texts
    }

    #[test]
    fn texts_are_told_apart_whatever_stands_between_them() {
        assert_eq!(split(r#"{"a":1}{"b":[{}]} {"c":"}"}"#), [r#"{"a":1}"#, r#"{"b":[{}]}"#, r#"{"c":"}"}"#]);
        assert_eq!(split("\n {} \r\n[[1],2]\n"), ["{}", "[[1],2]"]);
        assert_eq!(split(r#"{"a":"\\"}{"b":"\""}"#), [r#"{"a":"\\"}"#, r#"{"b":"\""}"#]);
    }

    #[test]
    fn values_other_than_objects_are_split_as_well() {
        assert_eq!(
            split(r#"null 1.5e3 "a\"b"{}true{"a":1}"#),
            ["null", "1.5e3", r#""a\"b""#, "{}", "true", r#"{"a":1}"#]
        );
    }

    #[test]
    fn text_that_is_not_json_is_split_somewhere() {
        assert_eq!(split("}{]x {}"), ["}", "{]", "x", "{}"]);
    }
}
