//! The end of a connection: earlier frames are written, over every transport, and a caller can wait for that.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use capnode::transport::{self, Closing, Frame, Outgoing, ReceiveError, Transport, lines};
use capnode::{Cap, Connection, Func, Node, Value};
use capnode_tests::{meeting, routed, soon, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot};

/// The number of calls that are sent just before the end. With their text they exceed the buffers of a socket.
const CALLS: usize = 400;

fn text() -> String {
    "t".repeat(10_000)
}

/// Sends calls over a connection, ends it, and ends its runtime as `main` does.
fn send_and_end(connect: impl AsyncFnOnce() -> Connection) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connection = connect().await;
        let peer = connection.index::<Cap>();
        for number in 0..CALLS {
            peer.invoke::<Value>("note", (number, text())).send().unwrap();
        }
        connection.close();
        soon(connection.closed()).await;
    });
    runtime.shutdown_background();
}

/// Counts the calls in the input.
fn calls_in(read: &[u8]) -> usize {
    String::from_utf8_lossy(read).matches("\"note\"").count()
}

/// Reads slowly to the end, which is no reset.
async fn read_slowly(mut stream: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let (mut read, mut room) = (Vec::new(), vec![0; 100_000]);
    loop {
        tokio::time::sleep(Duration::from_millis(2)).await;
        match stream.read(&mut room).await.unwrap() {
            0 => return read,
            some => read.extend_from_slice(&room[..some]),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_the_end_is_written_to_a_tcp_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let sending = tokio::task::spawn_blocking(move || {
        send_and_end(async || capnode::connect(&url).await.unwrap());
    });
    let (stream, _) = listener.accept().await.unwrap();
    assert_eq!(calls_in(&soon(read_slowly(stream)).await), CALLS);
    soon(sending).await.unwrap();
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_the_end_is_written_to_a_unix_socket() {
    let (one, other) = tokio::net::UnixStream::pair().unwrap();
    let one = one.into_std().unwrap();
    let sending = tokio::task::spawn_blocking(move || {
        send_and_end(async || {
            let stream = tokio::net::UnixStream::from_std(one).unwrap();
            capnode::connect_over(lines(stream)).await.unwrap()
        });
    });
    assert_eq!(calls_in(&soon(read_slowly(other)).await), CALLS);
    soon(sending).await.unwrap();
}

/// Counts the calls that reach it.
#[capnode::interface]
trait Notes {
    async fn note(&self, number: usize, text: &str);
}

#[derive(Clone, Default)]
struct Counted(Arc<AtomicUsize>);

impl Notes for Counted {
    async fn note(&self, _: usize, text: &str) {
        assert_eq!(text.len(), 10_000);
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_the_end_arrives_at_a_node() {
    let counted = Counted::default();
    let node = Node::new(NotesClient::new(counted.clone()));
    let axum = routed(node.clone()).await;
    let tcp = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let ws = node.listen("ws://127.0.0.1:0").await.unwrap();
    for (round, url) in [tcp.url(), ws.url(), axum].into_iter().enumerate() {
        let sending = tokio::task::spawn_blocking({
            let url = url.clone();
            move || send_and_end(async || capnode::connect(&url).await.unwrap())
        });
        soon(sending).await.unwrap();
        let all = || counted.0.load(Ordering::SeqCst) == (round + 1) * CALLS;
        until(&url, all).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_the_end_arrives_inside_a_program() {
    let (there, here) = transport::pair();
    let counted = Counted::default();
    let served = Node::new(NotesClient::new(counted.clone())).serve(there).await.unwrap();
    let sending = tokio::task::spawn_blocking(move || {
        send_and_end(async || capnode::connect_over(here).await.unwrap());
    });
    soon(sending).await.unwrap();
    soon(served.closed()).await;
    assert_eq!(counted.0.load(Ordering::SeqCst), CALLS);
}

/// A peer that has sent much unread data when the other side closes still receives all earlier frames.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_after_the_end_does_not_take_back_what_was_sent() {
    let (node, mut met) = meeting("index");
    let listener = node.build().listen("tcp://127.0.0.1:0").await.unwrap();
    let mut stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let connection = soon(met.recv()).await.unwrap().connection().clone();
    stream.write_all(b"[\"push\",[\"pipeline\",0,[]]]\n[\"pull\",1]\n").await.unwrap();
    let mut first = vec![0; 10];
    soon(stream.read_exact(&mut first)).await.unwrap();
    let peer: Cap = connection.index();
    for number in 0..10 {
        peer.invoke::<Value>("note", (number, text())).send().unwrap();
    }
    // The session ends; meanwhile the peer goes on sending.
    connection.close();
    for _ in 0..60 {
        stream.write_all(b"[\"release\",0,0]\n".repeat(60).as_slice()).await.unwrap();
    }
    soon(connection.flush()).await.unwrap();
    assert_eq!(calls_in(&soon(read_slowly(&mut stream)).await), 10);
    drop(stream);
    soon(connection.closed()).await;
}

/// A transport that takes nothing until it is opened, or fails then, and tells when the peer has ended.
struct Gate<T> {
    transport: T,
    state: Arc<GateState>,
}

#[derive(Default)]
struct GateState {
    open: AtomicBool,
    broken: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
    ended: Notify,
}

impl GateState {
    fn set(&self, which: &AtomicBool) {
        which.store(true, Ordering::SeqCst);
        for waker in std::mem::take(&mut *self.waiting.lock().unwrap()) {
            waker.wake();
        }
    }
}

impl<T: Transport> Transport for Gate<T> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        let received = self.transport.poll_receive(cx);
        if let Poll::Ready(None) = received {
            self.state.ended.notify_one();
        }
        received
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        self.state.waiting.lock().unwrap().push(cx.waker().clone());
        if self.state.broken.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if !self.state.open.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        self.transport.poll_send(cx, frames)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, closing: Closing<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_close(cx, closing)
    }
}

/// A connection whose transport takes nothing yet, and how many calls have reached the other end.
async fn gated() -> (Connection, Arc<GateState>, Counted) {
    let (there, here) = transport::pair();
    let counted = Counted::default();
    let _served = Node::new(NotesClient::new(counted.clone())).serve(there).await.unwrap();
    let state = Arc::<GateState>::default();
    let gate = Gate { transport: here, state: state.clone() };
    (capnode::connect_over(gate).await.unwrap(), state, counted)
}

/// Returns `true` if `future` is not ready after every task had a turn.
async fn is_pending(future: impl Future<Output: Send> + Send) -> bool {
    tokio::time::timeout(Duration::from_millis(20), future).await.is_err()
}

#[tokio::test]
async fn a_flush_ends_when_all_is_written() {
    let (connection, gate, counted) = gated().await;
    let notes: NotesClient = connection.index();
    notes.note(1, &text()).send().unwrap();
    assert!(is_pending(connection.flush()).await, "nothing can be written");
    let flushed = connection.flush();
    gate.set(&gate.open);
    soon(flushed).await.unwrap();
    until("it is there", || counted.0.load(Ordering::SeqCst) == 1).await;
    // With nothing to write there is nothing to wait for.
    soon(connection.flush()).await.unwrap();
}

#[tokio::test]
async fn a_flush_waits_for_calls_that_wait_for_room() {
    let (connection, gate, counted) = gated().await;
    let notes: NotesClient = connection.index();
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let notes = notes.clone();
            tokio::spawn(async move { notes.note(number, &text()).await })
        })
        .collect();
    assert!(is_pending(connection.flush()).await);
    let flushed = connection.flush();
    gate.set(&gate.open);
    soon(flushed).await.unwrap();
    until("all are there", || counted.0.load(Ordering::SeqCst) == CALLS).await;
    for call in calls {
        soon(call).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_flush_of_a_connection_that_fails_says_why() {
    let (connection, gate, counted) = gated().await;
    let notes: NotesClient = connection.index();
    notes.note(1, &text()).send().unwrap();
    let flushed = connection.flush();
    gate.set(&gate.broken);
    let error = soon(flushed).await.unwrap_err();
    assert_eq!(error.kind(), capnode::ErrorKind::Disconnected);
    assert_eq!(soon(connection.flush()).await.unwrap_err().kind(), capnode::ErrorKind::Disconnected);
    assert_eq!(counted.0.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_end_waits_for_what_was_sent() {
    let (connection, gate, counted) = gated().await;
    let notes: NotesClient = connection.index();
    notes.note(1, &text()).send().unwrap();
    assert!(is_pending(connection.flush()).await);
    connection.close();
    assert!(connection.is_closed());
    assert!(is_pending(connection.closed()).await, "it is not written");
    let flushed = connection.flush();
    gate.set(&gate.open);
    soon(connection.closed()).await;
    soon(flushed).await.unwrap();
    until("it is there", || counted.0.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_no_longer_than_five_seconds() {
    let (connection, _gate, _) = gated().await;
    let notes: NotesClient = connection.index();
    notes.note(1, &text()).send().unwrap();
    let begun = tokio::time::Instant::now();
    connection.close();
    connection.closed().await;
    assert!(connection.flush().await.is_err(), "it was not written");
    let took = begun.elapsed().as_secs_f64();
    assert!((4.9..5.5).contains(&took), "{took}");
}

/// A waker that makes a last call as soon as all is written, at whatever moment the wake comes.
struct LastWord {
    notes: NotesClient,
    connection: Connection,
}

impl Wake for LastWord {
    fn wake(self: Arc<Self>) {
        self.notes.note(1, &text()).send().unwrap();
        self.connection.close();
    }
}

/// The driver tells that all is written when it has seen that there is nothing more to write.
#[tokio::test]
async fn what_is_sent_between_the_last_write_and_the_end_is_written() {
    let (there, here) = transport::pair();
    let counted = Counted::default();
    let served = Node::new(NotesClient::new(counted.clone())).serve(there).await.unwrap();
    let connection: Connection = capnode::connect_over(here).await.unwrap();
    // Nothing is left to be written with the word.
    soon(connection.flush()).await.unwrap();
    let word = Waker::from(Arc::new(LastWord { notes: connection.index(), connection: connection.clone() }));
    let mut flushed = pin!(connection.flush());
    assert!(flushed.as_mut().poll(&mut Context::from_waker(&word)).is_pending());
    soon(connection.closed()).await;
    soon(served.closed()).await;
    assert_eq!(counted.0.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_connection_is_flushed_too() {
    let counted = Counted::default();
    let listener = Node::new(NotesClient::new(counted)).listen("tcp://127.0.0.1:0").await.unwrap();
    let connection: Connection = capnode::connect(&listener.url()).await.unwrap();
    let notes: NotesClient = connection.index();
    let busy = tokio::spawn(async move {
        for number in 0.. {
            if notes.note(number, &text()).await.is_err() {
                return;
            }
        }
    });
    for _ in 0..100 {
        soon(connection.flush()).await.unwrap();
    }
    connection.close();
    soon(busy).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_over_standard_input_and_output_answers_all_it_was_asked() {
    const ASKED: usize = 200;
    let ask = |id: usize| {
        let text = "b".repeat(1_000);
        format!("[\"push\",[\"pipeline\",0,[\"transform\"],[\"{text}\"]]]\n[\"pull\",{id}]\n")
    };
    for _ in 0..10 {
        let mut worker = tokio::process::Command::new(env!("CARGO_BIN_EXE_tour_stdio"))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (mut stdin, mut stdout) = (worker.stdin.take().unwrap(), worker.stdout.take().unwrap());
        // Once it has answered some, it has begun, and a handler that does not wait ends where it is called.
        let answer = "[\"resolve\",1,\"\"]\n".len() + 1_000;
        for id in 1..10 {
            stdin.write_all(ask(id).as_bytes()).await.unwrap();
            soon(stdout.read_exact(&mut vec![0; answer])).await.unwrap();
        }
        let reading = tokio::spawn(read_slowly(stdout));
        stdin.write_all((10..=ASKED).map(ask).collect::<String>().as_bytes()).await.unwrap();
        // That is all, and it ends.
        drop(stdin);
        let answers = soon(reading).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answers).matches("[\"resolve\"").count(), ASKED - 9);
        assert!(soon(worker.wait()).await.unwrap().success());
    }
}

/// Calls queue while the index is being decided; some of them exceed the queue.
#[tokio::test]
async fn what_was_asked_before_the_peer_ended_is_answered() {
    for calls in [1, 10, 3_000] {
        let (mut peer, stream) = tokio::io::duplex(1 << 20);
        let (decide, decided) = oneshot::channel::<()>();
        let decided = Mutex::new(Some(decided));
        let node = Node::builder()
            .authorize(move |_: capnode::Incoming| {
                let decided = decided.lock().unwrap().take().unwrap();
                async move {
                    decided.await.unwrap();
                    Ok::<_, capnode::Error>(Func::<fn(u32) -> u32>::new(|number: u32| async move { number }))
                }
            })
            .build();
        let state = Arc::<GateState>::default();
        state.set(&state.open);
        let transport = Gate { transport: lines(stream), state: state.clone() };
        let serving = tokio::spawn(async move { node.serve(transport).await });
        for id in 1..=calls {
            let call = format!("[\"push\",[\"pipeline\",0,[],[{id}]]]\n[\"pull\",{id}]\n");
            soon(peer.write_all(call.as_bytes())).await.unwrap();
        }
        soon(peer.shutdown()).await.unwrap();
        soon(state.ended.notified()).await;
        decide.send(()).unwrap();
        let mut read = String::new();
        soon(peer.read_to_string(&mut read)).await.unwrap();
        assert_eq!(read.matches("[\"resolve\"").count(), calls, "{read}");
        soon(soon(serving).await.unwrap().unwrap().closed()).await;
    }
}

/// Much more than may wait to be written before calls of this side have to wait.
#[tokio::test]
async fn all_that_a_peer_asked_before_it_closed_its_side_is_written() {
    const ANSWERS: usize = 40;
    let (mut peer, stream) = tokio::io::duplex(1 << 16);
    let node = Node::new(Func::<fn() -> String>::new(|| async { "t".repeat(100_000) }));
    let serving = tokio::spawn(async move { node.serve(lines(stream)).await });
    for id in 1..=ANSWERS {
        let call = format!("[\"push\",[\"pipeline\",0,[],[]]]\n[\"pull\",{id}]\n");
        soon(peer.write_all(call.as_bytes())).await.unwrap();
    }
    soon(peer.shutdown()).await.unwrap();
    let served = soon(serving).await.unwrap().unwrap();
    until("the end is seen", || served.is_closed()).await;
    let mut read = String::new();
    soon(peer.read_to_string(&mut read)).await.unwrap();
    assert_eq!(read.matches("[\"resolve\"").count(), ANSWERS);
}

/// The index is never decided, or a handler waits: the peer's end is the end.
#[tokio::test(start_paused = true)]
async fn waiting_handlers_do_not_delay_the_end_of_a_connection() {
    let begun = tokio::time::Instant::now();
    for decides in [true, false] {
        let (mut peer, stream) = tokio::io::duplex(1 << 20);
        let (waits, waiting) = (Arc::new(()), Arc::new(Notify::new()));
        let (held, told) = (waits.clone(), waiting.clone());
        let node = Node::builder()
            .authorize(move |_: capnode::Incoming| {
                let (held, told) = (held.clone(), told.clone());
                async move {
                    if !decides {
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, capnode::Error>(Func::<fn()>::new(move || {
                        let (held, told) = (held.clone(), told.clone());
                        async move {
                            let _held = held;
                            told.notify_one();
                            std::future::pending().await
                        }
                    }))
                }
            })
            .build();
        let _serving = tokio::spawn(async move { node.serve(lines(stream)).await });
        peer.write_all(b"[\"push\",[\"pipeline\",0,[],[]]]\n[\"pull\",1]\n").await.unwrap();
        if decides {
            waiting.notified().await;
        }
        peer.shutdown().await.unwrap();
        let mut read = String::new();
        peer.read_to_string(&mut read).await.unwrap();
        assert!(!read.contains("resolve"), "{read}");
        let took = begun.elapsed().as_secs_f64();
        if decides {
            assert!(took < 0.1, "{took}");
            // The one in the function is left.
            until("the handler is dropped", || Arc::strong_count(&waits) <= 2).await;
        } else {
            assert!((4.9..5.5).contains(&took), "{took}");
        }
    }
}

/// A peer that reads nothing any more once a handler runs, and goes on talking until it is told to end.
struct Deaf {
    frame: String,
    said: usize,
    inside: Arc<AtomicBool>,
    end: Arc<AtomicBool>,
}

impl Transport for Deaf {
    fn poll_receive(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        if self.end.load(Ordering::SeqCst) {
            return Poll::Ready(None);
        }
        let call = self.said / 2 + 1;
        self.frame = match self.said {
            0 => r#"["push",["pipeline",0,["stay"],[]]]"#.to_owned(),
            1 => r#"["pull",1]"#.to_owned(),
            even if even % 2 == 0 => r#"["push",["pipeline",0,["pass"],[]]]"#.to_owned(),
            _ => format!("[\"pull\",{call}]"),
        };
        self.said += 1;
        Poll::Ready(Some(Ok(Frame::Text(&self.frame))))
    }

    fn poll_send(&mut self, _: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        if self.inside.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        while frames.pop_frame().is_some() {}
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: Closing<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[capnode::interface]
trait Halls {
    async fn stay(&self);
    async fn pass(&self);
}

struct Hall {
    inside: Arc<AtomicBool>,
    left: Arc<Notify>,
    passed: Arc<AtomicUsize>,
}

struct Leaves(Arc<Notify>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Halls for Hall {
    async fn stay(&self) {
        let _leaves = Leaves(self.left.clone());
        self.inside.store(true, Ordering::SeqCst);
        std::future::pending().await
    }

    async fn pass(&self) {
        self.passed.fetch_add(1, Ordering::SeqCst);
    }
}

/// Frames that the peer sent before are still received.
#[tokio::test]
async fn handlers_end_as_soon_as_nothing_can_be_written() {
    let (inside, left, end) =
        (Arc::<AtomicBool>::default(), Arc::new(Notify::new()), Arc::<AtomicBool>::default());
    let passed = Arc::<AtomicUsize>::default();
    let hall = Hall { inside: inside.clone(), left: left.clone(), passed: passed.clone() };
    let deaf = Deaf { frame: String::new(), said: 0, inside, end: end.clone() };
    let served = Node::new(HallsClient::new(hall)).serve(deaf).await.unwrap();
    soon(left.notified()).await;
    assert!(!served.is_closed());
    let before = passed.load(Ordering::SeqCst);
    until("it goes on", || passed.load(Ordering::SeqCst) > before).await;
    assert_eq!(served.report().unwritten_bytes, 0);
    end.store(true, Ordering::SeqCst);
    assert_eq!(soon(served.closed()).await.fault(), capnode::Fault::Network);
}

#[tokio::test]
async fn a_connection_that_was_cut_in_a_frame_holds_nothing_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let connection: Connection = Node::empty().connect(&url).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(&vec![b'['; 100_000]).await.unwrap();
    until("half a frame is there", || connection.report().arriving_bytes > 0).await;
    drop(stream);
    soon(connection.closed()).await;
    until("its stream is gone", || connection.report().arriving_bytes == 0).await;
}
