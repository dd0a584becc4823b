//! A chat over a bad line: the server is killed and started again three times, and the line is cut at random. The member
//! sees each line once.
//!
//! ```text
//! cargo run --example reconnect
//! ```

use std::collections::HashSet;
use std::error::Error as StdError;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use capnode::{Error, Func, LineState, Node, Reconnection, Update};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// The index of the server.
#[capnode::interface]
trait Chat {
    /// Says something. A line has an id of its sender's, so that one that comes twice counts once.
    #[capnode(idempotent)]
    async fn say(&self, line: &Line);

    /// Calls `hear` with each line behind the first `after` of them, in their order, and with its number, until what this
    /// returns is dropped.
    async fn listen(&self, after: u64, hear: Func<fn(u64, Line)>) -> ListeningClient;
}

/// A member that listens, as long as it is held.
#[capnode::interface]
trait Listening {}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Line {
    from: String,
    id: u64,
    text: String,
}

/// The lines, in a file that outlives the process.
struct Room {
    file: Mutex<std::fs::File>,
    lines: watch::Sender<Vec<Line>>,
}

impl Room {
    fn open(path: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(String::new()),
            _ => Err(error),
        })?;
        // The last line may have been written in part when the server was killed. Then nobody was told of it.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let read = |line: &str| serde_json::from_str(line).map_err(io::Error::other);
        let lines = text[..whole].lines().map(read).collect::<io::Result<Vec<Line>>>()?;
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(whole as u64)?;
        Ok(Self { file: Mutex::new(file), lines: watch::Sender::new(lines) })
    }

    fn add(&self, line: &Line) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lines.borrow().iter().any(|known| (&known.from, known.id) == (&line.from, line.id)) {
            return Ok(());
        }
        let mut text = serde_json::to_string(line).map_err(io::Error::other)?;
        text.push('\n');
        file.write_all(text.as_bytes())?;
        self.lines.send_modify(|lines| lines.push(line.clone()));
        Ok(())
    }
}

#[derive(Clone)]
struct Server(Arc<Room>);

impl Chat for Server {
    async fn say(&self, line: &Line) {
        if let Err(error) = self.0.add(line) {
            eprintln!("server: a line was not kept: {error}");
            std::process::exit(1);
        }
    }

    async fn listen(&self, after: u64, hear: Func<fn(u64, Line)>) -> ListeningClient {
        let mut lines = self.0.lines.subscribe();
        let telling = tokio::spawn(async move {
            let mut told = after as usize;
            loop {
                let new = lines.borrow_and_update().get(told..).unwrap_or_default().to_vec();
                for line in new {
                    told += 1;
                    // One after the other: a slow member makes this wait, and one that is gone ends it.
                    if hear.call(told as u64, line).await.is_err() {
                        return;
                    }
                }
                if lines.changed().await.is_err() {
                    return;
                }
            }
        });
        ListeningClient::new(Telling(telling.abort_handle()))
    }
}

struct Telling(tokio::task::AbortHandle);

impl Listening for Telling {}

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(url: &str, file: &Path) -> Result<(), Box<dyn StdError>> {
    let node = Node::new(ChatClient::new(Server(Arc::new(Room::open(file)?))));
    let _listener = node.listen(url).await?;
    std::future::pending().await
}

/// Random numbers for the line and the server's ends: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Passes connections on to the server, and cuts each after a while.
async fn bad_line(listener: TcpListener, server: String, mut random: Random) {
    while let Ok((mut here, _)) = listener.accept().await {
        let (server, lasts) = (server.clone(), Duration::from_millis(20 + random.below(300)));
        tokio::spawn(async move {
            let Ok(mut there) = TcpStream::connect(&server).await else { return };
            let carrying = tokio::io::copy_bidirectional(&mut here, &mut there);
            // However it ends, the line is gone.
            let _over = tokio::time::timeout(lasts, carrying).await;
        });
    }
}

fn start_server(address: &str, file: &Path) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["serve", &format!("tcp://{address}")])
        .arg(file)
        .kill_on_drop(true)
        .spawn()
}

/// Kills the server three times, and starts it again.
async fn rough_server(address: String, file: PathBuf, mut random: Random) -> io::Result<Child> {
    let mut server = start_server(&address, &file)?;
    for time in 1..=3 {
        tokio::time::sleep(Duration::from_millis(300 + random.below(400))).await;
        server.kill().await?;
        println!("server: killed, for the {time}. time");
        tokio::time::sleep(Duration::from_millis(random.below(300))).await;
        server = start_server(&address, &file)?;
    }
    Ok(server)
}

const MEMBERS: [&str; 3] = ["ann", "bob", "eve"];
const LINES: u64 = 40;

/// Says all lines of a member, one after the other.
async fn talk(chat: ChatClient, from: &str) -> Result<(), Error> {
    for id in 1..=LINES {
        let line = Line { from: from.to_owned(), id, text: format!("{from} says {id}") };
        chat.say(&line).await?;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    Ok(())
}

/// Prints what the member knows of the connection.
async fn tell_states(mut connection: Reconnection) {
    loop {
        match connection.changed().await {
            LineState::Connecting => println!("line: connecting"),
            LineState::Up => println!("line: up"),
            LineState::Down { why, next_try, .. } => {
                let wait =
                    next_try.map(|at| at.saturating_duration_since(Instant::now())).unwrap_or_default();
                println!("line: down, next try in {} ms: {why}", wait.as_millis());
            }
            LineState::Ended(why) => return println!("line: ended: {why}"),
        }
    }
}

async fn run(seed: u64) -> Result<(), Box<dyn StdError>> {
    let file = std::env::temp_dir().join(format!("capnode-reconnect-{}-{seed}", std::process::id()));
    // A port that is free now.
    let server = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string();
    let line = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("tcp://{}", line.local_addr()?);
    let _line = tokio::spawn(bad_line(line, server.clone(), Random(seed)));
    let running = tokio::spawn(rough_server(server, file.clone(), Random(seed.rotate_left(32) | 1)));

    let chat: ChatClient = capnode::connect(&url)
        .reconnecting()
        .backoff(Duration::from_millis(10), Duration::from_millis(200))
        .start()?;
    if let Some(connection) = Reconnection::of(&chat) {
        tokio::spawn(tell_states(connection));
    }
    // The cursor is the number of the last line.
    let mut lines =
        capnode::subscribe(&chat, 0, |chat: ChatClient, after, hear: Func<fn(u64, Line)>| async move {
            chat.listen(after, hear).await
        })?;
    let talking = async {
        let [ann, bob, eve] = MEMBERS.map(|from| talk(chat.clone(), from));
        tokio::try_join!(ann, bob, eve).map(drop)
    };
    let mut seen = Vec::new();
    let listening = async {
        while seen.len() < MEMBERS.len() * LINES as usize {
            match lines.next().await.ok_or_else(|| Error::rejected("the subscription has ended"))?? {
                Update::Gap => println!("gap: again from line {}", seen.len()),
                Update::Value(line) => {
                    println!("line {}: {}", seen.len() + 1, line.text);
                    seen.push(line);
                }
            }
        }
        Ok(())
    };
    tokio::try_join!(talking, listening)?;
    let mut server = running.await??;
    server.kill().await?;
    std::fs::remove_file(&file)?;
    check(&seen)?;
    println!("{} lines, each of them once", seen.len());
    Ok(())
}

/// Checks that each line was seen once, and those of a member in their order.
fn check(seen: &[Line]) -> Result<(), String> {
    let once: HashSet<_> = seen.iter().collect();
    if once.len() != seen.len() {
        return Err("a line was doubled".to_owned());
    }
    for member in MEMBERS {
        let ids: Vec<_> = seen.iter().filter(|line| line.from == member).map(|line| line.id).collect();
        if ids != (1..=LINES).collect::<Vec<_>>() {
            return Err(format!("{member} said 1 to {LINES}, and {ids:?} was seen"));
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run(1).await,
        ["serve", url, file] => serve(url, Path::new(file)).await,
        [seed] => run(seed.parse::<u64>()?.max(1)).await,
        _ => Err("usage: reconnect [SEED]".into()),
    }
}
