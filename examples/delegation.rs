//! Three processes: a permission and a promise are passed on as texts, and nobody relays.
//!
//! ```text
//! cargo run --example delegation
//! ```
//!
//! An owner signs a link to a board for Bob's key. Bob signs a narrower one for Carol's, without asking anybody. He also asks what
//! is decided, lets Carol have the answer, and exits before there is one. Carol, which is this process, redeems both at the owner,
//! by TCP since she knows its key, and by a WebSocket with its certificate, which Bob has never used. The owner's process is
//! killed and started again meanwhile, and knows what it has taken before. In the end the owner takes back Bob's link.

use std::error::Error;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use capnode::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use capnode::rustls::{ClientConfig, RootCertStore, ServerConfig};
use capnode::signed::{Delegation, Invocation, SecretKey, Signer as _, Verifier};
use capnode::sturdy::{FileStore, GatekeeperClient, Owner, Signed, Store as _};
use capnode::{Node, Reach};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin, stdin};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ORIGIN: &str = "https://localhost";
const DAY: Duration = Duration::from_secs(86_400);

#[capnode::interface]
trait Board {
    #[capnode(read)]
    async fn title(&self) -> String;
    async fn clear(&self);
    /// Returns what is decided, once it is.
    async fn decision(&self) -> String;
}

/// A board, of which its title is kept.
struct Kept {
    title: String,
    decided: watch::Receiver<String>,
}

impl Board for Kept {
    async fn title(&self) -> String {
        self.title.clone()
    }

    async fn clear(&self) {}

    async fn decision(&self) -> String {
        let mut decided = self.decided.clone();
        decided.wait_for(|what| !what.is_empty()).await.map(|what| what.clone()).unwrap_or_default()
    }
}

fn lines() -> Lines<BufReader<Stdin>> {
    BufReader::new(stdin()).lines()
}

/// Returns what is kept by a name, which is made the first time.
fn kept(store: &FileStore, name: &str, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    if let Some(value) = store.get(name)? {
        return Ok(value);
    }
    let value = make()?;
    store.put(name, &value)?;
    Ok(value)
}

/// Returns the certificate of the owner, for this machine, and the part of it that is private.
fn certificate(store: &FileStore) -> Result<(CertificateDer<'static>, ServerConfig)> {
    let new = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let public = kept(store, "example/certificate", || Ok(new.cert.der().to_vec()))?;
    let private = kept(store, "example/certificate key", || Ok(new.signing_key.serialize_der()))?;
    let public = CertificateDer::from(public);
    let serving = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![public.clone()], PrivateKeyDer::try_from(private)?)?;
    Ok((public, serving))
}

/// Listens at the address of before, if there is one.
async fn listen(node: &Node, store: &FileStore, scheme: &str) -> Result<capnode::Listener> {
    let name = format!("example/{scheme}");
    let address = kept(store, &name, || Ok(format!("{scheme}://127.0.0.1:0").into_bytes()))?;
    let listener = node.listen(std::str::from_utf8(&address)?).await?;
    store.put(&name, listener.url().as_bytes())?;
    Ok(listener)
}

/// The owner: tells its key, does what its input says, and tells the rule of each refusal. `public` is where it writes its certificate.
async fn own(file: &str, public: &str) -> Result<()> {
    let store = Arc::new(FileStore::open(file)?);
    let seed = kept(&store, "example/seed", || {
        let mut seed = vec![0; 32];
        getrandom::fill(&mut seed)?;
        Ok(seed)
    })?;
    let key = SecretKey::from_seed(seed.as_slice().try_into()?);
    // Nobody had the key before its store, so no earlier invocation was taken by another. Later the store says since when it
    // knows what was.
    let verifier = Verifier::new(key.public_key(), ORIGIN, SystemTime::now() - Duration::from_secs(60))?;
    let (decide, decided) = watch::channel(String::new());
    let restore = move |kept: &capnode::sturdy::Kept| {
        let title = String::from_utf8_lossy(&kept.data).into_owned();
        Ok(BoardClient::new(Kept { title, decided: decided.clone() }).into())
    };
    let owner = Owner::builder(store.clone(), restore)
        .documents(verifier, key.clone())
        .on_refusal(|refusal| match refusal.document() {
            Some(document) => println!("by the rule {:?}", document.rule()),
            None => println!("by the rule {:?}", refusal.rule()),
        })
        .open()?;
    let board = kept(&store, "example/board", || {
        Ok(owner.keep("board", b"What we eat")?.object().as_bytes().to_vec())
    })?;
    let url = owner.url(std::str::from_utf8(&board)?)?;

    let (certificate, serving) = certificate(&store)?;
    std::fs::write(public, &certificate)?;
    let node = Node::builder().index(GatekeeperClient::new(owner.clone())).tls(Arc::new(serving)).build();
    let (tcp, wss) = (listen(&node, &store, "tcp").await?, listen(&node, &store, "wss").await?);
    println!("{}", key.public_key());
    let mut lines = lines();
    while let Some(line) = lines.next_line().await? {
        match line.split_once(' ') {
            Some(("issue", to)) => {
                let link = Delegation::new(to.parse()?, SystemTime::now() + 7 * DAY)
                    .actions(["redeem", "title", "clear", "decision", "await"])
                    .endpoint(tcp.url())
                    .endpoint(wss.url().replace("127.0.0.1", "localhost"));
                println!("{}", link.issue(&url, &key, SystemTime::now()).await?);
            }
            Some(("decide", what)) => {
                decide.send_replace(what.to_owned());
                println!("decided");
            }
            Some(("revoke", link)) => {
                owner.revoke_link(&link.parse()?)?;
                println!("revoked");
            }
            _ => return Err("an unknown order".into()),
        }
    }
    Ok(())
}

/// Bob: tells his key, reads a link, and narrows it for the next key. Then does the same with the answer to a call of his.
async fn narrow(owner: &str, carol: &str) -> Result<()> {
    let key = SecretKey::random();
    println!("{}", key.public_key());
    let link: Signed<BoardClient> = lines().next_line().await?.ok_or("no link")?.parse()?;
    let now = SystemTime::now();
    let to_carol = Delegation::new(carol.parse()?, now + DAY);
    let board = to_carol.clone().actions(["redeem", "title"]);
    println!("{}", link.delegate(board, &key, now).await?);

    let gatekeeper = Reach::default().owner(owner.parse()?).private().connect(link.link(), now).await?;
    let answer = link.keep(Invocation::new("decision", ORIGIN), &gatekeeper, &key, now).await?;
    let promise = to_carol.actions(["await"]).target(answer);
    println!("{}", link.delegate(promise, &key, now).await?);
    Ok(())
}

/// Another process of this program.
struct Other {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        Ok(Self { child, input, output })
    }

    async fn read(&mut self) -> Result<String> {
        Ok(self.output.next_line().await?.ok_or("the process has ended")?)
    }

    async fn ask(&mut self, line: &str) -> Result<String> {
        self.input.write_all(format!("{line}\n").as_bytes()).await?;
        self.read().await
    }

    /// Says what has become of something that was asked of this owner. Whoever is refused learns one word, and its log the rule.
    async fn told<T, E: std::fmt::Display>(&mut self, result: std::result::Result<T, E>) -> Result<String> {
        let said = told(result);
        Ok(if said == "refused" { format!("{said} {}", self.read().await?) } else { said })
    }
}

/// Uses an invocation, which is good for one use, also if the owner was started again in between. Returns the owner that was.
async fn use_once(
    link: &Signed<BoardClient>,
    reach: &Reach,
    carol: &SecretKey,
    mut owner: Other,
    again: &[&str],
) -> Result<Other> {
    let gatekeeper = reach.connect(link.link(), SystemTime::now()).await?;
    // By hand, what `Signed::redeem` does.
    let nonce = nonce()?;
    let challenge = gatekeeper.challenge(&nonce).await?;
    challenge.check(&link.link().owner().parse()?, ORIGIN, &nonce)?;
    let used = Invocation::new("redeem", ORIGIN).challenge(challenge.nonce);
    let used = used.sign(link.link(), carol, SystemTime::now()).await?;
    println!("carol redeems: {}", owner.told(gatekeeper.redeem(&used).await).await?);
    println!("and once more: {}", owner.told(gatekeeper.redeem(&used).await).await?);
    owner.child.kill().await?;
    let mut owner = Other::start(again)?;
    owner.read().await?;
    println!("the owner is back");
    // The nonce is another process's, which does not count where nobody can read along. What was taken is in the store.
    let gatekeeper = reach.connect(link.link(), SystemTime::now()).await?;
    println!("and once more: {}", owner.told(gatekeeper.redeem(&used).await).await?);
    Ok(owner)
}

/// Returns a number that nobody has used before.
fn nonce() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

async fn delegate(file: &str, certificate: &str) -> Result<()> {
    let carol = SecretKey::random();
    let mut owner = Other::start(&["own", file, certificate])?;
    let owner_key = owner.read().await?;
    let mut bob = Other::start(&["narrow", &owner_key, &carol.public_key().to_string()])?;
    let bobs = owner.ask(&format!("issue {}", bob.read().await?)).await?;
    let link: Signed<BoardClient> = bob.ask(&bobs).await?.parse()?;
    let promise: Signed<String> = bob.read().await?.parse()?;
    bob.child.wait().await?;
    println!("bob has passed on his link and a promise, and is gone");

    // The link names the addresses. Whoever knows the owner's key may use any of them.
    let by_key = Reach::default().owner(owner_key.parse()?).private();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(std::fs::read(certificate)?))?;
    let trusting = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let by_certificate = Reach::default().tls(Arc::new(trusting)).private();
    let ways = [("tcp", by_key), ("wss", by_certificate)];
    for (way, reach) in &ways {
        let board = reach.redeem(&link, &carol, SystemTime::now()).await?;
        println!("carol reads by {way}: {}", board.title().await?);
        println!("carol clears: {}", told(board.clear().await));
    }

    // She asks before there is an answer.
    let gatekeeper = ways[0].1.connect(promise.link(), SystemTime::now()).await?;
    let answer = promise.result(&gatekeeper, &carol, SystemTime::now());
    let (answer, decided) = tokio::join!(answer, owner.ask("decide soup"));
    println!("{}: {}", decided?, answer?);

    let mut owner = use_once(&link, &ways[1].1, &carol, owner, &["own", file, certificate]).await?;
    let mut boards = Vec::new();
    for (way, reach) in &ways {
        let board = reach.redeem(&link, &carol, SystemTime::now()).await?;
        println!("carol reads by {way}: {}", board.title().await?);
        let gatekeeper = reach.connect(promise.link(), SystemTime::now()).await?;
        println!("decided: {}", promise.result(&gatekeeper, &carol, SystemTime::now()).await?);
        boards.push((board, gatekeeper));
    }

    println!("the owner takes back bob's link: {}", owner.ask(&format!("revoke {bobs}")).await?);
    for (board, gatekeeper) in boards {
        println!("carol reads: {}", told(board.title().await));
        let redeemed = link.redeem(&gatekeeper, &carol, SystemTime::now()).await;
        println!("carol redeems: {}", owner.told(redeemed).await?);
        let answer = promise.result(&gatekeeper, &carol, SystemTime::now()).await;
        println!("carol asks: {}", owner.told(answer).await?);
    }
    Ok(())
}

fn told<T, E: std::fmt::Display>(result: std::result::Result<T, E>) -> String {
    result.map_or_else(|error| error.to_string(), |_| "done".to_owned())
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["own", file, public] => own(file, public).await,
        ["narrow", owner, carol] => narrow(owner, carol).await,
        _ => {
            let folder = std::env::temp_dir().join(format!("delegation-{}", std::process::id()));
            std::fs::create_dir(&folder)?;
            let name = |name: &str| Path::join(&folder, name).to_string_lossy().into_owned();
            let done = delegate(&name("store.redb"), &name("certificate.der")).await;
            std::fs::remove_dir_all(&folder)?;
            done
        }
    }
}
