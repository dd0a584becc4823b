//! The connecting side of HTTP batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use capnode::{Cap, Client as _, Connection, Error, ErrorKind, Fate, Fault, Func, LimitKind, Limits, Node};
use capnode_tests::{soon, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

#[capnode::interface]
trait Desk {
    async fn add(&self, a: i64, b: i64) -> i64;
    async fn desk(&self) -> DeskClient;
    async fn is_itself(&self, desk: DeskClient) -> bool;
    async fn note(&self, text: &str);
    /// Ends when it is dropped.
    async fn wait(&self);
    async fn ask(&self, back: Func<fn(i64) -> i64>) -> Result<i64, Error>;
    async fn tell(&self, back: Func<fn(i64) -> ()>);
    async fn numbers(&self) -> Vec<i64>;
}

/// A desk that says what is noted, begun and cancelled.
#[derive(Clone)]
struct Here(UnboundedSender<String>);

struct Waiting(UnboundedSender<String>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let _unheard = self.0.send("cancelled".to_owned());
    }
}

impl Desk for Here {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn desk(&self) -> DeskClient {
        DeskClient::new(self.clone())
    }

    async fn is_itself(&self, desk: DeskClient) -> bool {
        desk.cap().local::<Here>().is_some()
    }

    async fn note(&self, text: &str) {
        let _unheard = self.0.send(text.to_owned());
    }

    async fn wait(&self) {
        let _waiting = Waiting(self.0.clone());
        let _unheard = self.0.send("waits".to_owned());
        std::future::pending::<()>().await;
    }

    async fn ask(&self, back: Func<fn(i64) -> i64>) -> Result<i64, Error> {
        back.call(1).await
    }

    async fn numbers(&self) -> Vec<i64> {
        vec![1, 2, 3]
    }

    async fn tell(&self, back: Func<fn(i64) -> ()>) {
        let _unheard = self.0.send("tells".to_owned());
        back.call(7).send().unwrap();
    }
}

/// A node with a desk, and the number of batches that have come.
struct Served {
    node: Node,
    listener: capnode::Listener,
    batches: Arc<AtomicUsize>,
    said: UnboundedReceiver<String>,
}

async fn serve() -> Served {
    let (say, said) = unbounded_channel();
    let batches = Arc::<AtomicUsize>::default();
    let counted = batches.clone();
    let node = Node::builder()
        .authorize(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            let desk = DeskClient::new(Here(say.clone()));
            async move { Ok::<_, String>(desk) }
        })
        .build();
    let listener = node.listen("http://127.0.0.1:0/api?x=1").await.unwrap();
    Served { node, listener, batches, said }
}

impl Served {
    async fn desk(&self) -> DeskClient {
        capnode::connect(&self.listener.url()).await.unwrap()
    }

    /// The number of batches since the last call.
    fn batches(&self) -> usize {
        self.batches.swap(0, Ordering::SeqCst)
    }
}

#[tokio::test]
async fn what_is_attached_to_a_batch_is_known_to_what_its_server_calls() {
    let (say, mut said) = unbounded_channel();
    let call_back = |incoming: capnode::Incoming| async move {
        incoming.connection().index::<Func<fn()>>().call().send()?;
        Ok::<_, Error>(("an index",))
    };
    let listener = Node::builder().authorize(call_back).build().listen("http://127.0.0.1:0").await.unwrap();
    let batches = AtomicUsize::new(0);
    let client = Node::builder().authorize(move |incoming| {
        incoming.caller().attach(batches.fetch_add(1, Ordering::SeqCst));
        let say = say.clone();
        let tells = Func::<fn()>::new(move || {
            let attached = capnode::context().and_then(|context| context.caller()?.attached::<usize>());
            say.send(attached.map(|number| *number)).unwrap();
            async {}
        });
        async { Ok::<_, Error>(tells) }
    });
    let index: Cap = client.build().connect(&listener.url()).await.unwrap();
    for number in 0..2 {
        assert_eq!(soon(index.at("0").read::<String>()).await.unwrap(), "an index");
        assert_eq!(soon(said.recv()).await, Some(Some(number)));
    }
}

#[tokio::test]
async fn a_map_and_its_list_are_one_batch() {
    let served = serve().await;
    let desk = served.desk().await;
    let sums = desk.numbers().map(|n| desk.cap().invoke::<i64>("add", (n, 10)));
    assert_eq!(soon(sums.into_future()).await.unwrap(), [11, 12, 13]);
    assert_eq!(served.batches(), 1);
}

#[tokio::test]
async fn an_index_is_called_by_one_batch_after_the_other() {
    let served = serve().await;
    let desk = served.desk().await;
    assert_eq!(served.batches(), 0);
    for round in 0..3 {
        assert_eq!(desk.add(round, 1).await.unwrap(), round + 1);
        assert_eq!(served.batches(), 1);
    }
    let calls = (0..100).map(|n| desk.add(n, n).into_future());
    let sums: Vec<_> = soon(futures_util::future::join_all(calls)).await;
    assert!(sums.into_iter().map(Result::unwrap).eq((0..100).map(|n| 2 * n)));
    assert_eq!(served.batches(), 1);
    let (one, other) = tokio::join!(desk.add(1, 2), desk.desk().pipeline().add(3, 4));
    assert_eq!((one.unwrap(), other.unwrap()), (3, 7));
    assert_eq!(served.batches(), 1);
    // The name of an error and the rest come as they do anywhere.
    let missing = desk.cap().invoke::<()>("nosuch", ()).await.unwrap_err();
    assert_eq!((missing.kind(), missing.fate()), (ErrorKind::Rejected, Fate::Answered));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_before_anything_is_awaited_is_one_batch_on_several_threads() {
    let served = serve().await;
    let desk = served.desk().await;
    for round in 0..200 {
        let seat = desk.desk().pipeline();
        let other = seat.desk().pipeline();
        desk.note("noted").send().unwrap();
        let (a, b, c) = tokio::join!(seat.add(round, 1), other.add(round, 2), desk.add(round, 3));
        assert_eq!((a.unwrap(), b.unwrap(), c.unwrap()), (round + 1, round + 2, round + 3));
        assert_eq!(served.batches(), 1, "{round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_share_an_index() {
    let served = serve().await;
    let desk = served.desk().await;
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let desk = desk.clone();
            tokio::spawn(async move {
                for round in 0..20 {
                    assert_eq!(desk.desk().pipeline().add(n, round).await.unwrap(), n + round);
                }
            })
        })
        .collect();
    for task in tasks {
        soon(task).await.unwrap();
    }
    let batches = served.batches();
    assert!((20..=4_000).contains(&batches), "{batches}");
}

#[tokio::test]
async fn a_reference_ends_with_its_batch_and_says_so() {
    let served = serve().await;
    let desk = served.desk().await;
    let seat = desk.desk().pipeline();
    let kept = desk.desk().await.unwrap();
    for spent in [&kept, &seat] {
        let error = soon(spent.add(1, 2).into_future()).await.unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Disconnected, Fate::NotSent));
        assert!(error.message().contains("references end with it"), "{error}");
        assert!(spent.note("x").send().is_err());
    }
    let broken = Arc::new(AtomicUsize::new(0));
    let seen = broken.clone();
    let _watch = kept.cap().on_broken(move |_| {
        seen.fetch_add(1, Ordering::SeqCst);
    });
    until("the batch is over", || broken.load(Ordering::SeqCst) == 1).await;
    assert_eq!(desk.add(1, 2).await.unwrap(), 3);
    assert_eq!(served.batches(), 2);
}

#[tokio::test]
async fn what_nobody_waits_for_is_sent_as_well() {
    let mut served = serve().await;
    let desk = served.desk().await;
    desk.note("one").send().unwrap();
    desk.note("two").send().unwrap();
    for said in ["one", "two"] {
        assert_eq!(soon(served.said.recv()).await.unwrap(), said);
    }
    assert_eq!(served.batches(), 1);
    // The reference is held, and nobody waits.
    let seat = desk.desk().pipeline();
    seat.note("three").send().unwrap();
    assert_eq!(soon(served.said.recv()).await.unwrap(), "three");
    drop(seat);
    // Everything is dropped at once.
    desk.note("four").send().unwrap();
    drop(desk);
    assert_eq!(soon(served.said.recv()).await.unwrap(), "four");
    // The last thing that the program does.
    let connection: Connection = capnode::connect(&served.listener.url()).await.unwrap();
    connection.index::<DeskClient>().note("five").send().unwrap();
    connection.close();
    soon(connection.closed()).await;
    assert_eq!(served.said.try_recv().unwrap(), "five");
    let late = connection.index::<DeskClient>().add(1, 2).await.unwrap_err();
    assert_eq!((late.kind(), late.fate()), (ErrorKind::Disconnected, Fate::NotSent));
    // A batch is not sent if all of its calls have been given up.
    let desk = served.desk().await;
    served.batches();
    let mut call = Box::pin(desk.note("never").into_future());
    let polled = futures_util::future::poll_immediate(&mut call).await;
    assert!(polled.is_none());
    drop(call);
    // The one task that gathers calls has its turn.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(desk.add(1, 2).await.unwrap(), 3);
    assert_eq!(served.batches(), 1);
    assert!(served.said.try_recv().is_err());
}

#[tokio::test]
async fn what_is_given_up_is_cancelled() {
    let mut served = serve().await;
    let desk = served.desk().await;
    let waiting = tokio::spawn({
        let desk = desk.clone();
        async move { desk.wait().await }
    });
    assert_eq!(soon(served.said.recv()).await.unwrap(), "waits");
    waiting.abort();
    assert_eq!(soon(served.said.recv()).await.unwrap(), "cancelled");
    let error = desk.wait().timeout(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::MayHaveRun));
    for said in ["waits", "cancelled"] {
        assert_eq!(soon(served.said.recv()).await.unwrap(), said);
    }
    // The end of the connection fails what waits.
    let connection: Connection = capnode::connect(&served.listener.url()).await.unwrap();
    let desk: DeskClient = connection.index();
    let waiting = tokio::spawn(async move { desk.wait().await });
    assert_eq!(soon(served.said.recv()).await.unwrap(), "waits");
    connection.close();
    let error = soon(waiting).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Disconnected, Fate::MayHaveRun));
    assert_eq!(soon(served.said.recv()).await.unwrap(), "cancelled");
}

#[tokio::test]
async fn a_server_calls_back_without_an_answer() {
    let served = serve().await;
    let desk = served.desk().await;
    let error = soon(desk.ask(|n: i64| async move { n }).into_future()).await.unwrap_err();
    assert!(error.to_string().contains("answers no calls"), "{error}");
    let (told, mut heard) = unbounded_channel();
    let back = move |n: i64| {
        let told = told.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            told.send(n).unwrap();
        }
    };
    desk.tell(back).await.unwrap();
    assert_eq!(soon(heard.recv()).await, Some(7));
}

#[tokio::test]
async fn an_index_goes_home_in_an_argument() {
    let served = serve().await;
    let desk = served.desk().await;
    assert!(desk.is_itself(desk.clone()).await.unwrap());
    assert!(desk.desk().pipeline().is_itself(desk.clone()).await.unwrap());
    let seat = desk.desk().pipeline();
    assert!(desk.is_itself(seat).await.unwrap());
    assert_eq!(desk.cap(), desk.clone().cap());
    let index: DeskClient = desk.cap().read().await.unwrap();
    assert_eq!(index, desk);
}

#[tokio::test]
async fn a_server_that_goes_away_is_missed_at_the_next_batch() {
    let served = serve().await;
    let desk = served.desk().await;
    assert_eq!(desk.add(1, 2).await.unwrap(), 3);
    served.listener.close().await;
    served.node.drain(Duration::ZERO).await;
    let error = soon(async {
        loop {
            // A stream that is still open is refused by its node.
            match desk.add(1, 2).await {
                Err(error) if error.kind() == ErrorKind::Connect => return error,
                outcome => drop(outcome.unwrap_err()),
            }
        }
    })
    .await;
    assert_eq!((error.fate(), error.fault()), (Fate::NotSent, Fault::Network));
    let nobody = capnode::connect::<Cap>("http://127.0.0.1:1").await.unwrap_err();
    assert_eq!((nobody.kind(), nobody.fate()), (ErrorKind::Connect, Fate::NotSent));
}

/// A server that gives each request the next of these answers, and closes the stream after it.
async fn server(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        // The stream of the connection's beginning is used for the first.
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            while !String::from_utf8_lossy(&read).contains("pull") {
                assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn what_a_server_answers_instead_is_said() {
    let body = |text: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[\"resolve\",1,3]";
    for (answer, kind, fate, says) in [
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nnot you\n".to_owned(),
            ErrorKind::Refused,
            Fate::NotSent,
            "the server answered 403 Forbidden: not you",
        ),
        (
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_owned(),
            ErrorKind::Refused,
            Fate::MayHaveRun,
            "the server answered 500 Internal Server Error",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n".to_owned(),
            ErrorKind::Refused,
            Fate::MayHaveRun,
            "302 Found",
        ),
        (body(""), ErrorKind::Disconnected, Fate::MayHaveRun, "ended without the answer"),
        (body("[\"resolve\",1,3]\n"), ErrorKind::Disconnected, Fate::MayHaveRun, ""),
        (body("<html>"), ErrorKind::Protocol, Fate::MayHaveRun, "there should be a message"),
        (
            body("[\"abort\",[\"error\",\"Error\",\"too much\"]]"),
            ErrorKind::Protocol,
            Fate::MayHaveRun,
            "the peer ended the session: too much",
        ),
        (cut.to_owned(), ErrorKind::Disconnected, Fate::MayHaveRun, "lost"),
        ("\u{16}\u{3}".to_owned(), ErrorKind::Disconnected, Fate::MayHaveRun, "lost"),
    ] {
        let desk: DeskClient = capnode::connect(&server(vec![answer.clone()]).await).await.unwrap();
        match soon(desk.add(1, 2).into_future()).await {
            Ok(sum) => assert_eq!((sum, says), (3, ""), "{answer}"),
            Err(error) => {
                assert!(error.message().contains(says), "{answer}: {error}");
                assert_eq!((error.kind(), error.fate()), (kind, fate), "{answer}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_batch_has_limits_at_the_client_too() {
    let served = serve().await;
    let node = Node::empty().limits(Limits::default().batch_time(Some(Duration::from_millis(100))));
    let desk: DeskClient = node.connect(&served.listener.url()).await.unwrap();
    let error = soon(desk.wait().into_future()).await.unwrap_err();
    assert_eq!((error.limit(), error.fate()), (Some(LimitKind::BatchTime), Fate::MayHaveRun));
    let node = Node::empty().limits(Limits::default().batch_bytes(10));
    let desk: DeskClient = node.connect(&served.listener.url()).await.unwrap();
    let error = soon(desk.add(1, 2).into_future()).await.unwrap_err();
    assert_eq!((error.limit(), error.fate()), (Some(LimitKind::BatchBytes), Fate::MayHaveRun));
}

#[tokio::test]
async fn a_server_that_never_answers_holds_nothing_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (posted, is_posted) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        while !String::from_utf8_lossy(&got).contains("note") {
            stream.read_buf(&mut got).await.unwrap();
        }
        posted.send(()).unwrap();
        // It is over when the client hangs up.
        let _end = stream.read_to_end(&mut got).await;
    });
    let node = Node::empty().limits(Limits::default().batch_time(Some(Duration::from_millis(100))));
    let connection: Connection = node.connect(&url).await.unwrap();
    let desk: DeskClient = connection.index();
    desk.note("nobody waits for it").send().unwrap();
    soon(is_posted).await.unwrap();
    connection.close();
    soon(connection.closed()).await;
    drop((desk, connection));
    soon(server).await.unwrap();
}

#[tokio::test]
async fn ten_thousand_calls_are_one_batch() {
    let served = serve().await;
    let desk = served.desk().await;
    let calls = (0..10_000).map(|n| desk.add(n, n).into_future());
    let sums: Vec<_> = soon(futures_util::future::join_all(calls)).await;
    assert!(sums.into_iter().map(Result::unwrap).eq((0..10_000).map(|n| 2 * n)));
    assert_eq!(served.batches(), 1);
}

#[tokio::test]
async fn headers_go_with_each_batch_and_another_language_is_refused() {
    let node = Node::builder()
        .authorize(async |incoming| match incoming.header("authorization") {
            Some("Bearer x") => Ok(incoming.uri().map(str::to_owned)),
            _ => Err("who are you?"),
        })
        .build();
    let listener = node.listen("http://127.0.0.1:0").await.unwrap();
    let url = format!("{}any?room=7", listener.url());
    let index: Cap = capnode::connect(&url).header("Authorization", "Bearer x").await.unwrap();
    for _ in 0..2 {
        assert_eq!(index.at("length").read::<u32>().await.unwrap_or_default(), 0);
    }
    let stranger: Cap = capnode::connect(&url).await.unwrap();
    let error = stranger.at("length").read::<u32>().await.unwrap_err();
    assert!(error.message().contains("who are you?"), "{error}");
    let error = capnode::connect::<Cap>(&url).dialect(capnode::Dialect::Q).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
