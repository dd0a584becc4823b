//! Signed references and sturdy texts whose addresses come from others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use capnode::rustls::pki_types::PrivateKeyDer;
use capnode::rustls::{ClientConfig, RootCertStore, ServerConfig};
use capnode::signed::{Delegation, Link, Rule, SecretKey, Signer as _, Verifier};
use capnode::sturdy::{GatekeeperClient, MemoryStore, Owner, OwnerBuilder, Signed, Sturdy};
use capnode::{Client as _, Error, ErrorKind, LineState, Listener, Node, Reach, Reconnection};
use capnode_tests::soon;
use rcgen::generate_simple_self_signed;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

#[capnode::interface]
trait Note {
    async fn text(&self) -> String;
    async fn erase(&self);
}

struct Paper;

impl Note for Paper {
    async fn text(&self) -> String {
        "milk".to_owned()
    }

    async fn erase(&self) {}
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// An owner at an address, with a certificate for `localhost`.
struct Place {
    owner: Owner,
    node: Node,
    store: Arc<MemoryStore>,
    listener: Listener,
    trusting: Arc<ClientConfig>,
    url: String,
}

/// Returns an owner with what a store has.
fn owner_of(store: &Arc<MemoryStore>) -> Owner {
    let verifier = Verifier::new(key(1).public_key(), "https://localhost", SystemTime::now()).unwrap();
    let builder = Owner::builder(store.clone(), |_| Ok(NoteClient::new(Paper).into()));
    builder.documents(verifier, key(1)).open().unwrap()
}

async fn place(address: &str) -> Place {
    let certificate = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let private = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let chain = vec![certificate.cert.der().clone()];
    let serving = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).unwrap();
    let trusting = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());

    let store = Arc::<MemoryStore>::default();
    let owner = owner_of(&store);
    let node = Node::builder().index(GatekeeperClient::new(owner.clone())).tls(Arc::new(serving)).build();
    let listener = node.listen(address).await.unwrap();
    let url = owner.url(owner.keep("note", b"").unwrap().object()).unwrap();
    Place { owner, node, store, listener, trusting, url }
}

impl Place {
    /// Returns a link for Carol with addresses.
    async fn issued(&self, addresses: &[String]) -> Signed<NoteClient> {
        let now = SystemTime::now();
        let to = Delegation::new(key(3).public_key(), now + Duration::from_secs(86_400));
        let to = addresses.iter().fold(to.actions(["redeem", "text"]), Delegation::endpoint);
        Signed::new(to.issue(&self.url, &key(1), now).await.unwrap())
    }

    /// Returns a text with addresses. It is of the same owner, once that knows where it is.
    fn text(&self, addresses: &[String]) -> Sturdy {
        let builder = Owner::builder(self.store.clone(), |_| Err(Error::rejected("not here")));
        let builder = addresses.iter().fold(builder, OwnerBuilder::address);
        builder.open().unwrap().keep("note", b"").unwrap()
    }

    /// Returns Bob's link with an address, and what he has made of it for Carol.
    async fn delegated(&self, address: &str) -> (Link, Signed<NoteClient>) {
        let (now, day) = (SystemTime::now(), Duration::from_secs(86_400));
        let to_bob = Delegation::new(key(2).public_key(), now + day).actions(["redeem", "text", "erase"]);
        let bobs = to_bob.endpoint(address).issue(&self.url, &key(1), now).await.unwrap();
        // What a holder names does not count.
        let to_carol = Delegation::new(key(3).public_key(), now + day).actions(["redeem", "text"]);
        let carols = to_carol.endpoint("tcp://127.0.0.1:1").delegate(&bobs, &key(2), now).await.unwrap();
        (bobs, Signed::new(carols))
    }
}

async fn redeem(reach: &Reach, signed: &Signed<NoteClient>) -> Result<NoteClient, capnode::Error> {
    reach.redeem(signed, &key(3), SystemTime::now()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_is_redeemed_where_its_owner_is() {
    let place = place("wss://127.0.0.1:0").await;
    let (bobs, carols) = place.delegated(&place.listener.url().replace("127.0.0.1", "localhost")).await;
    let reach = Reach::default().tls(place.trusting.clone());
    // That is this machine.
    assert_eq!(redeem(&reach, &carols).await.unwrap_err().kind(), ErrorKind::Connect);
    let note = redeem(&reach.private(), &carols).await.unwrap();
    assert_eq!(note.text().await.unwrap(), "milk");
    note.erase().await.unwrap_err();
    place.owner.revoke_link(&bobs).unwrap();
    note.text().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_host_or_transport_is_for_those_who_know_the_owner() {
    for (scheme, host) in [("tcp", "localhost"), ("ws", "localhost"), ("wss", "127.0.0.1")] {
        let place = place(&format!("{scheme}://127.0.0.1:0")).await;
        let (_, carols) = place.delegated(&place.listener.url().replace("127.0.0.1", host)).await;
        let reach = Reach::default().tls(place.trusting.clone()).private();
        assert_eq!(redeem(&reach, &carols).await.unwrap_err().kind(), ErrorKind::Refused, "{scheme}");
        let other = reach.clone().owner(key(9).public_key());
        assert_eq!(redeem(&other, &carols).await.unwrap_err().kind(), ErrorKind::Refused, "{scheme}");
        let redeemed = redeem(&reach.owner(key(1).public_key()), &carols).await;
        // The certificate is not for the number, whoever is known.
        assert_eq!(redeemed.is_ok(), scheme != "wss", "{redeemed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_has_one_deadline() {
    let (_silent, address) = silent().await;
    let place = place("tcp://127.0.0.1:0").await;
    let carols = place.issued(&[format!("tcp://{address}")]).await;
    let reach = Reach::default().owner(key(1).public_key()).private().time(Duration::from_millis(50));
    for error in [
        redeem(&reach, &carols).await.unwrap_err(),
        // What is there has proved nothing.
        reach.connect(carols.link(), SystemTime::now()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.message(), "the owner was not reached within 50ms: see `Reach::time`");
    }
}

/// Returns what is connected to and never answers, and where it is.
async fn silent() -> (tokio::net::TcpListener, SocketAddr) {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    (silent, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_address_leaves_time_for_the_next() {
    let (_silent, address) = silent().await;
    let place = place("tcp://127.0.0.1:0").await;
    for scheme in ["tcp", "ws"] {
        let carols = place.issued(&[format!("{scheme}://{address}"), place.listener.url()]).await;
        let reach = Reach::default().owner(key(1).public_key()).private().time(Duration::from_secs(4));
        assert_eq!(redeem(&reach, &carols).await.unwrap().text().await.unwrap(), "milk", "{scheme}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_at_which_another_answers_is_passed_over() {
    let place = place("tcp://127.0.0.1:0").await;
    let other = Node::new(NoteClient::new(Paper)).listen("tcp://127.0.0.1:0").await.unwrap();
    // It takes documents, and for another key.
    let verifier = Verifier::new(key(8).public_key(), "https://localhost", SystemTime::now()).unwrap();
    let others = Owner::builder(MemoryStore::default(), |_| Err(Error::rejected("not here")));
    let others = others.documents(verifier, key(8)).open().unwrap();
    let others = Node::new(GatekeeperClient::new(others)).listen("tcp://127.0.0.1:0").await.unwrap();
    let reach = Reach::default().owner(key(1).public_key()).private();

    let addresses = [other.url(), others.url(), place.listener.url()];
    let note = redeem(&reach, &place.issued(&addresses).await).await.unwrap();
    assert_eq!(note.text().await.unwrap(), "milk");
    let error = redeem(&reach, &place.issued(&addresses[..1]).await).await.unwrap_err();
    let said = "the peer has not proved that it is the owner: 'challenge' is not a function.";
    assert_eq!(error.message(), said);
    let carols = place.issued(&addresses[..2]).await;
    let error = reach.connect(carols.link(), SystemTime::now()).await.unwrap_err();
    assert_eq!(broken(&error), Some(Rule::Signature));
}

/// Returns the rule for which a document was refused here.
fn broken(error: &Error) -> Option<Rule> {
    Some(std::error::Error::source(error)?.downcast_ref::<capnode::signed::Refusal>()?.rule())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_handed_to_the_owner_that_is_named() {
    let place = place("wss://127.0.0.1:0").await;
    let text = place.text(&[place.listener.url().replace("127.0.0.1", "localhost")]);
    let reach = Reach::default().tls(place.trusting.clone()).private();
    let error = reach.clone().owner(key(9).public_key()).redeem_text(&text).await.unwrap_err();
    assert_eq!(broken(&error), Some(Rule::Signature));
    assert!(place.owner.live().is_empty());
    let note = reach.owner(key(1).public_key()).redeem_text(&text).await.unwrap();
    assert_eq!(NoteClient::from_cap(note).text().await.unwrap(), "milk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_may_not_be_reached_is_said_why() {
    let place = place("tcp://127.0.0.1:0").await;
    let reach = Reach::default();
    let owned = reach.clone().owner(key(1).public_key());
    let elsewhere =
        "it is no `wss://` to the host of the target: `Reach::owner` allows other hosts and transports";
    for (reach, address, why) in [
        (&reach, "tcp://localhost:1", elsewhere),
        (&reach, "wss://elsewhere.example", elsewhere),
        (&reach, "https://localhost:1", "batches of HTTP are never used"),
        (&owned, "https://localhost:1", "batches of HTTP are never used"),
        (&owned, "unix:/nowhere", "it is of this machine: `Reach::private` allows it"),
    ] {
        let error = redeem(reach, &place.issued(&[address.to_owned()]).await).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert_eq!(error.message(), format!("`{address}` may not be reached: {why}"));
    }
    let error = redeem(&owned, &place.issued(&[place.listener.url()]).await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    let why = "it leads to no public address: `Reach::private` allows others";
    assert_eq!(error.message(), format!("cannot connect to {}: {why}", place.listener.url()));
    let error = redeem(&owned, &place.issued(&[]).await).await.unwrap_err();
    assert_eq!(error.message(), "the link names no address");
    let error = reach.redeem_text(&place.text(&[])).await.unwrap_err();
    assert_eq!(error.message(), "the text names no address");
    let error = reach.redeem_text(&place.text(&["tcp://localhost:1".to_owned()])).await.unwrap_err();
    let why = "it is no `wss://`, and whoever reads a text can use it";
    assert_eq!(error.message(), format!("`tcp://localhost:1` may not be reached: {why}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gatekeeper_is_reached_again_when_its_owner_is_back() {
    let place = place("tcp://127.0.0.1:0").await;
    let address = place.listener.url();
    let carols = place.issued(std::slice::from_ref(&address)).await;
    let reach = Reach::default().owner(key(1).public_key()).private();
    let brief = Duration::from_millis(10);
    let gatekeeper = reach.reconnecting(carols.link()).backoff(brief, brief).await.unwrap();
    let mut line = Reconnection::of(&gatekeeper).unwrap();
    let carol = key(3);
    let redeem = || carols.redeem(&gatekeeper, &carol, SystemTime::now());
    assert_eq!(redeem().await.unwrap().text().await.unwrap(), "milk");

    place.listener.close().await;
    place.node.drain(Duration::ZERO).await;
    // Somebody else is at its address at first, and is not taken for the owner.
    let other = Node::new(NoteClient::new(Paper));
    let elsewhere = other.listen(&address).await.unwrap();
    let proved = |state: &LineState| match state {
        LineState::Down { why, .. } => why.message().starts_with("the peer has not proved"),
        _ => false,
    };
    while !proved(&soon(line.changed()).await) {}
    elsewhere.close().await;
    other.drain(Duration::ZERO).await;
    let node = Node::new(GatekeeperClient::new(owner_of(&place.store)));
    let _listener = node.listen(&address).await.unwrap();
    assert_eq!(soon(redeem()).await.unwrap().text().await.unwrap(), "milk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_the_owner_has_not_signed_is_not_used() {
    let stranger = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = stranger.local_addr().unwrap();
    let place = place("tcp://127.0.0.1:0").await;
    let address = place.listener.url();
    let (_, carols) = place.delegated(&address).await;
    let reach = Reach::default().owner(key(1).public_key()).private();
    redeem(&reach, &carols).await.unwrap();
    let changed = carols.to_string().replace(&address, &format!("tcp://{there}"));
    let changed: Signed<NoteClient> = changed.parse().unwrap();
    assert_eq!(redeem(&reach, &changed).await.unwrap_err().kind(), ErrorKind::Refused);
    // The first that comes there is this one.
    let own = tokio::net::TcpStream::connect(there).await.unwrap();
    assert_eq!(stranger.accept().await.unwrap().1, own.local_addr().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_redeemed_by_its_first_address_that_is_safe() {
    let place = place("wss://127.0.0.1:0").await;
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = plain.local_addr().unwrap();
    let unsafe_ones = ["tcp", "ws", "https"].map(|scheme| format!("{scheme}://{there}"));
    let reach = Reach::default().tls(place.trusting.clone());

    let refused = reach.clone().private().redeem_text(&place.text(&unsafe_ones)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    let safe = place.listener.url().replace("127.0.0.1", "localhost");
    let text = place.text(&[&unsafe_ones[..], &[safe]].concat());
    // That is this machine.
    assert_eq!(reach.redeem_text(&text).await.unwrap_err().kind(), ErrorKind::Connect);
    let note = NoteClient::from_cap(reach.private().redeem_text(&text).await.unwrap());
    assert_eq!(note.text().await.unwrap(), "milk");
    // The first that comes there is this one.
    let own = tokio::net::TcpStream::connect(there).await.unwrap();
    assert_eq!(plain.accept().await.unwrap().1, own.local_addr().unwrap());
}

/// Answers each request with the way to another server.
async fn sends_away(status: &'static str, to: String) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = tokio::io::BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).await.unwrap() > "\r\n".len() {
                line.clear();
            }
            let answer = format!("HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_server_can_send_it_to_another_one() {
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let place = place("ws://127.0.0.1:0").await;
        let own = place.listener.url();
        let reach = Reach::default().owner(key(1).public_key()).private();
        let (_, direct) = place.delegated(&own).await;
        redeem(&reach, &direct).await.unwrap();
        for scheme in ["ws", "http"] {
            let away = sends_away(status, own.replace("ws", scheme)).await;
            let (_, carols) = place.delegated(&away).await;
            let error = redeem(&reach, &carols).await.unwrap_err();
            assert!(error.message().ends_with(&format!("the server answered {status}")), "{error}");
        }
    }
}
