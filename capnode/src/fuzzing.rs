//! The functions that read foreign input, for fuzzers: bytes in, and a panic if anything is wrong.
//!
//! This is there only under `cfg(fuzzing)`, which `cargo fuzz` sets, and in this crate's own tests. Each function is a
//! target of the same name in `fuzz/fuzz_targets`.

use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::cap::Cap;
use crate::cap::graph::tie;
use crate::cap::payload::{LivePayload, PayloadRef, flatten};
use crate::dialect::{ExportNames, capnweb};
use crate::error::Error;
use crate::limits::Limits;
use crate::message::{CapDescriptor, Id, Message, Payload};

mod frames;
#[cfg(feature = "signed")]
mod signed;
#[cfg(feature = "sturdy")]
mod sturdy;
#[cfg(test)]
mod tests;
mod transports;
mod values;

pub use self::frames::{canonical, capnode_frame, capnweb_frame, detect, ids, json_tree, q_frame};
#[cfg(feature = "signed")]
pub use self::signed::{signed_document, signed_json, signed_names};
#[cfg(feature = "sturdy")]
pub use self::sturdy::{sturdy_nonce, sturdy_text};
pub use self::transports::{address, byte_stream, origin, upgrade, web_socket};
pub use self::values::{arguments, expression, scalars};

/// A target, and the functions that it reaches, by file and name.
#[derive(Debug)]
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    pub entries: &'static [&'static str],
}

/// All targets but `session`, which has a model of its own in `tests/model`.
pub const TARGETS: &[Target] = &[
    Target {
        name: "capnweb_frame",
        run: capnweb_frame,
        entries: &[
            "dialect/capnweb/message.rs::parse",
            "dialect/capnweb/message.rs::read",
            "dialect/capnweb/message.rs::read_mixed",
            "dialect/capnweb/scan/mod.rs::new",
            "dialect/capnweb/scan/expression.rs::list",
            "dialect/capnweb/lexer.rs::new",
            "dialect/capnweb/lexer.rs::expect",
            "dialect/capnweb/lexer.rs::literal",
            "dialect/capnweb/lexer.rs::bad",
            "dialect/capnweb/lexer.rs::integer_after_comma",
            "dialect/capnweb/text.rs::base64_len",
            "dialect/capnweb/text.rs::until_quote",
        ],
    },
    Target {
        name: "capnode_frame",
        run: capnode_frame,
        entries: &[
            "dialect/capnode/mod.rs::parse",
            "dialect/capnode/mod.rs::parse_usual",
            "dialect/capnode/mod.rs::parse_any",
            "dialect/capnode/mod.rs::parse_invocation",
            "dialect/capnode/mod.rs::parse_answer",
            "dialect/capnode/mod.rs::asked_in",
            "dialect/capnode/replies.rs::find",
            "dialect/ids.rs::find",
            "dialect/flat.rs::of_frame",
            "dialect/flat.rs::pass",
            "dialect/flat.rs::end",
            "dialect/flat.rs::scalar",
            "dialect/flat.rs::list",
            "dialect/capnweb/lexer.rs::ahead_is",
        ],
    },
    Target {
        name: "q_frame",
        run: q_frame,
        entries: &[
            "dialect/q/mod.rs::parse",
            "dialect/q/mod.rs::parse_usual",
            "dialect/q/mod.rs::parse_any",
            "dialect/q/mod.rs::parse_send",
            "dialect/q/mod.rs::parse_answer",
            "dialect/q/decode.rs::new",
            "dialect/q/key.rs::unescape",
            "dialect/q/key.rs::is_form",
        ],
    },
    Target {
        name: "expression",
        run: expression,
        entries: &[
            "dialect/capnweb/payload.rs::from_payload",
            "dialect/capnweb/payload.rs::member",
            "dialect/capnweb/payload.rs::keys",
            "dialect/capnweb/error.rs::read_error",
            "dialect/capnweb/error.rs::first_as_error",
            "cap/thrown.rs::property",
            "dialect/capnweb/depth.rs::follow",
            "dialect/capnweb/text.rs::unescape",
            "dialect/capnweb/text.rs::read_base64",
            "dialect/capnweb/de/places.rs::find",
            "dialect/capnweb/de/places.rs::range_at",
            "dialect/capnweb/de/places.rs::reference_at",
            "dialect/capnweb/de/mod.rs::new",
            "dialect/capnweb/de/any.rs::other",
            "dialect/capnweb/de/forms.rs::form",
            "dialect/capnweb/de/forms.rs::list",
        ],
    },
    Target {
        name: "arguments",
        run: arguments,
        entries: &[
            "cap/slot.rs::decode_args",
            "dialect/capnweb/args.rs::only_argument",
            "dialect/capnweb/de/mod.rs::new",
            "dialect/capnweb/de/mod.rs::of",
        ],
    },
    Target {
        name: "json_tree",
        run: json_tree,
        entries: &[
            "dialect/json.rs::parse",
            "dialect/json.rs::parse_part",
            "dialect/json.rs::get",
            "dialect/json.rs::is_key",
        ],
    },
    Target {
        name: "canonical",
        run: canonical,
        entries: &[
            "dialect/canonical.rs::read",
            "dialect/canonical.rs::exact_number",
            "dialect/canonical.rs::write_bytes",
            "dialect/canonical.rs::write_scalar",
            "dialect/canonical/plain.rs::write_reason",
            "dialect/flat.rs::text_of",
            "dialect/capnode/encode.rs::value",
            "dialect/capnode/encode.rs::arguments",
            "dialect/q/encode.rs::write",
            "dialect/q/encode.rs::list",
            "dialect/q/encode.rs::only",
            "dialect/q/encode.rs::reason",
            "dialect/q/key.rs::escape",
        ],
    },
    Target {
        name: "detect",
        run: detect,
        entries: &["dialect/detect.rs::detect", "dialect/json.rs::tree", "dialect/mod.rs::from_str"],
    },
    Target {
        name: "byte_stream",
        run: byte_stream,
        entries: &[
            "transport/lines.rs::poll_receive",
            "transport/mixed.rs::begin",
            "transport/texts.rs::look",
        ],
    },
    Target { name: "web_socket", run: web_socket, entries: &["transport/frames.rs::poll_receive"] },
    Target { name: "address", run: address, entries: &["transport/address.rs::from_str"] },
    Target {
        name: "scalars",
        run: scalars,
        entries: &[
            "kinds/bigint.rs::from_decimal",
            "kinds/bigint.rs::from_str",
            "kinds/bigint.rs::is_js",
            "kinds/bigint.rs::from_js",
            "kinds/bytes.rs::from_name",
            "kinds/bytes.rs::from_str",
            "kinds/url.rs::from_str",
            "kinds/url.rs::is_absolute",
        ],
    },
    Target {
        name: "origin",
        run: origin,
        entries: &["origin.rs::allow", "origin.rs::lists", "origin.rs::knows_host"],
    },
    Target { name: "upgrade", run: upgrade, entries: &["transport/ws.rs::answer", "upgrade.rs::check_path"] },
    Target {
        name: "ids",
        run: ids,
        entries: &["dialect/capnode/mod.rs::reconstruct", "dialect/ids.rs::own_name"],
    },
    #[cfg(feature = "sturdy")]
    Target {
        name: "sturdy_text",
        run: sturdy_text,
        entries: &["sturdy/text.rs::from_str", "sturdy/caveat.rs::from_str", "sturdy/reference.rs::from_str"],
    },
    #[cfg(feature = "sturdy")]
    Target {
        name: "sturdy_nonce",
        run: sturdy_nonce,
        entries: &[
            "sturdy/documents.rs::challenge",
            "sturdy/documents.rs::is_fresh",
            "sturdy/documents.rs::check",
            "signed/replay.rs::from_str",
        ],
    },
    #[cfg(feature = "signed")]
    Target {
        name: "signed_json",
        run: signed_json,
        entries: &[
            "dialect/json.rs::parse_with_repeats",
            "dialect/json.rs::text_of",
            "signed/tree.rs::parse",
        ],
    },
    #[cfg(feature = "signed")]
    Target {
        name: "signed_document",
        run: signed_document,
        entries: &[
            "signed/link.rs::from_str",
            "signed/invocation.rs::result",
            "signed/verifier.rs::take",
            "signed/verifier.rs::take_fresh",
            "signed/verifier.rs::check_link",
        ],
    },
    #[cfg(feature = "signed")]
    Target {
        name: "signed_names",
        run: signed_names,
        entries: &[
            "signed/key.rs::from_str",
            "signed/key.rs::from_jwk",
            "signed/proof.rs::verify",
            "signed/base58.rs::decode",
            "signed/target.rs::check_origin",
            "signed/target.rs::child",
            "signed/target.rs::segments",
            "signed/target.rs::target_of_root",
            "signed/time.rs::read",
        ],
    },
];

/// A table that finds every name, and counts the calls that are read.
#[derive(Default)]
struct Anything {
    names: Vec<Arc<str>>,
    calls: Id,
}

impl ExportNames for Anything {
    fn find(&mut self, name: &str) -> Option<Id> {
        let at = self.names.iter().position(|known| **known == *name).unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        Some(-1 - Id::try_from(at).ok()?)
    }

    fn name(&mut self, export: Id) -> Arc<str> {
        format!("f{}", -export).into()
    }

    fn number(&mut self) -> Id {
        self.calls += 1;
        self.calls
    }
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// Returns whether the text is JSON, by another reader; `None` if it nests deeper than that one reads.
fn is_json(text: &str) -> Option<bool> {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Some(true),
        Err(error) if error.to_string().starts_with("recursion limit") => None,
        Err(_) => Some(false),
    }
}

fn assert_json(text: &str) {
    assert_ne!(is_json(text), Some(false), "this is no JSON: {text}");
}
/// A value as it is above the languages, with broken references in it.
fn body(payload: Payload<CapDescriptor>) -> LivePayload {
    let broken = Cap::broken(Error::rejected("broken"));
    tie(payload.map(|word| match word {
        CapDescriptor::Node(node) => PayloadRef::Inner(node),
        _ => PayloadRef::Cap(broken.clone()),
    }))
}

/// Returns the value on its way to a peer; all references are to one function.
fn lent(body: LivePayload) -> Option<Payload<CapDescriptor>> {
    let word = |lent| match lent {
        PayloadRef::Inner(node) => CapDescriptor::Node(node),
        _ => CapDescriptor::SenderFunction(-1),
    };
    Some(flatten(body, 1 << 20).ok()?.map(word))
}
/// Returns the value of an expression of the peer.
fn value_of(expression: &str) -> Option<Payload<CapDescriptor>> {
    let frame = format!("[\"resolve\",1,{expression}]");
    match capnweb::parse(&frame, &Limits::default()).ok()? {
        Message::Answer { outcome: Ok(value), .. } => Some(value),
        _ => None,
    }
}
