//! Against npm's `capnweb`: its client at our server, our client at its server.

use capnode::{Connection, Node};
use capnode_conformance::Expect;
use capnode_examples::tour;
use capnode_tests::{assert_tour, js, soon, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npms_client_passes_all_checks_at_our_server() {
    if !js::ready() {
        return;
    }
    let listener = Node::new(tour::index_with_streams()).listen("ws://127.0.0.1:0").await.unwrap();
    // The strict ones are what no server in JavaScript passes.
    let all = ["--strict-types", "--strict-home", "--strict-calls", "--streams"];
    let tour = js::run("tour_client.mjs", &[&[&*listener.url()], &all[..]].concat()).await;
    tour.assert_passed(171);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npms_client_passes_the_checks_of_a_batch_at_our_server() {
    if !js::ready() {
        return;
    }
    let listener = Node::new(tour::index_with_streams()).listen("http://127.0.0.1:0/rpc").await.unwrap();
    let tour = js::run("tour_client.mjs", &[&listener.url(), "--strict-types", "--strict-calls"]).await;
    tour.assert_passed(75);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_of_npms_clients_are_served_at_once() {
    if !js::ready() {
        return;
    }
    let listener = Node::new(tour::index()).listen("ws://127.0.0.1:0").await.unwrap();
    let url = listener.url();
    let arguments = [url.as_str(), "--only", "on:", "--only", "counter"];
    let one = js::run("tour_client.mjs", &arguments);
    let other = js::run("tour_client.mjs", &arguments);
    let (one, other) = tokio::join!(one, other);
    for tour in [one, other] {
        tour.assert_passed(1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_passes_all_checks_at_npms_server() {
    if !js::ready() {
        return;
    }
    let server = js::Server::start("tour_server.mjs", &["--ws", "127.0.0.1:0"]).await;
    let connection: Connection = capnode::connect(&format!("ws://{}", server.address())).await.unwrap();
    assert_tour(&connection, Expect::Any).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_passes_the_checks_of_a_batch_at_npms_server_and_at_ours() {
    if !js::ready() {
        return;
    }
    let npms = js::Server::start("tour_server.mjs", &["--http", "127.0.0.1:0"]).await;
    let ours = Node::new(tour::index()).listen("http://127.0.0.1:0").await.unwrap();
    for (url, expect) in [(format!("http://{}", npms.address()), Expect::Any), (ours.url(), Expect::Rust)] {
        let connection: Connection = capnode::connect(&url).await.unwrap();
        let mut failures = Vec::new();
        let summary = capnode_conformance::run_batches(&connection, expect, |line| {
            if !line.starts_with("ok ") {
                failures.push(line.to_owned());
            }
        })
        .await;
        assert!(failures.is_empty(), "{summary}\n{}", failures.join("\n"));
        assert!(summary.passed >= 50, "{summary}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npms_server_goes_away() {
    if !js::ready() {
        return;
    }
    let server = js::Server::start("tour_server.mjs", &["--ws", "127.0.0.1:0"]).await;
    let connection: Connection = capnode::connect(&format!("ws://{}", server.address())).await.unwrap();
    let tour: tour::TourClient = connection.index();
    let counter = tour.counter().await.unwrap();
    let waiting = tokio::spawn(async move {
        // Never answered: its callback does not end.
        tour.on("slow", |_: String, _: String| std::future::pending()).await
    });
    until("the callback is called", || connection.tables().running == 1).await;
    server.kill().await;
    let error = soon(connection.closed()).await;
    assert_eq!(error.kind(), capnode::ErrorKind::Disconnected);
    assert_eq!(soon(waiting).await.unwrap().unwrap_err().to_string(), error.to_string());
    let late = soon(counter.next()).await.unwrap_err();
    assert_eq!((late.kind(), late.fate()), (capnode::ErrorKind::Disconnected, capnode::Fate::NotSent));
}
