//! JavaScript's kinds of value that Rust does not have.
//!
//! Each can be a field of any struct with an ordinary serde derive. In a session it keeps its kind; in other formats it
//! is written as its plain content. A [`Body`] is a stream, and an error there.
//!
//! [`Value`] is a value of any kind. It has the accessors of serde_json's `Value`, and [`to_value`] and [`from_value`]
//! convert between it and other types:
//!
//! ```
//! use capnode::{Value, value};
//!
//! let seats = Value::from([("name", "ann".into()), ("seats", [3, 4].into())]);
//! assert_eq!(seats["name"].as_str(), Some("ann"));
//! assert_eq!(seats["seats"][1].as_u64(), Some(4));
//! assert!(seats["nickname"].is_undefined());
//!
//! #[derive(serde::Deserialize)]
//! struct Seats {
//!     name: String,
//!     seats: Vec<u32>,
//! }
//! let Seats { name, seats } = value::from_value(seats)?;
//! assert_eq!((name.as_str(), seats), ("ann", vec![3, 4]));
//! # Ok::<(), capnode::Error>(())
//! ```

pub use self::access::Index;
pub use self::convert::{from_value, to_value};
pub use crate::cap::fetch::{Blob, Body, Request, Response};
pub use crate::cap::shared::{GraphBuilder, Shared};
pub use crate::cap::value::{ErrorValue, Value};
pub use crate::kinds::{BigInt, ByteKind, Bytes, Date, Headers, Url};

mod access;
mod convert;
#[cfg(feature = "http")]
mod http;
