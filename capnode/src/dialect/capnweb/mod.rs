//! Cap'n Web, as npm's `capnweb` 0.12 speaks it.
//!
//! A frame is a JSON array that begins with the name of the message; a value is a JSON expression in which arrays are
//! special forms. These statements about the protocol were observed of that package.
//!
//! On the way in the scanner passes over a frame once, checks all of it and finds its references;
//! later the reader turns the parts into Rust values. On the way out the writer turns Rust values
//! into text and notes where references belong, and only the finished message names them by ids.

mod args;
mod de;
mod depth;
mod error;
mod failure;
pub(in crate::dialect) mod lexer;
mod message;
mod no_reference;
mod payload;
mod scan;
mod ser;
#[cfg(test)]
mod tests;
pub(in crate::dialect) mod text;

pub(crate) use self::args::{each_argument, only_argument, write_args};
pub(crate) use self::de::Reader;
pub(in crate::dialect) use self::de::content::{Number, Numbers};
pub(crate) use self::depth::{Depth, MAX_DEPTH};
pub(crate) use self::error::{
    blank_references, error_data, error_expression, error_text, first_as_error, read_error, to_outcome,
};
pub(crate) use self::failure::decode_error;
#[cfg(feature = "host")]
pub(crate) use self::message::read_mixed;
pub(crate) use self::message::{parse, read, read_program, write, write_path};
pub(crate) use self::payload::{from_payload, keys, member, to_payload};
pub(crate) use self::text::write_string;

pub(crate) use self::de::places::{Mappable, Places, parts_to_map, range_at, reference_at};
