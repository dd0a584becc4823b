//! Calls as spans of `tracing`.

use std::io;
use std::sync::{Arc, Mutex};

use capnode::{Error, Limits, Node, policy};
use capnode_tests::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing_subscriber::fmt::format::FmtSpan;

#[capnode::interface]
trait Relay {
    async fn through(&self, text: String) -> Result<String, Error>;
    async fn end(&self, text: String) -> Result<String, Error>;
}

struct Hop(Option<RelayClient>);

impl Relay for Hop {
    async fn through(&self, text: String) -> Result<String, Error> {
        tracing::info!("the handler of through");
        Ok(self.0.as_ref().unwrap().end(text).await?)
    }

    async fn end(&self, text: String) -> Result<String, Error> {
        tokio::task::yield_now().await;
        tracing::info!("the handler of end");
        if text.is_empty() { Err(Error::rejected("nothing")) } else { Ok(text) }
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

fn trace() -> policy::Trace {
    policy::trace()
        .inject(|span| {
            assert!(!span.is_disabled());
            vec![("traceparent".to_owned(), format!("00-{:032x}-{:016x}-01", 7, 9))]
        })
        .extract(|span, call, relation| {
            assert!(span.is_disabled() || call.metadata("traceparent").is_some());
            assert_eq!(relation, policy::Relation::Parent);
        })
        .trust(|_| true)
}

/// Connects, with the layer on both sides.
async fn traced(hop: Hop) -> RelayClient {
    let (here, there) = capnode::transport::pair();
    Node::builder().index(RelayClient::new(hop)).layer(trace()).build().serve(there).await.unwrap();
    let connection: capnode::Connection =
        Node::builder().layer(trace()).build().connect_over(here).await.unwrap();
    // By its answer the peer has told that it understands metadata.
    let relay: RelayClient = connection.index();
    relay
}

/// `tracing` remembers for each place in the code if somebody listens, in all threads: the tests go one after the other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn a_call_is_a_span_with_the_names_of_opentelemetry() {
    let _alone = ALONE.lock().await;
    let relay = traced(Hop(Some(traced(Hop(None)).await))).await;
    // Nobody listens, and the peers have said by the answer what they understand.
    assert_eq!(relay.through("a".to_owned()).await.unwrap(), "a");

    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_span_events(FmtSpan::NEW)
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    assert_eq!(relay.through("b".to_owned()).await.unwrap(), "b");
    let lines_of = |lines: &[String], what: &str| {
        lines.iter().filter(|line| line.contains(what)).cloned().collect::<Vec<_>>()
    };
    let said = lines.take();
    let new = lines_of(&said, "capnode::call: new");
    assert_eq!(new.len(), 4, "{said:#?}");
    for (line, kind) in new.iter().zip(["client", "server", "client", "server"]) {
        assert!(line.contains(&format!("otel.kind=\"{kind}\"")), "{line}");
        assert!(line.contains("rpc.system=\"capnode\" rpc.service=\"Relay\""), "{line}");
    }
    assert!(new[1].contains("otel.name=\"Relay/through\""), "{}", new[1]);
    // The second call is inside the first one's handler.
    assert!(new[2].matches("call{").count() == 2 && new[2].contains("rpc.method=\"end\""), "{}", new[2]);
    let [handler] = &lines_of(&said, "the handler of end")[..] else { panic!("{said:#?}") };
    assert!(handler.contains("rpc.method=\"end\"") && handler.contains("otel.kind=\"server\""), "{handler}");
    let ids = format!("trace_id=\"{:032x}\" parent_id=\"{:016x}\"", 7, 9);
    assert!(handler.contains(&ids), "{handler}");

    relay.through(String::new()).await.unwrap_err();
    let failed = lines_of(&lines.take(), "the call has failed");
    assert_eq!(failed.len(), 4);
    assert!(failed.iter().all(|line| line.contains("error.type=\"Rejected\"")), "{failed:#?}");
}

#[tokio::test]
async fn a_refusal_is_an_event() {
    let _alone = ALONE.lock().await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (here, there) = capnode::transport::pair();
    let node = Node::builder()
        .index(RelayClient::new(Hop(None)))
        .layer(policy::trace().and(policy::only(["Relay.through"])));
    node.build().serve(there).await.unwrap();
    let relay: RelayClient = capnode::connect_over(here).await.unwrap();
    relay.end("a".to_owned()).await.unwrap_err();
    let said = lines.take();
    assert!(said.iter().any(|line| line.contains("the call was refused")), "{said:#?}");
}

#[tokio::test]
async fn a_peer_that_gets_no_connection_is_an_event() {
    let _alone = ALONE.lock().await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    for scheme in ["ws", "http"] {
        let listener = Node::new("index").listen(&format!("{scheme}://127.0.0.1:0")).await.unwrap();
        let mut peer = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: https://example.com\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        peer.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        peer.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 403");
        drop(peer);
        let mut said = Vec::new();
        until("it is said", || {
            said.extend(lines.take());
            said.iter().any(|line: &String| line.contains("a connection was refused"))
        })
        .await;
    }
}

/// Waits for as many ends of connections, and returns what is said of each.
async fn ends(lines: &Lines, count: usize) -> Vec<String> {
    let mut said = Vec::new();
    until("the connections have ended", || {
        said.extend(lines.take().into_iter().filter(|line| line.contains("the session has ended")));
        said.len() >= count
    })
    .await;
    assert_eq!(said.len(), count, "{said:#?}");
    said
}

#[tokio::test]
async fn the_beginning_of_a_connection_is_an_event_and_so_is_its_end_with_the_reason() {
    let _alone = ALONE.lock().await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let node = || {
        let limits = Limits::default().frame_bytes(1_000);
        Node::builder().index(RelayClient::new(Hop(None))).limits(limits).build()
    };

    // Each connection has two ends in this program.
    let (here, there) = capnode::transport::pair();
    let served = node().serve(there).await.unwrap();
    let relay: RelayClient = capnode::connect_over(here).await.unwrap();
    relay.end("a".to_owned()).await.unwrap();
    let begun = lines.take().into_iter().filter(|line| line.contains("the session has begun")).count();
    assert_eq!(begun, 2);
    served.close_because("maintenance");
    let said = ends(&lines, 2).await;
    assert!(said.iter().all(|line| line.contains("DEBUG") && !line.contains("limit")), "{said:#?}");
    assert!(said.iter().any(|line| line.contains("maintenance")), "{said:#?}");

    // A limit is a warning, with its name, where it was broken.
    let (here, there) = capnode::transport::pair();
    let _served = node().serve(there).await.unwrap();
    let relay: RelayClient = capnode::connect_over(here).await.unwrap();
    relay.end("x".repeat(2_000)).await.unwrap_err();
    let said = ends(&lines, 2).await;
    let warning = |line: &&String| line.contains("WARN") && line.contains("limit=\"frame_bytes\"");
    assert_eq!(said.iter().filter(warning).count(), 1, "{said:#?}");

    // So is a broken rule.
    let (peer, there) = tokio::io::duplex(1_000);
    let _served = node().serve(capnode::transport::lines(there)).await.unwrap();
    let (mut reads, mut writes) = tokio::io::split(peer);
    writes.write_all(b"[\"pull\",[]]\n").await.unwrap();
    let said = ends(&lines, 1).await;
    assert!(said[0].contains("WARN") && said[0].contains("error="), "{said:#?}");
    let mut rest = Vec::new();
    reads.read_to_end(&mut rest).await.unwrap();
}

#[capnode::interface]
trait Visitor {
    async fn visit(&self, relay: RelayClient) -> Result<String, Error>;
}

struct Host;

impl Visitor for Host {
    async fn visit(&self, relay: RelayClient) -> Result<String, Error> {
        tracing::info!("the handler of visit");
        Ok(relay.end("back".to_owned()).metadata("traceparent", STRANGE).await?)
    }
}

const STRANGE: &str = "00-000000000000000000000000000000aa-00000000000000bb-01";

#[tokio::test]
async fn the_trace_of_a_peer_is_a_link_where_it_was_accepted_unless_it_is_trusted() {
    let _alone = ALONE.lock().await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let ids =
        |prefix: &str| format!("{prefix}trace_id=\"{:032x}\" {prefix}parent_id=\"{:016x}\"", 0xaa, 0xbb);
    // The one who connects has chosen its peer.
    for (trusts, accepted, chosen) in
        [(None, "link.", ""), (Some(false), "link.", "link."), (Some(true), "", "")]
    {
        let trace = || match trusts {
            Some(trusts) => policy::trace().trust(move |_| trusts),
            None => policy::trace(),
        };
        let (here, there) = capnode::transport::pair();
        Node::builder().index(VisitorClient::new(Host)).layer(trace()).build().serve(there).await.unwrap();
        let node = Node::builder().layer(trace()).build();
        let visitor: VisitorClient = node.connect_over(here).await.unwrap();
        let relay = RelayClient::new(Hop(None));
        // By its answer the peer has told that it understands metadata.
        visitor.visit(relay.clone()).await.unwrap();
        lines.take();
        assert_eq!(visitor.visit(relay).metadata("traceparent", STRANGE).await.unwrap(), "back");
        let said = lines.take();
        for (handler, prefix) in [("the handler of visit", accepted), ("the handler of end", chosen)] {
            let line = said.iter().find(|line| line.contains(handler)).unwrap();
            // The handler of the one is inside no span of the other.
            assert!(line.contains(&ids(prefix)), "{line}");
        }
    }
}
