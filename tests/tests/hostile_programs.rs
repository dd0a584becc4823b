//! Generated hostile programs, as client and as server, in each language: each can end its own session, and nothing else.
//!
//! `CAPNODE_HOSTILE_SESSIONS` says how many sessions there are, `CAPNODE_HOSTILE_SEED` which is the first, and
//! `CAPNODE_HOSTILE_SECONDS` after how long the run ends though not all were played. With `CAPNODE_HOSTILE_TRACE` each is told
//! before it begins: for what ends the process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use capnode::sans_io::{Core, Pair};
use capnode::{Call, Cap, Connection, Dialect, Func, Node, Registry, Value};
use capnode_tests::hostile::{Seen, Session, Speaker, shortest};
use capnode_tests::lab::{Alive, Gives, LabClient, Laboratory, MEMBERS, Rng};
use capnode_tests::{SMALL_STACK, number, on_a_small_stack, panics, soon, timeless, until};
use futures_util::future::join;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

/// Sessions of an ordinary run.
const SESSIONS: u64 = 1_500;

/// Each so many sessions a long run says how far it is.
const TOLD: u64 = 10_000;

/// The time limit of one session. Far less is usual.
const LONGEST: Duration = Duration::from_secs(60);

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().thread_stack_size(SMALL_STACK).build().unwrap()
}

/// Another connection, with a call that stays open all the while.
struct Bystander {
    pair: Pair,
    lab: LabClient,
}

impl Bystander {
    fn new(dialect: Dialect, alive: &Alive) -> Self {
        let index = Laboratory::client(alive);
        let mut pair = Pair::new(Core::builder().dialect(dialect).connecting(()), Core::accepting(index));
        let peer = pair.connecting().index::<Cap>();
        // The index of a Capnode peer is a record; reading it gives a client.
        let lab = pair.run(peer.read::<LabClient>()).expect("it is answered").unwrap();
        Self { pair, lab }
    }

    fn ask(&mut self) {
        let sum = self.pair.run(self.lab.add(20, 22)).expect("it is answered");
        assert_eq!(sum.unwrap(), 42);
        let double = |n: u32| async move { n * 2 };
        let called = self.pair.run(self.lab.call_back(4, double)).expect("it is answered");
        assert_eq!(called.unwrap(), 8);
    }
}

/// The totals of many sessions.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    sessions: u64,
    said: u64,
    heard: u64,
    ended: u64,
}

/// Plays the session, and looks for panics that were contained.
fn play(session: &Session, runtime: &Runtime) -> Seen {
    let before = panics::count();
    let mut seen = session.play(runtime);
    if let Some(panic) = panics::of("").get(before) {
        seen.fault.get_or_insert_with(|| format!("panicked: {panic}"));
    }
    seen
}

/// Says the seed when a session takes too long, and ends the process, since nothing else ends a loop.
fn watch(current: Arc<Vec<AtomicU64>>) {
    std::thread::spawn(move || {
        let mut since = vec![(0, Instant::now()); current.len()];
        loop {
            std::thread::sleep(Duration::from_secs(1));
            for (seen, now) in since.iter_mut().zip(current.iter()) {
                let now = now.load(Ordering::SeqCst);
                if seen.0 != now {
                    *seen = (now, Instant::now());
                }
                // The number of the session is its seed and one; nothing runs where it is 0.
                if now > 0 && seen.1.elapsed() > LONGEST {
                    eprintln!("the session of seed {} takes more than {LONGEST:?}", now - 1);
                    std::process::abort();
                }
            }
        }
    });
}

#[test]
fn a_hostile_program_ends_its_own_session_at_most() {
    panics::watch(|_| true);
    let count = number("CAPNODE_HOSTILE_SESSIONS").unwrap_or(SESSIONS);
    let first = number("CAPNODE_HOSTILE_SEED").unwrap_or(0);
    let longest = number("CAPNODE_HOSTILE_SECONDS").map(Duration::from_secs);
    let trace = std::env::var_os("CAPNODE_HOSTILE_TRACE").is_some();
    let current: Arc<Vec<_>> = Arc::new(vec![AtomicU64::new(0)]);
    watch(current.clone());
    let began = Instant::now();
    let run = move || {
        let (runtime, alive) = (runtime(), Alive::default());
        let mut sum = Sum::default();
        let mut bystanders = [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q].map(|dialect| {
            let _entered = runtime.enter();
            Bystander::new(dialect, &alive)
        });
        for seed in first..first + count {
            if longest.is_some_and(|longest| began.elapsed() >= longest) {
                break;
            }
            if sum.sessions > 0 && sum.sessions.is_multiple_of(TOLD) {
                println!("{sum:?} in {:.0} s", began.elapsed().as_secs_f64());
            }
            let session = Session::new(seed);
            if trace {
                eprintln!("{session:?}");
            }
            current[0].store(seed + 1, Ordering::SeqCst);
            let seen = play(&session, &runtime);
            if let Some(fault) = seen.fault {
                // Looking for the shortest program takes as long as it takes.
                current[0].store(0, Ordering::SeqCst);
                eprintln!("seed {seed}: {fault}");
                let with = |steps: &[u64]| Session { steps: steps.to_vec(), ..session.clone() };
                let steps = shortest(&session.steps, |steps| play(&with(steps), &runtime).fault.is_some());
                let shortest = with(&steps);
                let said = play(&shortest, &runtime).said.join("\n");
                panic!("seed {seed}: {fault}\n{shortest:?} says\n{said}");
            }
            let _entered = runtime.enter();
            bystanders[(seed % 3) as usize].ask();
            sum.sessions += 1;
            sum.said += seen.said.len() as u64;
            sum.heard += seen.heard as u64;
            sum.ended += u64::from(seen.ended);
        }
        current[0].store(0, Ordering::SeqCst);
        sum
    };
    let sum = on_a_small_stack(run);
    println!("{sum:?} in {:.1} s", began.elapsed().as_secs_f64());
    // If most sessions ended at once, nothing would be tried.
    assert!(sum.ended * 2 < sum.sessions.max(20), "{sum:?}");
}

#[tokio::test]
async fn the_table_of_the_laboratory_has_every_member() {
    let lab = Cap::from(Laboratory::client(&Alive::default()));
    let mut names = lab.keys().await.unwrap();
    let mut listed: Vec<_> = MEMBERS.iter().map(|member| member.name.to_owned()).collect();
    names.sort();
    names.dedup();
    listed.sort();
    assert_eq!(names, listed);
}

// ------------------------------------------------------------------ through a whole node

/// Sends frames of a hostile peer, and reads the answers.
enum Wire {
    /// A byte stream, and what has been read of it beyond the last answer that was awaited.
    Tcp(TcpStream, Vec<u8>),
    Ws(Box<tokio_tungstenite::WebSocketStream<TcpStream>>),
}

impl Wire {
    /// Says a frame. Returns `false` if the other side has gone.
    async fn say(&mut self, frame: String) -> bool {
        match self {
            Wire::Tcp(stream, _) => stream.write_all(format!("{frame}\n").as_bytes()).await.is_ok(),
            Wire::Ws(socket) => socket.send(Message::text(frame)).await.is_ok(),
        }
    }

    /// Hangs up, without a word.
    async fn end(&mut self) {
        let stream = match self {
            Wire::Tcp(stream, _) => stream,
            Wire::Ws(socket) => socket.get_mut(),
        };
        // It may have been ended by the other side.
        let _gone = stream.shutdown().await;
    }

    /// Reads all answers to earlier frames: up to the answer of an honest question, or to the end.
    async fn hear(&mut self, speaker: &mut Speaker) {
        let (question, answer) = speaker.asks();
        if !self.say(question.to_owned()).await {
            return;
        }
        match self {
            Wire::Tcp(stream, bytes) => {
                let mut is_answered = false;
                while !is_answered && stream.read_buf(bytes).await.is_ok_and(|count| count > 0) {
                    let mut texts = serde_json::Deserializer::from_slice(bytes).into_iter();
                    let mut heard = 0;
                    while let Some(Ok(text)) = texts.next() {
                        let text: serde_json::Value = text;
                        heard = texts.byte_offset();
                        let text = text.to_string();
                        if text.contains(answer) {
                            is_answered = true;
                        } else {
                            speaker.hear(&text);
                        }
                    }
                    bytes.drain(..heard);
                }
            }
            Wire::Ws(socket) => {
                while let Some(Ok(message)) = socket.next().await {
                    if let Message::Text(text) = message {
                        if text.contains(answer) {
                            return;
                        }
                        speaker.hear(&text);
                    }
                }
            }
        }
    }
}

/// Opens a connection to the node.
async fn dial(scheme: &str, address: SocketAddr) -> Wire {
    let stream = TcpStream::connect(address).await.unwrap();
    match scheme {
        "ws" => {
            let url = format!("ws://{address}/");
            Wire::Ws(Box::new(soon(tokio_tungstenite::client_async(url, stream)).await.unwrap().0))
        }
        _ => Wire::Tcp(stream, Vec::new()),
    }
}

/// Accepts a connection of the node.
async fn accept(scheme: &str, listener: &TcpListener) -> Wire {
    let (stream, _) = listener.accept().await.unwrap();
    match scheme {
        "ws" => Wire::Ws(Box::new(tokio_tungstenite::accept_async(stream).await.unwrap())),
        _ => Wire::Tcp(stream, Vec::new()),
    }
}

/// A call that the node's program makes to a hostile server.
fn ask(peer: &Cap, alive: &Alive, rng: &mut Rng) -> Call<Value> {
    // An endless call might reach an object of this program, and the end of the session would not end it.
    let members: Vec<_> = MEMBERS.iter().filter(|member| member.gives != Gives::Never).collect();
    let name = members[rng.below(members.len())].name;
    let double = Func::<fn(u32) -> u32>::new(|n: u32| async move { n.wrapping_mul(2) });
    match rng.below(8) {
        0 => peer.get(name),
        1 => peer.at(name).get("name"),
        2 => peer.invoke(name, (7, double)),
        3 => peer.invoke(name, (Laboratory::client(alive), 7)),
        4 => peer.invoke(name, (peer.clone(), 7)),
        5 => peer.invoke::<Value>("child", ()).pipeline_cap().invoke(name, (7, 8)),
        _ => peer.invoke(name, (7, 8)),
    }
}

/// Plays the session over the wire. Calls over `connection` as well, if there is one.
async fn play_over(wire: &mut Wire, session: &Session, connection: Option<&Connection>, alive: &Alive) {
    let mut speaker = Speaker::new(session.dialect);
    let mut calls = JoinSet::new();
    // On a byte stream, the bytes after a text that does not end are taken for more of it.
    let mut answers = true;
    for step in &session.steps {
        let mut rng = Rng::for_part(session.seed, *step);
        if let (Some(connection), true) = (connection, rng.chance(30)) {
            calls.spawn(ask(&connection.index::<Cap>(), alive, &mut rng).into_future());
            if answers {
                soon(wire.hear(&mut speaker)).await;
            }
        }
        let frame = speaker.say(&mut rng);
        answers &= serde_json::from_str::<serde_json::Value>(&frame).is_ok();
        if !wire.say(frame).await {
            break;
        }
        if answers && rng.chance(30) {
            soon(wire.hear(&mut speaker)).await;
        }
    }
    wire.end().await;
    // Each ends with the session, if not before.
    soon(calls.join_all()).await;
    if let Some(connection) = connection {
        soon(connection.closed()).await;
    }
}

/// Plays hostile clients, or servers, to a node over a transport. Another connection's calls are answered after each, and in the end
/// the node is as it was.
fn play_to_a_node(scheme: &'static str, servers: bool, sessions: u64) {
    panics::watch(|_| true);
    let run = move || {
        runtime().block_on(async move {
            let (alive, registry) = (Alive::default(), Registry::default());
            let index = Laboratory::client(&alive);
            let node = Node::builder().index(&index).registry(&registry).limits(timeless()).build();
            let listener = node.listen(&format!("{scheme}://127.0.0.1:0")).await.unwrap();
            let address = listener.local_addr().unwrap();
            let bystander: LabClient = soon(capnode::connect(&listener.url()).into_future()).await.unwrap();
            assert_eq!(soon(bystander.add(1, 2).into_future()).await.unwrap(), 3);
            let hostile = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("{scheme}://{}", hostile.local_addr().unwrap());
            let before = (alive.count(), registry.len());
            let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
            for seed in 0..sessions {
                let session = Session::new(seed);
                if servers {
                    let connecting = node.connect::<Connection>(&url).dialect(session.dialect).into_future();
                    let (connection, mut wire) = soon(join(connecting, accept(scheme, &hostile))).await;
                    play_over(&mut wire, &session, Some(&connection.unwrap()), &alive).await;
                } else {
                    play_over(&mut dial(scheme, address).await, &session, None, &alive).await;
                }
                let answer = soon(bystander.add(20, 22).into_future()).await;
                assert_eq!(answer.unwrap(), 42, "after seed {seed} over {scheme}");
                let double = Func::<fn(u32) -> u32>::new(|n: u32| async move { n * 2 });
                let answer =
                    soon(Cap::from(bystander.clone()).invoke::<Value>("callBack", (4, double)).into_future())
                        .await;
                assert_eq!(answer.unwrap(), Value::Number(8.0), "after seed {seed} over {scheme}");
                assert_eq!(panics::of(""), Vec::<String>::new(), "seed {seed} over {scheme}");
            }
            // The index is one object for all, and keeps the references that it was given to keep.
            drop(index);
            let now = || {
                alive.forget();
                (alive.count(), registry.len())
            };
            until(&format!("{before:?} objects and ids"), || now() == before).await;
            let running = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
            until(&format!("{tasks} tasks"), || running() <= tasks).await;
        });
    };
    on_a_small_stack(run);
}

capnode_tests::tests! {
    a_node_is_as_it_was_after_hostile_clients_over_tcp: play_to_a_node("tcp", false, 40);
    a_node_is_as_it_was_after_hostile_clients_over_web_sockets: play_to_a_node("ws", false, 40);
    a_node_is_as_it_was_after_hostile_servers_over_tcp: play_to_a_node("tcp", true, 40);
    a_node_is_as_it_was_after_hostile_servers_over_web_sockets: play_to_a_node("ws", true, 40);
}
