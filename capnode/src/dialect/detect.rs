//! Detection of a peer's language by its first frame.

use super::canonical::MAX_DEPTH;
use super::json::{Json, tree};
use super::{Dialect, ENVELOPE};
use crate::error::Error;
use crate::limits::Limits;

impl Dialect {
    /// Detects the language from a peer's first frame. `None` if it begins like one of Capnode or Q-Connection and is
    /// of neither. Anything that does not begin so is taken for Cap'n Web, whose parser reports the fault.
    ///
    /// # Errors
    ///
    /// If the frame breaks a limit.
    pub(crate) fn detect(frame: &str, limits: &Limits) -> Result<Option<Self>, Error> {
        if !frame.trim_start().starts_with('{') {
            return Ok(Some(Dialect::CapnWeb));
        }
        let message = tree(frame, limits.depth.min(MAX_DEPTH) + ENVELOPE, limits)?;
        let kind = message.as_ref().and_then(|message| message.get("type")).and_then(Json::text);
        Ok(match kind.as_deref() {
            Some("index" | "invocation" | "return" | "error" | "dealloc") => Some(Dialect::Capnode),
            Some("send" | "resolve" | "notify") => Some(Dialect::Q),
            _ => None,
        })
    }
}
