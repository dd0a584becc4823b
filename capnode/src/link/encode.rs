//! Conversion of this program's values and errors to a peer's language.

use crate::bounds;
use crate::cap::payload::{LivePayload, REFERENCE, flatten, unfold, with_records};
use crate::dialect::{Capabilities, capnweb};
use crate::error::{Error, ErrorData};
use crate::message::{Payload, Text};

/// Bytes of a message beside its path and its values.
pub(super) const ENVELOPE: usize = 64;

/// Converts a value to one that the peer's language can express. Returns the rest of it as well, to be dropped where no
/// lock is held.
pub(super) fn to_wire(
    body: LivePayload,
    peer: Option<&Capabilities>,
    bytes: usize,
) -> (Result<LivePayload, Error>, Option<Box<LivePayload>>) {
    if body.is_plain() {
        return (Ok(body), None);
    }
    let peer = peer.unwrap_or_default();
    if !peer.graphs {
        let (value, left) = unfold(body, bytes);
        return (value, left.map(Box::new));
    }
    let body = if peer.records { with_records(body) } else { body };
    (flatten(body.clone(), bytes), Some(Box::new(body)))
}

/// Converts an error to one that the peer's language can express: without its data, if that cannot be written or is too
/// long, and without the references in it where errors have none. Returns the rest of it as well, to be dropped where no
/// lock is held.
pub(super) fn error_to_wire(
    error: &Error,
    peer: Option<&Capabilities>,
    frame_bytes: usize,
) -> (LivePayload, Option<Box<LivePayload>>) {
    if error.references().is_none() || !peer.unwrap_or_default().pipes {
        return (Payload::plain(error_text(error, frame_bytes)), None);
    }
    let most = frame_bytes.saturating_sub(ENVELOPE);
    let (whole, left) = match error.expression() {
        Ok(whole) => to_wire(whole, peer, most),
        Err(unwritten) => (Err(unwritten), None),
    };
    let fits = |whole: &LivePayload| whole.text.as_str().len() + whole.refs.len() * REFERENCE < most;
    match whole {
        Ok(whole) if fits(&whole) => (whole, left),
        // The error still holds what was in it.
        _ => (Payload::plain(error_text(&error.clone().without_references(), frame_bytes)), left),
    }
}

/// Returns the text of an error in a message: without its data, if that cannot be written or is too long.
fn error_text(error: &Error, frame_bytes: usize) -> Text {
    let most = frame_bytes.saturating_sub(ENVELOPE);
    let text = |error: &Error| {
        // A text that is certainly too long is not written at all.
        let known = error.public_message().len()
            + match error.data() {
                ErrorData::Wire(data) | ErrorData::Thrown(data) => data.as_str().len(),
                ErrorData::None | ErrorData::Local(_) => 0,
            };
        let text = (known < most).then(|| bounds::writing(most, || capnweb::error_text(error)));
        text?.ok().filter(|text| text.len() < most)
    };
    let plain = || text(&Error::rejected(error.public_message()));
    let text = text(error).or_else(plain).unwrap_or_else(|| {
        capnweb::error_text(&Error::rejected("the error is longer than a frame may be")).unwrap_or_default()
    });
    text.into()
}
