//! The compared libraries.

mod baseline;
pub mod capnode;
mod capnp_rpc;
mod jsonrpsee;
mod remoc;
mod tarpc;
mod tonic;

use std::time::Duration;

use self::capnode::{CAPN_WEB, CAPNODE, Q};
use crate::measure::Measurement;
use crate::scenarios::{self, Scenario};

/// A peer, as tables and charts have it.
#[derive(Debug)]
pub struct Info {
    /// The name on the command line and in `results.json`.
    pub id: &'static str,
    /// The label in a table.
    pub label: &'static str,
    /// The package whose version is shown beside it.
    pub package: &'static str,
    pub kind: Kind,
    /// `true` if functions and objects can be passed.
    pub references: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Baseline,
    Ours,
    Json,
    Binary,
    JavaScript,
}

const fn peer(
    id: &'static str,
    label: &'static str,
    package: &'static str,
    kind: Kind,
    references: bool,
) -> Info {
    Info { id, label, package, kind, references }
}

/// The order is that of the table's columns.
pub const ALL: &[Info] = &[
    peer("baseline", "baseline", "tokio", Kind::Baseline, false),
    peer("capnode", "capnode", "capnode", Kind::Ours, true),
    peer("remoc", "remoc", "remoc", Kind::Binary, true),
    peer("tarpc-bincode", "tarpc, bincode", "tarpc", Kind::Binary, false),
    peer("tarpc-json", "tarpc, JSON", "tarpc", Kind::Json, false),
    peer("capnp-rpc", "capnp-rpc", "capnp-rpc", Kind::Binary, true),
    peer("jsonrpsee", "jsonrpsee, WebSocket", "jsonrpsee", Kind::Json, false),
    peer("tonic", "tonic", "tonic", Kind::Binary, false),
    peer("capnweb", "capnweb, Node, WebSocket", "capnweb", Kind::JavaScript, true),
    peer("capnode-ws", "capnode, WebSocket", "capnode", Kind::Ours, true),
    peer("capnode-http", "capnode, HTTP batches", "capnode", Kind::Ours, false),
    peer("capnode-capnode", "capnode, Capnode's language, WebSocket", "capnode", Kind::Ours, true),
    peer("capnode-q", "capnode, Q-Connection's language", "capnode", Kind::Ours, true),
];

pub fn info(id: &str) -> Option<&'static Info> {
    ALL.iter().find(|peer| peer.id == id)
}

/// `true` if the peer works only in the thread that it was made in.
pub fn has_one_thread(peer: &str) -> bool {
    peer == "capnp-rpc"
}

/// `true` if the peer supports the scenario.
pub fn supports(peer: &Info, scenario: Scenario) -> bool {
    // In the two older languages there are no releases, and bytes don't arrive as such.
    let older = matches!(peer.id, "capnode-capnode" | "capnode-q");
    let streams = peer.references || peer.id == "tonic";
    if peer.id == "capnode-http" {
        // Each batch is a session, and so no connection or reference lasts.
        return matches!(
            scenario,
            Scenario::Calls { .. } | Scenario::Records | Scenario::Bytes | Scenario::Batch
        );
    }
    match scenario {
        Scenario::Callbacks { .. } => peer.references || peer.kind == Kind::Baseline,
        // 100,000 of remoc's take gigabytes.
        Scenario::ObjectBytes { objects } => {
            peer.references && !older && (objects <= 1_000 || peer.id != "remoc")
        }
        Scenario::Bytes => !older,
        Scenario::ByteStream | Scenario::BesideStream => streams && !older,
        Scenario::NumberStream => streams,
        Scenario::Batch => matches!(peer.id, "capnweb" | "tonic"),
        Scenario::Fairness => matches!(peer.id, "capnode" | "remoc" | "capnp-rpc" | "tonic"),
        Scenario::Held { objects } => match peer.id {
            "capnode" => true,
            // A million would take a minute to make.
            "capnp-rpc" | "capnweb" => objects <= 100_000,
            _ => false,
        },
        Scenario::Connections { .. } => matches!(peer.id, "baseline" | "capnode"),
        Scenario::Connect
        | Scenario::Allocations { local: false }
        | Scenario::Single { .. }
        | Scenario::Apart { .. } => peer.kind != Kind::JavaScript,
        Scenario::Allocations { local: true } | Scenario::Local => matches!(peer.id, "capnode" | "capnp-rpc"),
        Scenario::Redeem { .. } | Scenario::Verify { .. } => peer.id == "capnode",
        Scenario::JsClient { .. } => matches!(peer.id, "capnode-ws" | "capnweb"),
        Scenario::Calls { .. } | Scenario::Records | Scenario::Chain => true,
    }
}

macro_rules! with_peer {
    ($id:expr, $peer:ident => $run:expr) => {
        match $id {
            "baseline" => {
                type $peer = baseline::Baseline;
                $run
            }
            "capnode" => {
                type $peer = capnode::Tcp<CAPN_WEB>;
                $run
            }
            "capnode-ws" => {
                type $peer = capnode::WebSocket<CAPN_WEB>;
                $run
            }
            "capnode-http" => {
                type $peer = capnode::HttpBatch;
                $run
            }
            "capnode-capnode" => {
                type $peer = capnode::WebSocket<CAPNODE>;
                $run
            }
            "capnode-q" => {
                type $peer = capnode::Tcp<Q>;
                $run
            }
            "remoc" => {
                type $peer = remoc::Chmux;
                $run
            }
            "tarpc-bincode" => {
                type $peer = tarpc::InBincode;
                $run
            }
            "tarpc-json" => {
                type $peer = tarpc::InJson;
                $run
            }
            "capnp-rpc" => {
                type $peer = capnp_rpc::TwoParty;
                $run
            }
            "jsonrpsee" => {
                type $peer = jsonrpsee::WebSocket;
                $run
            }
            "tonic" => {
                type $peer = tonic::Http2;
                $run
            }
            other => panic!("there is no peer `{other}`"),
        }
    };
}

/// Makes one measurement.
pub async fn measure(peer: &str, scenario: Scenario, time: Duration) -> Measurement {
    with_peer!(peer, P => scenarios::run::<P>(scenario, time).await)
}

/// Serves until standard input ends; see [`scenarios::objects::serve`].
pub async fn serve(peer: String) {
    with_peer!(peer.as_str(), P => scenarios::objects::serve::<P>().await);
}
