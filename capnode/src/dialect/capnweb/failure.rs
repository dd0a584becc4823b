//! Failures to write or read a value, as errors.

use crate::dialect::Failure;
use crate::error::{Error, ErrorKind};

pub(super) fn encode_error(failure: Failure) -> Error {
    Error::new(ErrorKind::Encode, failure.0)
}

pub(crate) fn decode_error(failure: Failure) -> Error {
    // It may quote the peer's text.
    let message = match failure.0.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &failure.0[..end]),
        None => failure.0,
    };
    Error::new(ErrorKind::Decode, message)
}
