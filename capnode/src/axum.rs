//! A node as a route of an axum application.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::FromRequestParts as _;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection as Rejection;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::node::{Node, PeerInfo};
use crate::remote::Remote;
use crate::runtime::start;
use crate::transport::frames::{Frames, Role};
use crate::upgrade::{Door, NO_UPGRADE, Refusal, WRONG_METHOD, WRONG_VERSION};

/// Returns a route at which a node is served over WebSockets.
///
/// A page of a foreign origin is refused with 403 unless [`NodeBuilder::allow_origin`](crate::NodeBuilder::allow_origin) lets it in. With
/// `into_make_service_with_connect_info::<SocketAddr>()` the node also learns the peer's address, and refuses a peer on
/// this machine whose `Host` is a name that a stranger may own. A request that opens no WebSocket is answered with 426,
/// and one by another method than GET, if the application has no handler for that, with 405.
///
/// ```no_run
/// let node = capnode::Node::new("any value");
/// let app: axum::Router = axum::Router::new().route("/api", capnode::axum::route(node));
/// ```
pub fn route<S: Clone + Send + Sync + 'static>(node: Node) -> MethodRouter<S> {
    get(move |request: Request| upgrade(node, request)).fallback(async || refuse(WRONG_METHOD))
}

/// Returns an application with just that route, at `/`.
pub fn router(node: Node) -> Router {
    Router::new().route("/", route(node))
}

fn refuse(refusal: Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let headers: Vec<_> = refusal.headers.to_vec();
    (status, AppendHeaders(headers), refusal.words).into_response()
}

async fn upgrade(node: Node, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let header = |name| parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    // Only the application knows if the request came by TLS.
    let door = Door { origins: &node.settings().origins, tls: None, peer: address };
    if let Err(refusal) = door.check_page(header("host").as_deref(), header("origin").as_deref()) {
        return refuse(refusal);
    }
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let path = parts.uri.path_and_query().map(ToString::to_string);
    let peer = PeerInfo { address, path, headers, certificates: Vec::new() };
    // The answer is axum's, the socket is not: see `frames`.
    let upgraded = parts.extensions.remove::<OnUpgrade>();
    parts.extensions.insert(hyper::upgrade::on(Request::new(())));
    let Some(upgraded) = upgraded else { return refuse(NO_UPGRADE) };
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(Rejection::InvalidConnectionHeader(_) | Rejection::InvalidUpgradeHeader(_)) => {
            return refuse(NO_UPGRADE);
        }
        Err(Rejection::InvalidWebSocketVersionHeader(_)) => return refuse(WRONG_VERSION),
        Err(rejection) => return rejection.into_response(),
    };
    let limit = node.settings().config.limits.frame_bytes;
    start(async move {
        // A connection that is lost meanwhile needs no report.
        let Ok(stream) = upgraded.await else { return };
        let socket = Frames::new(TokioIo::new(stream), Role::Server, limit, Vec::new());
        // The peer has been told of a refusal.
        let remote = address.map_or(Remote::Unknown, Remote::from);
        let _refused = node.accept(socket, remote, peer).await;
    });
    upgrade.on_upgrade(async |_| {})
}
