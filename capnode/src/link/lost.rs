//! Messages to unknown ids.

/// A message to an id that was forgotten or never existed: see [`Node::on_message_lost`](crate::Node::on_message_lost).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostMessage {
    /// The unknown id.
    pub id: String,
    /// The whole message.
    pub message: String,
}
