//! A node as a route of an axum application.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use axum::routing::{MethodRouter, get};

use crate::node::{Node, Sender, answer};
use crate::remote::Remote;

/// Returns a route at which a node is served: over WebSockets, and by HTTP batches, which are sent by POST.
///
/// A page of a foreign origin is refused with 403, before anything of its request runs, unless
/// [`NodeBuilder::allow_origin`](crate::NodeBuilder::allow_origin) lets it in. With
/// `into_make_service_with_connect_info::<SocketAddr>()` the node also learns the peer's address, and refuses a peer on
/// this machine whose `Host` is a name that a stranger may own. A GET that opens no WebSocket is answered with 426. A
/// request by a method other than GET and POST is answered with 405; the application's own handler of a method, POST
/// included, comes first.
///
/// ```no_run
/// let node = capnode::Node::new("any value");
/// let app: axum::Router = axum::Router::new().route("/api", capnode::axum::route(node));
/// ```
pub fn route<S: Clone + Send + Sync + 'static>(node: Node) -> MethodRouter<S> {
    let other = node.clone();
    get(move |request| serve(node, request)).fallback(move |request| serve(other, request))
}

/// Returns an application with just that route, at `/`.
pub fn router(node: Node) -> Router {
    Router::new().route("/", route(node))
}

async fn serve(node: Node, request: Request) -> Response {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let remote = address.map_or(Remote::Unknown, Remote::from);
    // Only the application knows if the request came by TLS.
    let sender = Sender { address, remote, tls: None, certificates: Vec::new() };
    answer(node, request, sender).await.map(Body::new)
}
