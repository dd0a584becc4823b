//! How values and errors of this program are said in a peer's language.

use crate::bounds;
use crate::cap::payload::{Body, Lent, flatten, unfold, with_records};
use crate::dialect::{Dialect, capnweb};
use crate::error::{Data, Error};
use crate::op::{Payload, Text};

/// Bytes of a message beside its path and its values.
pub(super) const ENVELOPE: usize = 64;

/// A value with nothing in it that the peer's language has no words for; and what is left of it, to be dropped
/// where no lock is held.
pub(super) fn wording(
    body: Body,
    dialect: Option<Dialect>,
    bytes: usize,
) -> (Result<Payload<Lent>, Error>, Option<Box<Body>>) {
    let body = match body.without_refs() {
        Ok(plain) => return (Ok(plain), None),
        Err(body) => body,
    };
    let dialect = dialect.unwrap_or_default();
    if dialect == Dialect::CapnWeb {
        let (value, left) = unfold(body, bytes);
        return (value.map(|value| value.map(Lent::Cap)), left.map(Box::new));
    }
    let body = if dialect == Dialect::Capnode { with_records(body) } else { body };
    (flatten(body.clone(), bytes), Some(Box::new(body)))
}

/// What is written of an error: without what goes with it, if that cannot be written or is too long.
pub(super) fn error_text(error: &Error, frame_bytes: usize) -> Text {
    let most = frame_bytes.saturating_sub(ENVELOPE);
    let text = |error: &Error| {
        // Nothing is written that is too long for sure.
        let known = error.told().len()
            + match error.data() {
                Data::Wire(data) | Data::Thrown(data) => data.as_str().len(),
                Data::None | Data::Local(_) => 0,
            };
        let text = (known < most).then(|| bounds::writing(most, || capnweb::error_text(error)));
        text?.ok().filter(|text| text.len() < most)
    };
    let plain = || text(&Error::rejected(error.told()));
    let text = text(error).or_else(plain).unwrap_or_else(|| {
        capnweb::error_text(&Error::rejected("an error that is longer than a frame may be"))
            .unwrap_or_default()
    });
    text.into()
}
