//! Why a value could not be written or read, as an error.

use crate::dialect::Failure;
use crate::error::{Error, ErrorKind};

pub(super) fn encode_error(failure: Failure) -> Error {
    Error::new(ErrorKind::Encode, failure.0)
}

pub(super) fn decode_error(failure: Failure) -> Error {
    // It may quote what came.
    let message = match failure.0.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &failure.0[..end]),
        None => failure.0,
    };
    Error::new(ErrorKind::Decode, message)
}

/// The start of a text of the peer's, for a message.
pub(super) fn short(text: &str) -> String {
    text.chars().take(60).collect()
}
