//! The tour over every transport, Rust to Rust.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use capnode::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use capnode::rustls::server::WebPkiClientVerifier;
use capnode::rustls::{ClientConfig, RootCertStore, ServerConfig};
use capnode::transport::{self, Transport};
use capnode::{Connection, ErrorKind, Incoming, Node};
use capnode_conformance::Expect;
use capnode_examples::tour::{self, TourClient};
use capnode_tests::{assert_tour, soon};
use futures_util::{Sink, Stream};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio::process::Command;
use tokio::sync::mpsc;

/// The tour between the two ends of a transport.
async fn tour_between(server: impl Transport + Unpin, client: impl Transport + Unpin) {
    let served = Node::new(tour::index()).serve(server).await.unwrap();
    let connection: Connection = capnode::connect_over(client).await.unwrap();
    assert_tour(&connection, Expect::Rust).await;
    drop(connection);
    assert_eq!(soon(served.closed()).await.kind(), ErrorKind::Disconnected);
}

/// The tour at a node that listens.
async fn tour_at(url: &str) {
    let listener = Node::new(tour::index()).listen(url).await.unwrap();
    let connection: Connection = capnode::connect(&listener.url()).await.unwrap();
    assert_tour(&connection, Expect::Rust).await;
}

#[tokio::test]
async fn connections_work_in_memory() {
    let (one, other) = transport::pair();
    tour_between(one, other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_work_in_memory_on_several_threads() {
    let (one, other) = transport::pair();
    tour_between(one, other).await;
}

#[tokio::test]
async fn connections_work_over_tcp_on_one_thread() {
    tour_at("tcp://127.0.0.1:0").await;
}

capnode_tests::async_tests! {
    connections_work_over_tcp: tour_at("tcp://127.0.0.1:0");
    connections_work_over_a_web_socket: tour_at("ws://127.0.0.1:0");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_work_over_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("capnode-transports-{}", std::process::id()));
    let url = format!("unix:{}", path.display());
    tour_at(&url).await;
    // The file goes with the listener, and one that was left behind is no obstacle.
    soon(async {
        while path.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = Node::new("first").listen(&url).await.unwrap();
    let occupied = Node::new("second").listen(&url).await.unwrap_err();
    assert_eq!(occupied.kind(), ErrorKind::Connect);
    assert!(occupied.to_string().starts_with(&format!("cannot listen on {url}: ")), "{occupied}");
    drop(listener);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_work_over_a_web_socket_by_ip_version_6() {
    if tokio::net::TcpListener::bind("[::1]:0").await.is_err() {
        eprintln!("left out: this machine has no IPv6");
        return;
    }
    tour_at("ws://[::1]:0/some/path?query").await;
}

/// The tour in a process of its own, over its standard streams.
fn tour_stdio() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tour_stdio"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_work_over_the_standard_streams_of_a_child_process() {
    let mut child = tour_stdio().stderr(Stdio::piped()).spawn().unwrap();
    let connection: Connection = capnode::connect_over(transport::child(&mut child).unwrap()).await.unwrap();
    assert!(transport::child(&mut child).is_err(), "its pipes are taken");
    assert_tour(&connection, Expect::Rust).await;
    // The child learns that it is not needed any more, and ends.
    drop(connection);
    // At once, and not when a patient peer would have been cut off.
    let ending = tokio::time::timeout(Duration::from_secs(4), child.wait_with_output());
    let output = ending.await.expect("it ends soon").unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "ended: the peer closed the connection\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_process_that_dies() {
    let mut child = tour_stdio().spawn().unwrap();
    let connection: Connection = capnode::connect_over(transport::child(&mut child).unwrap()).await.unwrap();
    let tour: TourClient = connection.index();
    assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");
    child.kill().await.unwrap();
    assert_eq!(soon(connection.closed()).await.kind(), ErrorKind::Disconnected);
    let error = tour.transform("beep").await.unwrap_err();
    assert_eq!(error.to_string(), soon(connection.closed()).await.to_string());
}

#[tokio::test]
async fn connections_work_over_any_byte_stream() {
    let (one, other) = tokio::io::duplex(1 << 16);
    tour_between(transport::lines(one), transport::lines(other)).await;
}

#[tokio::test]
async fn a_byte_stream_that_takes_a_few_bytes_at_a_time() {
    // Frames are cut anywhere, within characters too.
    let (one, other) = tokio::io::duplex(97);
    tour_between(transport::lines(one), transport::lines(other)).await;
}

/// One end of two channels, as a stream and sink.
struct Channels {
    incoming: mpsc::Receiver<String>,
    outgoing: mpsc::UnboundedSender<String>,
    /// Only that many messages are taken before the sink has to be flushed.
    room: usize,
}

fn channels() -> (Channels, Channels) {
    let (there, arriving) = mpsc::unbounded_channel();
    let (back, returning) = mpsc::unbounded_channel();
    let bounded = |mut from: mpsc::UnboundedReceiver<String>| {
        let (to, bounded) = mpsc::channel(2);
        tokio::spawn(async move {
            while let Some(message) = from.recv().await {
                if to.send(message).await.is_err() {
                    return;
                }
            }
        });
        bounded
    };
    let one = Channels { incoming: bounded(returning), outgoing: there, room: 0 };
    let other = Channels { incoming: bounded(arriving), outgoing: back, room: 0 };
    (one, other)
}

impl Stream for Channels {
    type Item = Result<String, io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.incoming.poll_recv(cx).map(|message| message.map(Ok))
    }
}

impl Sink<String> for Channels {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.room > 0 {
            return Poll::Ready(Ok(()));
        }
        // As if a buffer were full, and empty a moment later.
        self.room = 3;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn start_send(mut self: Pin<&mut Self>, message: String) -> io::Result<()> {
        self.room = self.room.checked_sub(1).ok_or_else(|| io::Error::other("nobody asked for room"))?;
        self.outgoing.send(message).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn connections_work_over_any_stream_and_sink_of_strings() {
    let (one, other) = channels();
    tour_between(transport::messages(one), transport::messages(other)).await;
}

// ----------------------------------------------------------------------------------------- TLS

fn self_signed(name: &str) -> CertifiedKey<KeyPair> {
    generate_simple_self_signed([name.to_owned()]).unwrap()
}

fn trusting(certificate: &CertifiedKey<KeyPair>) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).unwrap();
    Arc::new(roots)
}

fn chain_and_key(
    certificate: &CertifiedKey<KeyPair>,
) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    (vec![certificate.cert.der().clone()], key)
}

/// A client without a certificate, which trusts one.
fn client(certificate: &CertifiedKey<KeyPair>) -> Arc<ClientConfig> {
    let trusting = ClientConfig::builder().with_root_certificates(trusting(certificate));
    Arc::new(trusting.with_no_client_auth())
}

fn serving(certificate: &CertifiedKey<KeyPair>) -> Arc<ServerConfig> {
    let (chain, key) = chain_and_key(certificate);
    Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_work_over_a_web_socket_with_tls() {
    let certificate = self_signed("localhost");
    let node = Node::builder().index(tour::index()).tls(serving(&certificate)).build();
    let listener = node.listen("wss://127.0.0.1:0").await.unwrap();
    assert!(listener.url().starts_with("wss://127.0.0.1:"));
    let url = listener.url().replace("127.0.0.1", "localhost");

    let connection: Connection = capnode::connect(&url).tls(client(&certificate)).await.unwrap();
    assert_tour(&connection, Expect::Rust).await;
}

#[capnode::interface]
trait Watchman {
    async fn is_encrypted(&self) -> bool;
}

struct Watching;

impl Watchman for Watching {
    async fn is_encrypted(&self) -> bool {
        capnode::context().unwrap().caller().unwrap().is_encrypted()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_is_told_whether_its_connection_is_encrypted() {
    let certificate = self_signed("localhost");
    let node = Node::builder().index(WatchmanClient::new(Watching)).tls(serving(&certificate)).build();
    for (scheme, encrypted) in
        [("wss", true), ("https", true), ("ws", false), ("http", false), ("tcp", false)]
    {
        let listener = node.listen(&format!("{scheme}://127.0.0.1:0")).await.unwrap();
        let url = listener.url().replace("127.0.0.1", "localhost");
        let watchman: WatchmanClient = capnode::connect(&url).tls(client(&certificate)).await.unwrap();
        assert_eq!(watchman.is_encrypted().await.unwrap(), encrypted, "{scheme}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_trusted_is_refused() {
    let certificate = self_signed("localhost");
    let node = Node::builder().index(tour::index()).tls(serving(&certificate)).build();
    let listener = node.listen("wss://127.0.0.1:0").await.unwrap();
    let url = listener.url().replace("127.0.0.1", "localhost");
    let why = |error: capnode::Error| {
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(error.to_string().starts_with("cannot set up TLS with localhost:"), "{error}");
        error.to_string()
    };

    // The web's authorities have not signed it.
    let error = capnode::connect::<Connection>(&url).await.unwrap_err();
    assert!(why(error).contains("UnknownIssuer"));
    // Nor has another trusted authority.
    let other = client(&self_signed("localhost"));
    let error = capnode::connect::<Connection>(&url).tls(other).await.unwrap_err();
    assert!(why(error).contains("invalid peer certificate"));
    // It is trusted, but for another name.
    let config = client(&certificate);
    let error = capnode::connect::<Connection>(&listener.url()).tls(config.clone()).await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error:?}");
    // The listener has taken no harm from these.
    let tour: TourClient = capnode::connect(&url).tls(config).await.unwrap();
    assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_prove_who_they_are() {
    let (server, client) = (self_signed("localhost"), self_signed("a client"));
    let verifier = WebPkiClientVerifier::builder(trusting(&client)).build().unwrap();
    let (chain, key) = chain_and_key(&server);
    let config =
        ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
    let known = client.cert.der().to_vec();
    let node = Node::builder()
        .authorize(move |incoming: Incoming| {
            let is_known = incoming.certificates().first() == Some(&known);
            async move { if is_known { Ok(tour::index()) } else { Err("who are you?") } }
        })
        .tls(Arc::new(config))
        .build();
    let (chain, key) = chain_and_key(&client);
    let trusting = ClientConfig::builder().with_root_certificates(trusting(&server));
    let config = Arc::new(trusting.with_client_auth_cert(chain, key).unwrap());
    for scheme in ["wss", "https"] {
        let listener = node.listen(&format!("{scheme}://127.0.0.1:0")).await.unwrap();
        let url = listener.url().replace("127.0.0.1", "localhost");
        assert!(url.starts_with(&format!("{scheme}://localhost:")), "{url}");
        let tour: TourClient = capnode::connect(&url).tls(config.clone()).await.unwrap();
        for _ in 0..2 {
            assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");
        }

        // A client without a certificate does not get in. With TLS 1.3 that shows after the handshake.
        let error = match capnode::connect::<TourClient>(&url).tls(self::client(&server)).await {
            Ok(tour) if scheme == "https" => soon(tour.transform("beep").into_future()).await.unwrap_err(),
            Ok(tour) => panic!("got in: {tour:?}"),
            Err(error) => error,
        };
        assert!(matches!(error.kind(), ErrorKind::Connect | ErrorKind::Disconnected), "{error}");
    }
}

#[tokio::test]
async fn a_listener_with_tls_needs_a_certificate() {
    let error = Node::new(tour::index()).listen("wss://127.0.0.1:0").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        "a wss:// or https:// listener needs a certificate: set it with `NodeBuilder::tls`"
    );
}

// ---------------------------------------------------------------------------------------- axum

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_work_over_a_route_of_axum() {
    let app = axum::Router::new().route("/api", capnode::axum::route(Node::new(tour::index())));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async { axum::serve(listener, app).await });

    let connection: Connection = capnode::connect(&format!("ws://{address}/api")).await.unwrap();
    assert_tour(&connection, Expect::Rust).await;

    let elsewhere = capnode::connect::<Connection>(&format!("ws://{address}/nothing")).await.unwrap_err();
    assert_eq!(elsewhere.kind(), ErrorKind::Refused);
    assert!(elsewhere.message().ends_with(": the server answered 404 Not Found"), "{elsewhere}");
    serving.abort();
}
