//! Three processes: a permission is passed on as a text, and nobody relays.
//!
//! ```text
//! cargo run --example delegation
//! ```
//!
//! An owner signs a link to a board for Bob's key. Bob signs a narrower one for Carol's, without asking anybody, and exits. Carol,
//! which is this process, redeems it at the owner, whose process is killed and started again meanwhile. In the end the owner
//! takes back Bob's link.

use std::error::Error;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use capnode::signed::{Delegation, Invocation, SecretKey, Signer as _, Verifier};
use capnode::sturdy::{FileStore, GatekeeperClient, Owner, Signed, Store as _};
use capnode::{Node, Reach};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin, stdin};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ORIGIN: &str = "https://board.example";
const DAY: Duration = Duration::from_secs(86_400);

#[capnode::interface]
trait Board {
    #[capnode(read)]
    async fn title(&self) -> String;
    async fn clear(&self);
}

/// A board, of which its title is kept.
struct Kept(String);

impl Board for Kept {
    async fn title(&self) -> String {
        self.0.clone()
    }

    async fn clear(&self) {}
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

/// The owner: tells its address, and does what its input says.
async fn own(file: &str) -> Result<()> {
    let store = Arc::new(FileStore::open(file)?);
    let seed = kept(&store, "example/seed", || {
        let mut seed = vec![0; 32];
        getrandom::fill(&mut seed)?;
        Ok(seed)
    })?;
    let key = SecretKey::from_seed(seed.as_slice().try_into()?);
    let verifier = Verifier::new(key.public_key(), ORIGIN, SystemTime::now())?;
    let restore = |kept: &capnode::sturdy::Kept| {
        Ok(BoardClient::new(Kept(String::from_utf8_lossy(&kept.data).into_owned())).into())
    };
    let owner = Owner::builder(store.clone(), restore).documents(verifier, key.clone()).open()?;
    let board = kept(&store, "example/board", || {
        Ok(owner.keep("board", b"What we eat")?.object().as_bytes().to_vec())
    })?;
    let url = owner.url(std::str::from_utf8(&board)?)?;
    let listener = Node::new(GatekeeperClient::new(owner.clone())).listen("tcp://127.0.0.1:0").await?;
    println!("{}\n{}", listener.url(), key.public_key());
    let mut lines = lines();
    while let Some(line) = lines.next_line().await? {
        match line.split_once(' ') {
            Some(("issue", to)) => {
                let link = Delegation::new(to.parse()?, SystemTime::now() + 7 * DAY)
                    .actions(["redeem", "title", "clear"])
                    .endpoint(listener.url());
                println!("{}", link.issue(&url, &key, SystemTime::now()).await?);
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

/// Bob: tells his key, reads a link, and narrows it for the next key.
async fn narrow(carol: &str) -> Result<()> {
    let key = SecretKey::random();
    println!("{}", key.public_key());
    let link: Signed<BoardClient> = lines().next_line().await?.ok_or("no link")?.parse()?;
    let to_carol = Delegation::new(carol.parse()?, SystemTime::now() + DAY).actions(["redeem", "title"]);
    println!("{}", link.delegate(to_carol, &key, SystemTime::now()).await?);
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
}

async fn delegate(file: &str) -> Result<()> {
    let carol = SecretKey::random();
    let mut owner = Other::start(&["own", file])?;
    owner.read().await?;
    let owner_key = owner.read().await?;
    let mut bob = Other::start(&["narrow", &carol.public_key().to_string()])?;
    let bobs = owner.ask(&format!("issue {}", bob.read().await?)).await?;
    let text = bob.ask(&bobs).await?;
    bob.child.wait().await?;
    println!("bob has passed on his link, and is gone");

    let link: Signed<BoardClient> = text.parse()?;
    // The link names the address. Carol knows the owner's key, so that any way to it will do.
    let reach = Reach::default().owner(owner_key.parse()?).private();
    let board = reach.redeem(&link, &carol, SystemTime::now()).await?;
    println!("carol reads: {}", board.title().await?);
    println!("carol clears: {}", told(board.clear().await));

    // What was signed before the restart, and might have been used before it.
    let invocation = Invocation::new("redeem", ORIGIN);
    let old = invocation.sign(link.link(), &carol, SystemTime::now()).await?;
    owner.child.kill().await?;
    let mut owner = Other::start(&["own", file])?;
    let gatekeeper: GatekeeperClient = capnode::connect(&owner.read().await?).await?;
    owner.read().await?;
    println!("the owner is back");
    println!("an old invocation: {}", told(gatekeeper.redeem(&old).await));
    let board = link.redeem(&gatekeeper, &carol, SystemTime::now()).await?;
    println!("carol reads: {}", board.title().await?);

    println!("the owner takes back bob's link: {}", owner.ask(&format!("revoke {bobs}")).await?);
    println!("carol reads: {}", told(board.title().await));
    println!("carol redeems: {}", told(link.redeem(&gatekeeper, &carol, SystemTime::now()).await));
    Ok(())
}

fn told<T, E: std::fmt::Display>(result: std::result::Result<T, E>) -> String {
    result.map_or_else(|error| error.to_string(), |_| "done".to_owned())
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["own", file] => own(file).await,
        ["narrow", carol] => narrow(carol).await,
        _ => {
            let file = std::env::temp_dir().join(format!("delegation-{}.redb", std::process::id()));
            let done = delegate(&file.to_string_lossy()).await;
            std::fs::remove_file(Path::new(&file))?;
            done
        }
    }
}
