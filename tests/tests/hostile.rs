//! A hundred honest clients of the tour server, while peers that share no code with us do their worst: see
//! `tests/js/hostile.mjs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use capnode::{Connection, Dialect};
use capnode_examples::tour::TourClient;
use capnode_tests::{examples::example, js, memory, soon};
use tokio::io::{AsyncBufReadExt, BufReader};

const HONEST: usize = 100;

/// For how long, and how many connections of each attack at a time.
const SECONDS: &str = "6";
const EACH: &str = "3";

/// The growth of the server's memory from before the first peer. `tour::limits` bounds each peer.
const MORE: u64 = 128 << 20;

/// The net under an honest client, on a machine that is kept busy on purpose.
const PATIENCE: Duration = Duration::from_secs(120);

/// The pause of an honest client after a round of calls.
const PAUSE: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_clients_are_answered_and_memory_is_bounded_whatever_others_do() {
    if !js::ready() {
        return;
    }
    let mut server = example("tour_server").args(["--ws", "127.0.0.1:0"]).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = soon(lines.next_line()).await.unwrap().unwrap();
    let url = format!("ws://{}", line.strip_prefix("listening on ").unwrap());
    let process = server.id().unwrap();
    let idle = memory::resident(process);

    let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let clients: Vec<_> = (0..HONEST)
        .map(|at| {
            let dialect = [Dialect::CapnWeb, Dialect::CapnWeb, Dialect::Capnode, Dialect::Q][at % 4];
            tokio::spawn(honest(url.clone(), dialect, stop.clone(), answered.clone()))
        })
        .collect();
    let attacks = js::run("hostile.mjs", &["--connect", &url, "--seconds", SECONDS, "--each", EACH]).await;
    assert_eq!((attacks.last(), attacks.success), ("done", true), "{attacks:?}");
    let during = answered.load(Ordering::SeqCst);
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.expect("all it asked was answered, and rightly");
    }

    let peak = memory::peak(process);
    for attack in &attacks.lines {
        println!("{attack}");
    }
    println!("{HONEST} honest clients: {during} answers during the attacks, none missing");
    match idle.zip(peak) {
        Some((idle, peak)) => {
            println!("server: {} KiB idle, at most {} KiB", idle >> 10, peak >> 10);
            assert!(peak <= idle + MORE, "the server grew from {idle} to {peak} bytes");
        }
        None => println!("the server's memory is left out: there is no /proc here"),
    }
    // Each attack got as far as to say something.
    for attack in attacks.lines.iter().filter(|line| line.contains(": ")) {
        let silent = attack.starts_with("silent") || attack.starts_with("halfHandshake");
        assert!(silent || !attack.contains(" 0 frames"), "{attack}");
    }
    assert!(server.try_wait().unwrap().is_none(), "it still serves");
    let tour: TourClient = soon(async { capnode::connect(&url).await }).await.unwrap();
    assert_eq!(soon(tour.transform("beep")).await.unwrap(), "BOOP");
}

/// Calls, and checks every answer, until it is told to stop.
async fn honest(url: String, dialect: Dialect, stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    let connection: Connection = capnode::connect(&url).dialect(dialect).await.unwrap();
    let tour: TourClient = connection.index();
    while !stop.load(Ordering::SeqCst) {
        let answers = tokio::time::timeout(PATIENCE, round(&tour)).await.expect("it is answered");
        answered.fetch_add(answers, Ordering::SeqCst);
        // A hundred that never rest would be the worst attack of all.
        tokio::time::sleep(PAUSE).await;
    }
    assert!(!connection.is_closed());
}

/// Makes some of all possible calls. Returns the number of answers.
async fn round(tour: &TourClient) -> usize {
    assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");
    let counter = tour.counter().await.unwrap();
    assert_eq!((counter.next().await.unwrap(), counter.next().await.unwrap()), (1, 2));
    let heard = Arc::<AtomicUsize>::default();
    let hears = heard.clone();
    let callback = move |event: String, data: String| {
        assert_eq!((event.as_str(), data.as_str()), ("tick", "data"));
        hears.fetch_add(1, Ordering::SeqCst);
        async {}
    };
    tour.on("tick", callback).await.unwrap();
    assert_eq!(heard.load(Ordering::SeqCst), 3);
    let name = tour.authenticate("ann").pipeline().profile().pipeline().name().await.unwrap();
    assert_eq!(name, "user of ann");
    assert!(tour.fail().await.unwrap_err().to_string().contains("intentional failure"));
    7
}
