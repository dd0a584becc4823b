//! A node as a route of an axum application.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::FromRequestParts as _;
use axum::extract::ws::{self, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};

use crate::node::Node;
use crate::transport::messages::{Message, Received, messages};

/// A route at which a node is served over WebSockets.
///
/// A page of a foreign origin is refused with 403 unless [`Node::allow_origin`] lets it in. With
/// `into_make_service_with_connect_info::<SocketAddr>()` the node also learns the peer's address.
///
/// ```no_run
/// let node = capnode::Node::new("any value");
/// let app: axum::Router = axum::Router::new().route("/api", capnode::axum::route(node));
/// ```
pub fn route<S: Clone + Send + Sync + 'static>(node: Node) -> MethodRouter<S> {
    get(move |request: Request| upgrade(node, request))
}

/// An application of nothing but that route, at `/`.
pub fn router(node: Node) -> Router {
    Router::new().route("/", route(node))
}

async fn upgrade(node: Node, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let header = |name| parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    if !node.settings().origins.allow(header("origin").as_deref(), header("host").as_deref()) {
        return (StatusCode::FORBIDDEN, "this origin is not allowed").into_response();
    }
    let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let limit = node.settings().terms.limits.frame_bytes;
    upgrade.max_message_size(limit).max_frame_size(limit).on_upgrade(async move |socket: WebSocket| {
        // A refusal has been told to the peer.
        let _refused = node.accept(messages(socket), address, headers, Vec::new()).await;
    })
}

impl Message for ws::Message {
    type Text = ws::Utf8Bytes;

    fn from_frame(frame: &str) -> Self {
        ws::Message::Text(frame.into())
    }

    fn closing(reason: Option<&str>) -> Option<Self> {
        let (code, reason) = match reason {
            None => (ws::close_code::NORMAL, ""),
            Some(reason) => (crate::transport::messages::FAILED, crate::transport::messages::cut(reason)),
        };
        Some(ws::Message::Close(Some(ws::CloseFrame { code, reason: reason.into() })))
    }

    fn ping() -> Option<Self> {
        Some(ws::Message::Ping(Default::default()))
    }

    fn receive(self) -> Received<ws::Utf8Bytes> {
        match self {
            ws::Message::Text(text) => Received::Frame(text),
            ws::Message::Binary(_) => Received::Bad("a binary message, where messages are text"),
            ws::Message::Close(frame) => Received::Close(
                frame
                    .filter(|frame| frame.code != ws::close_code::NORMAL)
                    .map(|frame| format!("{} {}", frame.code, frame.reason)),
            ),
            ws::Message::Ping(_) | ws::Message::Pong(_) => Received::Other,
        }
    }
}
