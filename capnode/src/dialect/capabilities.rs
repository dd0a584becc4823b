//! The abilities of each wire language. Nothing outside this folder asks which one it is: it asks for what it needs.

use super::{Dialect, capnweb};
use crate::error::Error;
use crate::limits::Limits;
use crate::message::Parsed;

/// The name of a property that no object has, which is read to probe a peer.
pub(crate) const PROBE: &str = "capnode:probe";

/// A function that reads a frame without the state of a connection.
///
/// What it reads as [`Usual`](crate::message::Usual) takes the short way, which does only what every such language needs:
/// its peers release their references (`releases`), exports have no names (`names_exports`), and a callee does not report
/// its progress (`progress`).
pub(crate) type Parser = for<'a> fn(&'a str, &'a Limits) -> Result<Parsed<'a>, Error>;

/// The abilities of a peer that follow from its dialect.
#[derive(Debug)]
pub(crate) struct Capabilities {
    pub(crate) dialect: Dialect,
    /// The dialect's name, for messages.
    pub(crate) title: &'static str,
    /// The parser of a frame, if it needs neither the names nor the calls of the connection.
    pub(crate) parser: Option<Parser>,
    /// `true` if this library says in its first message that it is this library.
    pub(crate) says_hello: bool,
    /// `true` if a peer releases its references. The exports of others are forgotten, the least recently used first.
    pub(crate) releases: bool,
    /// `true` if an object keeps its id, however often it is lent.
    pub(crate) reuses_ids: bool,
    /// `true` if exports have names, which this side makes up.
    pub(crate) names_exports: bool,
    /// `true` if a reference of the peer can be sent back as itself. Elsewhere it is sent as a reference of this side
    /// that passes everything on.
    pub(crate) returns_imports: bool,
    /// `true` if the index has no id: a message asks for it, and `undefined` is the answer where there is none.
    pub(crate) asks_index: bool,
    /// `true` if a reference can be a promise, of which the peer knows more.
    pub(crate) has_promises: bool,
    /// `true` if streams have messages of their own. Elsewhere their ends are objects with methods.
    pub(crate) pipes: bool,
    /// `true` if calls can be made on results that are not there yet, and paths can have several steps.
    pub(crate) pipelines: bool,
    /// `true` if a peer runs maps.
    pub(crate) maps: bool,
    /// `true` if a callee can report its progress.
    pub(crate) progress: bool,
    /// `true` if properties can be set, deleted and listed.
    pub(crate) verbs: bool,
    /// `true` if a value that stands in several places, or inside itself, is sent once.
    pub(crate) graphs: bool,
    /// `true` if an object is a record of functions.
    pub(crate) records: bool,
    /// `true` if a peer answers every call, so that the calls need no time limit.
    pub(crate) answers_all: bool,
    /// The question that every peer answers.
    pub(crate) probe: Probe,
    /// `true` if a peer takes what it reads from a byte stream at once for one frame.
    #[cfg_attr(not(feature = "host"), expect(dead_code, reason = "the driver asks"))]
    pub(crate) frame_gap: bool,
    /// `true` if releases wait for a while, in case the peer lends the function again.
    #[cfg_attr(not(feature = "host"), expect(dead_code, reason = "the driver asks"))]
    pub(crate) delays_releases: bool,
}

/// A question that every peer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// There is none.
    None,
    /// The evaluation of a value.
    Value,
    /// A read of the property [`PROBE`] of the index.
    Property,
}

const CAPN_WEB: Capabilities = Capabilities {
    dialect: Dialect::CapnWeb,
    title: "Cap'n Web",
    parser: Some(capnweb::read),
    says_hello: true,
    releases: true,
    reuses_ids: false,
    names_exports: false,
    returns_imports: true,
    asks_index: false,
    has_promises: true,
    pipes: true,
    pipelines: true,
    maps: true,
    progress: false,
    verbs: false,
    graphs: false,
    records: false,
    answers_all: true,
    probe: Probe::Value,
    frame_gap: false,
    delays_releases: false,
};

const CAPNODE: Capabilities = Capabilities {
    dialect: Dialect::Capnode,
    title: "Capnode",
    parser: None,
    says_hello: false,
    releases: false,
    reuses_ids: true,
    names_exports: true,
    returns_imports: false,
    asks_index: true,
    has_promises: false,
    pipes: false,
    pipelines: false,
    maps: false,
    progress: false,
    verbs: false,
    graphs: true,
    records: true,
    answers_all: false,
    probe: Probe::None,
    frame_gap: true,
    delays_releases: true,
};

const Q: Capabilities = Capabilities {
    dialect: Dialect::Q,
    title: "Q-Connection",
    asks_index: false,
    has_promises: true,
    progress: true,
    verbs: true,
    records: false,
    probe: Probe::Property,
    frame_gap: false,
    delays_releases: false,
    ..CAPNODE
};

impl Dialect {
    /// Returns the abilities of a peer of this dialect.
    pub(crate) fn capabilities(self) -> &'static Capabilities {
        match self {
            Dialect::CapnWeb => &CAPN_WEB,
            Dialect::Capnode => &CAPNODE,
            Dialect::Q => &Q,
        }
    }
}

impl Default for &Capabilities {
    /// Returns the abilities of a peer whose dialect is not known yet.
    fn default() -> Self {
        Dialect::default().capabilities()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_whose_frames_are_read_without_state_needs_nothing_that_the_short_way_lacks() {
        for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
            let Capabilities { parser, releases, names_exports, progress, .. } = dialect.capabilities();
            assert!(parser.is_none() || (*releases && !names_exports && !progress), "{dialect}");
        }
    }
}
