//! Against programs in Capnode and Q-Connection: their clients at our server, our client at their servers, and all
//! three languages at one port.

use capnode::{Connection, Dialect, Node};
use capnode_conformance::Expect;
use capnode_examples::tour;
use capnode_tests::{assert_tour, js, passes_tour};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

type Turn = (Option<RwLockReadGuard<'static, ()>>, Option<RwLockWriteGuard<'static, ()>>);

/// A Capnode program takes all bytes that it reads from a byte stream at once for one frame, so it has to read in time.
/// Its tests have the machine to themselves, as far as these are concerned.
async fn turn(dialect: Dialect, transport: &str) -> Turn {
    static TURNS: RwLock<()> = RwLock::const_new(());
    match (dialect, transport) {
        (Dialect::Capnode, "tcp") => (None, Some(TURNS.write().await)),
        _ => (Some(TURNS.read().await), None),
    }
}

/// Runs a tour client in JavaScript at a server of this library, and expects at least that many checks to pass.
async fn client_at_our_server(dialect: Dialect, script: &str, transport: &str, at_least: usize) {
    let _turn = turn(dialect, transport).await;
    if !js::ready() {
        return;
    }
    let listener = Node::new(tour::index()).listen(&format!("{transport}://127.0.0.1:0")).await.unwrap();
    let tour = js::run(script, &["--connect", &listener.url(), "--server", "rust"]).await;
    tour.assert_passed(at_least);
}

/// Puts a server in JavaScript to our checks.
async fn our_client_at(script: &str, transport: &str, dialect: Dialect) {
    let _turn = turn(dialect, transport).await;
    if !js::ready() {
        return;
    }
    // On a busy machine a Capnode program does not read in time, and ends the connection. Then another one has its turn.
    let mut others = if (dialect, transport) == (Dialect::Capnode, "tcp") { 3 } else { 0 };
    loop {
        let server = js::Server::start(script, &[&format!("--{transport}"), "127.0.0.1:0"]).await;
        let connection: Connection = capnode::connect(server.address()).dialect(dialect).await.unwrap();
        match passes_tour(&connection, Expect::Any).await {
            Ok(()) => return,
            Err(failures) if others > 0 && connection.is_closed() => println!("once more, since {failures}"),
            Err(failures) => panic!("{failures}"),
        }
        others -= 1;
    }
}

/// The tour between two Rust programs, in another language.
async fn tour_in(dialect: Dialect, url: &str) {
    let _turn = turn(dialect, "ws").await;
    let listener = Node::new(tour::index()).listen(url).await.unwrap();
    let connection: Connection = capnode::connect(&listener.url()).dialect(dialect).await.unwrap();
    assert_tour(&connection, Expect::Rust).await;
}

capnode_tests::async_tests! {
    a_capnode_client_works_with_our_server_over_web_socket:
        client_at_our_server(Dialect::Capnode, "capnode/tour_client.mjs", "ws", 70);
    a_capnode_client_works_with_our_server_over_tcp:
        client_at_our_server(Dialect::Capnode, "capnode/tour_client.mjs", "tcp", 65);
    npms_q_connection_works_with_our_server_over_web_socket:
        client_at_our_server(Dialect::Q, "q/tour_client.mjs", "ws", 83);
    npms_q_connection_works_with_our_server_over_tcp:
        client_at_our_server(Dialect::Q, "q/tour_client.mjs", "tcp", 83);
    our_client_works_with_a_capnode_server_over_web_socket:
        our_client_at("capnode/tour_server.mjs", "ws", Dialect::Capnode);
    our_client_works_with_a_capnode_server_over_tcp:
        our_client_at("capnode/tour_server.mjs", "tcp", Dialect::Capnode);
    our_client_works_with_npms_q_connection_over_web_socket:
        our_client_at("q/tour_server.mjs", "ws", Dialect::Q);
    our_client_works_with_npms_q_connection_over_tcp:
        our_client_at("q/tour_server.mjs", "tcp", Dialect::Q);
    rust_works_with_rust_in_capnode: tour_in(Dialect::Capnode, "ws://127.0.0.1:0");
    rust_works_with_rust_in_q: tour_in(Dialect::Q, "ws://127.0.0.1:0");
    rust_works_with_rust_in_q_over_tcp: tour_in(Dialect::Q, "tcp://127.0.0.1:0");
}
