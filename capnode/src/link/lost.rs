//! Messages to what is not known.

/// A message to something that was forgotten, or never was: see [`Node::on_message_lost`](crate::Node::on_message_lost).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostMessage {
    /// The id that is not known.
    pub id: String,
    /// The whole message.
    pub message: String,
}
