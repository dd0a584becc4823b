//! The lines and networks that the library has for tests: what they do to frames, and that a seed is a reproduction.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use capnode::testing::{Crossing, Line, Network, simulate};
use capnode::{Bytes, Cap, Connection, Dialect, Error, ErrorKind, Fate, Func, Node, Object, Reader};
use tokio::time::Instant;

/// A register that anybody may read and write.
#[capnode::interface]
trait Register {
    async fn get(&self) -> u32;
    async fn set(&self, value: u32);
    async fn add(&self, by: u32) -> u32;
    async fn numbers(&self, count: u32) -> Reader<u32>;
    async fn call_back(&self, times: u32, call: Func<fn(u32)>);
    async fn size(&self, bytes: Bytes) -> usize;
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<u32>>);

impl Register for Shared {
    async fn get(&self) -> u32 {
        *self.0.lock().unwrap()
    }
    async fn set(&self, value: u32) {
        *self.0.lock().unwrap() = value;
    }
    async fn add(&self, by: u32) -> u32 {
        let value = &mut *self.0.lock().unwrap();
        *value += by;
        *value
    }
    async fn numbers(&self, count: u32) -> Reader<u32> {
        Reader::from_iter(0..count)
    }
    async fn call_back(&self, times: u32, call: Func<fn(u32)>) {
        for time in 0..times {
            // Whoever has gone is not called any more.
            if call.call(time).await.is_err() {
                break;
            }
        }
    }
    async fn size(&self, bytes: Bytes) -> usize {
        bytes.len()
    }
}

async fn over(line: Line) -> RegisterClient {
    let (client, server) = line.ends();
    let _served = Node::new(RegisterClient::new(Shared::default())).serve(server).await.unwrap();
    capnode::connect_over(client).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_that_of_each_frame() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let line = Line::new()
        .delay(Duration::from_millis(50))
        .witness(move |crossing| log.lock().unwrap().push(crossing));
    let register = over(line).await;
    register.add(1).await.unwrap();
    let begin = Instant::now();
    assert_eq!(register.add(1).await.unwrap(), 2);
    // The clock moves by sleeps alone, by whole milliseconds.
    assert_eq!((begin.elapsed() + Duration::from_millis(2)).as_millis() / 10, 10);
    let seen = seen.lock().unwrap();
    let [.., there, back] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((&*there.from, &*there.to), ("client", "server"));
    assert_eq!(there.frame, r#"["stream",["pipeline",0,["add"],[1]]]"#);
    assert_eq!((&*back.from, &back.frame[..10]), ("server", r#"["resolve""#));
    assert!(back.at - there.at >= Duration::from_millis(49));
}

#[tokio::test(start_paused = true)]
async fn a_throttle_bounds_the_bytes_of_a_second() {
    let register = over(Line::new().throttle(1_000)).await;
    let begin = Instant::now();
    assert_eq!(register.size(Bytes::from(vec![7; 7_500])).await.unwrap(), 7_500);
    // They are 10,000 in base64.
    let seconds = begin.elapsed().as_secs_f64();
    assert!((10.0..10.3).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_line_is_cut_in_the_middle_of_a_call() {
    let register = over(Line::new().cut_after(1_000)).await;
    let mut made = 0;
    let error = loop {
        match register.add(1).await {
            Ok(value) => made = value,
            Err(error) => break error,
        }
    };
    assert!(made > 5, "{made}");
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Disconnected, Fate::MayHaveRun));
    // At any time.
    let (client, server) = Line::new().ends();
    let cutter = server.cutter();
    let served = Node::new(RegisterClient::new(Shared::default())).serve(server).await.unwrap();
    let register: RegisterClient = capnode::connect_over(client).await.unwrap();
    assert_eq!(register.add(1).await.unwrap(), 1);
    cutter.cut();
    assert_eq!(served.closed().await.kind(), ErrorKind::Disconnected);
    assert_eq!(register.add(1).await.unwrap_err().fate(), Fate::NotSent);
}

/// Does a little of everything in a network whose lines are cut at times.
async fn some_of_everything(network: Network) -> Vec<Crossing> {
    network.set_cuts(60);
    let register = Node::new(RegisterClient::new(Shared::default()));
    network.add("register", &register);
    let mut users = Vec::new();
    for user in 0..4 {
        let network = network.clone();
        users.push(tokio::spawn(async move {
            let name = format!("user {user}");
            for _ in 0..3 {
                let register: RegisterClient = network.connect(&name, "register").await?;
                let relayed = Node::new(register.clone());
                network.add(&name, &relayed);
                for _ in 0..network.number(5) {
                    let outcome = async {
                        register.add(1).await?;
                        register.call_back(3, |_: u32| async {}).await?;
                        let mut numbers = register.numbers(5).await?;
                        while let Some(number) = numbers.next().await {
                            number?;
                        }
                        let other = format!("user {}", (user + 1) % 4);
                        let relay: RegisterClient = network.connect(&name, &other).await?;
                        relay.add(1).await
                    };
                    if outcome.await.is_err() {
                        break;
                    }
                }
            }
            Ok::<_, Error>(())
        }));
    }
    for user in users {
        user.await.unwrap().unwrap();
    }
    network.log()
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let mut frames = 0;
    let mut logs = Vec::new();
    for seed in 0..50 {
        let log = simulate(seed, some_of_everything);
        let again = simulate(seed, some_of_everything);
        for (at, (one, other)) in log.iter().zip(&again).enumerate() {
            assert_eq!(one, other, "frame {at} of seed {seed}");
        }
        assert_eq!(log.len(), again.len(), "seed {seed}");
        frames += log.len();
        logs.push(log);
    }
    assert!(frames > 5_000, "{frames}");
    logs.dedup();
    assert_eq!(logs.len(), 50);
}

/// Tells when it is dropped.
struct Told(u32, Arc<Mutex<Vec<u32>>>);

impl Drop for Told {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0);
    }
}

/// Lends 30 functions in a language whose ids are random, and cuts the line. Returns the order in which they are dropped.
async fn lend_and_cut(network: Network) -> (Vec<u32>, Vec<Crossing>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Func::<fn(Func<fn()>)>::new(move |function: Func<fn()>| {
        kept.lock().unwrap().push(function);
        async {}
    });
    network.add("keeper", &Node::new(Object::new().with("keep", keep)));
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let user = Node::builder().dialect(Dialect::Capnode).build();
    let connection: Connection = network.connect_from("user", &user, "keeper").await.unwrap();
    for number in 0..30 {
        let told = Told(number, dropped.clone());
        let function = Func::<fn()>::new(move || {
            let _told = &told;
            async {}
        });
        connection.index::<Cap>().invoke::<()>("keep", (function,)).await.unwrap();
    }
    network.cut("user", "keeper");
    connection.closed().await;
    let dropped = dropped.lock().unwrap().clone();
    (dropped, network.log())
}

#[test]
fn random_numbers_and_the_order_of_tables_follow_from_the_seed() {
    let run = |seed| simulate(seed, lend_and_cut);
    let (dropped, log) = run(1);
    assert_eq!(dropped.len(), 30);
    assert_eq!((dropped, log), run(1));
}

/// Two users who each add 1. Returns what the register has in the end.
async fn two_add(network: Network, at_once: bool) -> u32 {
    let shared = Shared::default();
    network.add("register", &Node::new(RegisterClient::new(shared.clone())));
    let users = ["ann", "bob"].map(|name| {
        let network = network.clone();
        async move {
            let register: RegisterClient = network.connect(name, "register").await.unwrap();
            tokio::time::sleep(Duration::from_millis(network.number(2_000))).await;
            if at_once {
                register.add(1).await.unwrap();
            } else {
                // The mistake: another one may come in between.
                let value = register.get().await.unwrap();
                register.set(value + 1).await.unwrap();
            }
        }
    });
    futures_util::future::join_all(users).await;
    *shared.0.lock().unwrap()
}

#[test]
fn a_mistake_about_the_order_of_things_is_found_by_a_search_over_seeds() {
    let wrong: Vec<u64> =
        (0..200).filter(|seed| simulate(*seed, |network| two_add(network, false)) != 2).collect();
    assert!(!wrong.is_empty() && wrong.len() < 100, "{wrong:?}");
    for seed in wrong {
        assert_eq!(simulate(seed, |network| two_add(network, false)), 1, "it stays found");
        assert_eq!(simulate(seed, |network| two_add(network, true)), 2);
    }
}

#[test]
fn a_network_has_nodes_by_name_and_lines_that_can_be_cut() {
    simulate(1, |network| async move {
        let error = network.connect::<Cap>("ann", "nobody").await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Connect, "there is no node called nobody"));
        network.add("one", &Node::new("the first"));
        let ann: Connection = network.connect("ann", "one").await.unwrap();
        let bob: Connection = network.connect("bob", "one").await.unwrap();
        assert_eq!(ann.index::<Cap>().read::<String>().await.unwrap(), "the first");
        network.add("one", &Node::new("the second"));
        let later: Connection = network.connect("ann", "one").await.unwrap();
        assert_eq!(later.index::<Cap>().read::<String>().await.unwrap(), "the second");
        network.cut("one", "ann");
        assert_eq!(ann.closed().await.kind(), ErrorKind::Disconnected);
        assert_eq!(later.closed().await.kind(), ErrorKind::Disconnected);
        assert_eq!(bob.index::<Cap>().read::<String>().await.unwrap(), "the first");
        network.remove("one");
        assert!(network.connect::<Cap>("ann", "one").await.is_err());
    });
}

/// A mock stands below the attribute.
#[capnode::interface]
#[mockall::automock]
trait Mailer {
    async fn send(&self, to: &str, text: &str) -> Result<u32, String>;
    async fn count(&self) -> u32;
}

#[tokio::test]
async fn an_interface_can_be_mocked() {
    let mut mock = MockMailer::new();
    mock.expect_send().withf(|to, _| to == "ann").times(1).returning(|_, text| {
        let length = text.len() as u32;
        Box::pin(async move { Ok(length) })
    });
    mock.expect_count().returning(|| Box::pin(async { 5 }));
    let (client, server) = Line::new().ends();
    let _served = Node::new(MailerClient::new(mock)).serve(server).await.unwrap();
    let mailer: MailerClient = capnode::connect_over(client).await.unwrap();
    assert_eq!(mailer.send("ann", "Welcome!").await.unwrap(), 8);
    assert_eq!(mailer.count().await.unwrap(), 5);
}
