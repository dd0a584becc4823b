//! Programs whose references outlive their connections, and whose server is killed, drained and cut off: each call ran as often as
//! its caller was told, also those that were sent again.
//!
//! `CAPNODE_DURABLE_CALLS` says how many calls are made, and how many more in simulations. `CAPNODE_DURABLE_SEED` says which
//! program is the first, and is the seed of the first simulation.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use capnode::testing::{Network, simulate};
use capnode::{Connection, Dialect, Node};
use capnode_tests::lab::Rng;
use capnode_tests::ledger::{Books, Program};
use capnode_tests::proxy::{CUTS, Plan, pass};
use capnode_tests::{number, soon};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Calls of an ordinary run.
const CALLS: usize = 30_000;

/// Programs at a time.
const PROGRAMS: usize = 8;

const DIALECTS: [Dialect; 3] = [Dialect::CapnWeb, Dialect::Q, Dialect::Capnode];

const SCHEMES: [&str; 2] = ["tcp", "ws"];

/// The addresses of the server, if it runs.
type Place = watch::Receiver<Option<[SocketAddr; 2]>>;

/// Starts the server. Returns the addresses at which it is reached.
async fn start(file: &Path) -> (Child, [SocketAddr; 2]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ledger"));
    command.arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut server = command.spawn().expect("it starts");
    let mut said = BufReader::new(server.stdout.take().expect("it is piped")).lines();
    let mut addresses = [SocketAddr::from(([0; 4], 0)); 2];
    for address in &mut addresses {
        *address = said.next_line().await.expect("it is heard").expect("a line").parse().expect("an address");
    }
    (server, addresses)
}

/// Ends the server again and again, until nobody needs it any more. Returns how often it was killed, and how often it was drained.
async fn ends_and_starts(
    file: PathBuf,
    place: watch::Sender<Option<[SocketAddr; 2]>>,
    seed: u64,
) -> [u32; 2] {
    let mut rng = Rng::new(seed);
    let mut ends = [0; 2];
    loop {
        let (mut server, addresses) = soon(start(&file)).await;
        place.send_replace(Some(addresses));
        let lasts = Duration::from_millis(50 + rng.below(400) as u64);
        let unneeded = tokio::time::timeout(lasts, place.closed()).await.is_ok();
        let kills = unneeded || rng.chance(70);
        ends[usize::from(!kills)] += 1;
        if !kills {
            drop(server.stdin.take());
            soon(server.wait()).await.expect("it ends");
        }
        soon(server.kill()).await.expect("it has ended");
        place.send_replace(None);
        if unneeded {
            return ends;
        }
        tokio::time::sleep(Duration::from_millis(rng.magnitude(200) as u64)).await;
    }
}

/// Passes connections on to the server, wherever that is, and cuts each of them at some byte.
async fn bad_line(listener: TcpListener, place: Place, scheme: usize, seed: u64) {
    let mut rng = Rng::new(seed);
    let mut passing = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let Some(addresses) = *place.borrow() else { continue };
        let plan = Plan {
            up: rng.chance(50),
            bytes: rng.magnitude(200_000),
            cut: CUTS[rng.below(CUTS.len())],
            seed: rng.next(),
        };
        passing.spawn(async move {
            // It may have been killed just now.
            if let Ok(server) = TcpStream::connect(addresses[scheme]).await {
                let _gone = pass(client, server, plan).await;
            }
        });
        while passing.try_join_next().is_some() {}
    }
}

async fn play(books: &Arc<Books>, lines: [SocketAddr; 2], seed: u64) {
    let mut rng = Rng::new(seed);
    let scheme = rng.below(2);
    // Over TCP this language makes a pause behind each frame.
    let node = Node::builder().dialect(DIALECTS[rng.below(2 + scheme)]).build();
    let url = format!("{}://{}", SCHEMES[scheme], lines[scheme]);
    let program = Program::begin(books, seed, node.connect(&url).reconnecting());
    program.play(20 + rng.below(80)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_ran_as_often_as_its_caller_was_told() {
    let calls = number("CAPNODE_DURABLE_CALLS").unwrap_or(CALLS);
    let first = number("CAPNODE_DURABLE_SEED").unwrap_or_default();
    let began = Instant::now();
    let file = std::env::temp_dir().join(format!("capnode-ledger-{}", std::process::id()));
    let (placing, place) = watch::channel(None);
    let ending = tokio::spawn(ends_and_starts(file.clone(), placing, first));
    let mut lines = [SocketAddr::from(([0; 4], 0)); 2];
    let mut passing = JoinSet::new();
    for (scheme, line) in lines.iter_mut().enumerate() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        *line = listener.local_addr().unwrap();
        passing.spawn(bad_line(listener, place.clone(), scheme, first + scheme as u64));
    }
    let books = Arc::<Books>::default();
    let seeds = Arc::new(AtomicU64::new(first));
    let mut programs = JoinSet::new();
    for _ in 0..PROGRAMS {
        let (books, seeds) = (books.clone(), seeds.clone());
        programs.spawn(async move {
            while books.calls() < calls {
                play(&books, lines, seeds.fetch_add(1, Ordering::Relaxed)).await;
            }
        });
    }
    programs.join_all().await;
    // Nothing runs any more once the server has ended.
    drop(place);
    passing.shutdown().await;
    let [kills, drains] = ending.await.unwrap();
    books.read(&std::fs::read(&file).unwrap());
    std::fs::remove_file(&file).unwrap();
    println!(
        "{} programs, {kills} kills, {drains} drains; {}; {:.1} s",
        seeds.load(Ordering::Relaxed) - first,
        books.summary(),
        began.elapsed().as_secs_f64()
    );
    books.check();
}

/// Takes the server away at times, and cuts its lines.
async fn comes_and_goes(network: Network, books: Arc<Books>) {
    let nap = async |most: u64| tokio::time::sleep(Duration::from_micros(network.number(most * 1_000))).await;
    loop {
        let noting = books.clone();
        let server = capnode_tests::ledger::node(Arc::new(move |note| noting.note(note)));
        network.add("server", &server);
        nap(200).await;
        match network.number(4) {
            0 => network.cut("client", "server"),
            1 => {
                // Those who come now are refused, until there is another one.
                let drained = Duration::from_millis(network.number(20));
                server.drain(drained).await;
            }
            2 => {
                network.remove("server");
                network.cut("client", "server");
                nap(if network.number(10) == 0 { 4_000 } else { 100 }).await;
            }
            _ => {}
        }
    }
}

async fn some_programs(network: Network, books: &Arc<Books>, seed: u64) {
    network.set_delays(Duration::ZERO, Duration::from_millis(network.number(6)));
    network.set_cuts(network.number(300));
    let serving = tokio::spawn(comes_and_goes(network.clone(), books.clone()));
    let mut programs = JoinSet::new();
    for _ in 0..1 + network.number(2) {
        let node = Node::builder().dialect(DIALECTS[network.number(3) as usize]).build();
        let line = network.clone();
        let connecting = capnode::reconnecting(move || {
            let (network, node) = (line.clone(), node.clone());
            async move { network.connect_from::<Connection>("client", &node, "server").await }
        });
        let program = Program::begin(books, seed, connecting);
        programs.spawn(program.play(10 + network.number(30) as usize));
    }
    programs.join_all().await;
    // What was given up may still run.
    tokio::time::sleep(Duration::from_secs(60)).await;
    serving.abort();
}

#[test]
fn each_simulated_call_ran_as_often_as_its_caller_was_told() {
    let calls = number("CAPNODE_DURABLE_CALLS").unwrap_or(CALLS);
    let first: u64 = number("CAPNODE_DURABLE_SEED").unwrap_or_default();
    let (began, books) = (Instant::now(), Arc::<Books>::default());
    for seed in first.. {
        if books.calls() >= calls {
            let simulations = seed - first;
            println!(
                "{simulations} simulations; {}; {:.1} s",
                books.summary(),
                began.elapsed().as_secs_f64()
            );
            break;
        }
        simulate(seed, |network| some_programs(network, &books, seed));
    }
    books.check();
}
