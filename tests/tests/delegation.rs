//! Signed references whose addresses come from others.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use capnode::rustls::pki_types::PrivateKeyDer;
use capnode::rustls::{ClientConfig, RootCertStore, ServerConfig};
use capnode::signed::{Delegation, Link, SecretKey, Signer as _, Verifier};
use capnode::sturdy::{GatekeeperClient, MemoryStore, Owner, Signed};
use capnode::{ErrorKind, Listener, Node, Reach};
use rcgen::generate_simple_self_signed;

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
    listener: Listener,
    trusting: Arc<ClientConfig>,
    url: String,
}

async fn place(address: &str) -> Place {
    let certificate = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let private = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let chain = vec![certificate.cert.der().clone()];
    let serving = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).unwrap();
    let trusting = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());

    let verifier = Verifier::new(key(1).public_key(), "https://localhost", SystemTime::now()).unwrap();
    let owner = Owner::builder(MemoryStore::default(), |_| Ok(NoteClient::new(Paper).into()))
        .documents(verifier, key(1))
        .open()
        .unwrap();
    let node = Node::builder().index(GatekeeperClient::new(owner.clone())).tls(Arc::new(serving)).build();
    let listener = node.listen(address).await.unwrap();
    let url = owner.url(owner.keep("note", b"").unwrap().object()).unwrap();
    Place { owner, listener, trusting, url }
}

impl Place {
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
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = place("tcp://127.0.0.1:0").await;
    let (_, carols) = place.delegated(&format!("tcp://{}", silent.local_addr().unwrap())).await;
    let reach = Reach::default().owner(key(1).public_key()).private().time(Duration::from_millis(50));
    assert_eq!(redeem(&reach, &carols).await.unwrap_err().kind(), ErrorKind::Timeout);
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
