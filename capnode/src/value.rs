//! JavaScript's kinds of value that Rust does not have.
//!
//! Each can be a field of any struct with an ordinary serde derive. In a session it keeps its kind; in other formats it
//! is written as its plain content.

pub use crate::cap::shared::{GraphBuilder, Shared};
pub use crate::cap::value::{ErrorValue, Value};
pub use crate::kinds::{BigInt, ByteKind, Bytes, Date, Headers, Url};
