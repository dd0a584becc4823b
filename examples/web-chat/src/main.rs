//! Serves the page and the room, at one address.
//!
//! ```text
//! npm start
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use capnode::{Limits, Node};
use tower_http::services::ServeDir;
use web_chat::{ChatClient, room::Room};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".to_owned());
    // A computer that was closed, or has lost its network, says nothing. Its seat is free after that time, twice.
    let limits = Limits::default().probe(Some(Duration::from_secs(10)));
    let node = Node::builder().index(ChatClient::new(Room::default())).limits(limits).build();
    let page = ServeDir::new(concat!(env!("CARGO_MANIFEST_DIR"), "/page"));
    let app = Router::new().route("/api", capnode::axum::route(node)).fallback_service(page);

    let socket = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", socket.local_addr()?);
    axum::serve(socket, app.into_make_service_with_connect_info::<SocketAddr>()).await
}
