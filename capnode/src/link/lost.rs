//! Messages to unknown ids.

/// A message to an id that was evicted or never existed: see [`NodeBuilder::on_message_lost`](crate::NodeBuilder::on_message_lost).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostMessage {
    /// The unknown id.
    pub id: String,
    /// The whole message.
    pub message: String,
}
