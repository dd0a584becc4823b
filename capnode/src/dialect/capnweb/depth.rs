//! Depth of a text that is put together from parts.

use crate::error::{Error, ErrorKind};

/// An expression at this depth is refused by npm's `capnweb`, by the sender and by the receiver;
/// so it is here. The arguments of a call are at depth 1, and each object or array adds one.
pub(crate) use crate::limits::MAX_DEPTH;

/// Follows a text, part by part.
#[derive(Debug, Default)]
pub(crate) struct Depth {
    /// The open brackets; `true` for each that counts.
    open: Vec<bool>,
    depth: usize,
    /// `true` if the last was a bracket that may be the outer one of an array.
    outer: bool,
    string: bool,
    escape: bool,
}

impl Depth {
    /// The next part of the text, which may nest no deeper than the language can say.
    pub(crate) fn follow(&mut self, text: &str) -> Result<(), Error> {
        for byte in text.bytes() {
            if self.string {
                match byte {
                    _ if self.escape => self.escape = false,
                    b'\\' => self.escape = true,
                    b'"' => self.string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => continue,
                b'"' => self.string = true,
                b'[' | b'{' => {
                    // Two brackets are one array.
                    let counts = byte == b'{' || !self.outer;
                    self.outer = byte == b'[' && counts;
                    self.open.push(counts);
                    self.depth += usize::from(counts);
                    if self.depth >= MAX_DEPTH {
                        let message =
                            format!("the value nests {MAX_DEPTH} levels deep, which no peer would read");
                        return Err(Error::new(ErrorKind::Limit, message));
                    }
                    continue;
                }
                b']' | b'}' => self.depth -= usize::from(self.open.pop().unwrap_or(false)),
                _ => {}
            }
            self.outer = false;
        }
        Ok(())
    }

    /// A reference stands here.
    pub(crate) fn reference(&mut self) {
        self.outer = false;
    }
}
