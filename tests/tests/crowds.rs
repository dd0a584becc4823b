//! Crowds: peers that are silent, in half of a handshake, refused, or hold much, beside one that is honest.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use capnode::{Cap, Connection, ErrorKind, Node, Value};
use capnode_tests::{ANY, echo_and_wait, examples::example, limits, routed, soon, speaking, until};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// The number of streams that a node may have beyond its connections.
const SLACK: usize = 128;

/// Much less than a handshake may take, and much more than anything takes that need not wait for one.
const AT_ONCE: Duration = Duration::from_secs(5);

async fn at_once<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(AT_ONCE, future).await.expect("it has to wait")
}

async fn answers(connection: &Connection) -> bool {
    soon(connection.index::<Cap>().invoke::<u32>("echo", (7,))).await.is_ok_and(|answer| answer == 7)
}

async fn connect(url: &str) -> Connection {
    let connection: Connection = at_once(capnode::connect(url).into_future()).await.unwrap();
    assert!(at_once(answers(&connection)).await);
    connection
}

/// Reads until the other side ends the stream.
async fn end(stream: &mut TcpStream) {
    let mut said = Vec::new();
    // A reset ends it as well.
    let _end = soon(stream.read_to_end(&mut said)).await;
}

/// Returns how many of the streams have been ended by the other side.
fn count_ended(streams: &[TcpStream]) -> usize {
    ended(streams).into_iter().filter(|ended| *ended).count()
}

/// Returns which of the streams have been ended by the other side.
fn ended(streams: &[TcpStream]) -> Vec<bool> {
    let mut said = [0; 256];
    let is_open = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    let has_ended = |stream: &TcpStream| loop {
        match stream.try_read(&mut said) {
            Ok(1..) => {}
            Ok(0) => return true,
            Err(error) => return !is_open(&error),
        }
    };
    streams.iter().map(has_ended).collect()
}

// ---------------------------------------------------------------------------------------- silence

#[tokio::test]
async fn a_byte_stream_that_says_nothing_is_closed() {
    let silence = Duration::from_millis(100);
    for dialect in ANY {
        let node =
            Node::builder().index(echo_and_wait()).limits(limits(|limits| limits.silence = Some(silence)));
        let listener = speaking(node, dialect).listen("tcp://127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut silent = TcpStream::connect(address).await.unwrap();
        // Half a message does not count.
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"[\"push\",").await.unwrap();
        let calling = capnode::connect::<Connection>(&listener.url()).dialect(dialect.unwrap_or_default());
        let honest = calling.await.unwrap();
        assert!(answers(&honest).await, "{dialect:?}");
        end(&mut silent).await;
        end(&mut half).await;
        tokio::time::sleep(2 * silence).await;
        assert!(answers(&honest).await, "{dialect:?}: one that has said something stays");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_that_says_nothing_is_closed() {
    let path = std::env::temp_dir().join(format!("capnode-silence-{}", std::process::id()));
    let node = Node::new("index").limits(limits(|limits| limits.silence = Some(Duration::from_millis(100))));
    let _listener = node.listen(&format!("unix:{}", path.display())).await.unwrap();
    let mut silent = tokio::net::UnixStream::connect(&path).await.unwrap();
    assert_eq!(soon(silent.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_web_socket_that_says_nothing_and_a_stream_of_the_programs_own_stay() {
    let silence = Duration::from_millis(50);
    let node = Node::new(echo_and_wait()).limits(limits(|limits| limits.silence = Some(silence)));
    let listener = node.listen("ws://127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = tokio_tungstenite::client_async(listener.url(), stream).await.unwrap();
    let (one, other) = tokio::io::duplex(1 << 10);
    let served = node.serve(capnode::transport::lines(one)).await.unwrap();
    tokio::time::sleep(4 * silence).await;
    assert!(!served.is_closed());
    assert_eq!(count_ended(&[socket.into_inner()]), 0);
    drop(other);
}

#[tokio::test]
async fn a_first_message_may_take_its_time_while_it_comes() {
    let node =
        Node::new(echo_and_wait()).limits(limits(|limits| limits.silence = Some(Duration::from_millis(200))));
    let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let mut slow = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    // As much as may take some seconds.
    let push = format!(r#"["push",["pipeline",0,["echo"],["{}"]]]"#, "x".repeat(200_000));
    let (first, rest) = push.split_at(190_000);
    slow.write_all(first.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    slow.write_all(format!("{rest}\n[\"pull\",1]\n").as_bytes()).await.unwrap();
    let mut answer = vec![0; 10];
    soon(slow.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, b"[\"resolve\"");
}

#[tokio::test]
async fn the_longest_silent_byte_stream_makes_room_for_another_connection() {
    let node = Node::new(echo_and_wait()).limits(limits(|limits| limits.connections = 3));
    let tcp = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let ws = node.listen("ws://127.0.0.1:0").await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..3 {
        // They are accepted in the order in which they come.
        silent.push(TcpStream::connect(tcp.local_addr().unwrap()).await.unwrap());
    }
    let mut talking = Vec::new();
    for (at, url) in [tcp.url(), ws.url(), tcp.url()].iter().enumerate() {
        talking.push(connect(url).await);
        until("one has made room", || count_ended(&silent) > at).await;
        assert_eq!(ended(&silent), [true, at >= 1, at >= 2]);
    }
    // Now all say something, and one more is too many.
    let refused: Connection = capnode::connect(&tcp.url()).await.unwrap();
    assert!(!answers(&refused).await);
    for connection in &talking {
        assert!(answers(connection).await);
    }
}

// ------------------------------------------------------------------------------------ descriptors

#[tokio::test]
async fn half_handshakes_make_nobody_wait() {
    const MORE: usize = 60;
    let node = Node::new(echo_and_wait()).limits(limits(|limits| limits.connections = 2));
    let listener = node.listen("ws://127.0.0.1:0").await.unwrap();
    let mut half = Vec::new();
    for _ in 0..SLACK + MORE {
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
        half.push(stream);
    }
    let honest = connect(&listener.url()).await;
    // As many have gone as there were too many.
    until("the first have gone", || count_ended(&half) >= MORE - 2).await;
    assert!(count_ended(&half) <= MORE + 1, "{}", count_ended(&half));
    assert!(answers(&honest).await);
}

#[tokio::test]
async fn refused_connections_that_stay_make_nobody_wait() {
    let node = Node::new(echo_and_wait()).limits(limits(|limits| limits.connections = 1));
    let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let honest = connect(&listener.url()).await;
    let mut refused = Vec::new();
    for _ in 0..2 * SLACK {
        // It is told, and does not close.
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        stream.write_all(b"[\"release\",0,0]\n").await.unwrap();
        refused.push(stream);
    }
    let told: Connection = at_once(capnode::connect(&listener.url()).into_future()).await.unwrap();
    let error = at_once(told.closed()).await;
    assert!(error.message().contains("more than 1 connections"), "{error}");
    assert!(answers(&honest).await);
    honest.close();
    soon(honest.closed()).await;
    // Until it is seen that there is room again.
    let next = async {
        loop {
            let next: Connection = capnode::connect(&listener.url()).await.unwrap();
            if answers(&next).await {
                return;
            }
        }
    };
    at_once(next).await;
}

/// Starts the server of the tour with few descriptors, and returns its address.
#[cfg(unix)]
async fn short_of_descriptors(transport: &str) -> (tokio::process::Child, SocketAddr) {
    let server = example("tour_server");
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(server.as_std().get_program());
    command.args([transport, "127.0.0.1:0"]).stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = soon(lines.next_line()).await.unwrap().unwrap();
    (child, line.strip_prefix("listening on ").unwrap().parse().unwrap())
}

#[cfg(unix)]
#[tokio::test]
async fn without_a_descriptor_the_longest_silent_makes_room() {
    use capnode_examples::tour::TourClient;

    for (transport, said) in
        [("--tcp", ""), ("--tcp", "[\"half"), ("--ws", ""), ("--ws", "GET / HTTP/1.1\r\n")]
    {
        let (_server, address) = short_of_descriptors(transport).await;
        let mut crowd = Vec::new();
        for _ in 0..200 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            crowd.push(stream);
        }
        let url = format!("{}://{address}", &transport[2..]);
        let honest = async {
            let tour: TourClient = capnode::connect(&url).await.unwrap();
            tour.transform("beep").await.unwrap()
        };
        assert_eq!(at_once(honest).await, "BOOP", "{transport} {said:?}");
    }
}

// ------------------------------------------------------------------------------------------ bytes

/// Bytes that a peer of the crowd holds, and the honest one.
const EACH: usize = 200_000;
const HONEST: usize = 250_000;

/// A node on which each session's share is 50 kB.
fn shared() -> Node {
    Node::new(echo_and_wait())
        .limits(limits(|limits| (limits.node_bytes, limits.connections) = (1_000_000, 20)))
}

async fn hold(connection: &Connection, bytes: usize) {
    // In pieces, since one that arrives is held twice for a moment.
    const PIECE: usize = 10_000;
    for _ in 0..bytes / PIECE {
        let sent = connection.index::<Cap>().invoke::<Value>("wait", ("x".repeat(PIECE),)).send();
        if sent.is_err() {
            return;
        }
    }
    // All has arrived when what follows it is answered; or this is who is ended.
    let _ended = soon(connection.index::<Cap>().invoke::<u32>("echo", (1,))).await;
}

#[tokio::test]
async fn a_crowd_from_one_address_loses_its_youngest() {
    let tcp = shared().listen("tcp://127.0.0.1:0").await.unwrap();
    let ws = shared().listen("ws://127.0.0.1:0").await.unwrap();
    for url in [tcp.url(), ws.url(), routed(shared()).await] {
        crowd_at(&url).await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_crowd_of_one_user_loses_its_youngest() {
    let path = std::env::temp_dir().join(format!("capnode-crowd-{}", std::process::id()));
    let listener = shared().listen(&format!("unix:{}", path.display())).await.unwrap();
    crowd_at(&listener.url()).await;
}

async fn crowd_at(url: &str) {
    let honest = connect(url).await;
    hold(&honest, HONEST).await;
    let mut crowd = Vec::new();
    for _ in 0..6 {
        let one = connect(url).await;
        hold(&one, EACH).await;
        crowd.push(one);
        // It is the last one that has come for which there is no room.
        let ended = crowd.iter().map(Connection::is_closed);
        let room = (1_000_000 - HONEST) / EACH;
        assert!(ended.enumerate().all(|(at, ended)| ended == (at >= room)), "{url}");
    }
    assert!(answers(&honest).await, "{url}");
    let error = soon(crowd[5].closed()).await;
    assert!(error.to_string().contains("hold more than 1000000 bytes together"), "{error}");
    // One that holds less than its share is not ended, however late it comes.
    let modest = connect(url).await;
    hold(&modest, 30_000).await;
    hold(&crowd[0], EACH).await;
    assert!(answers(&modest).await && answers(&honest).await, "{url}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_address_that_holds_most_above_its_shares_loses_one() {
    let node = shared();
    let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let from = async |address: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let connection: Connection = capnode::connect_over(capnode::transport::lines(stream)).await.unwrap();
        assert!(answers(&connection).await);
        connection
    };
    let mut crowd = Vec::new();
    for _ in 0..4 {
        let one = from("127.0.0.2").await;
        hold(&one, 190_000).await;
        crowd.push(one);
    }
    // It is the youngest, and holds most, but is alone at its address. Of each connection some kilobytes may not be known.
    let honest = from("127.0.0.3").await;
    hold(&honest, 300_000).await;
    assert!(answers(&honest).await);
    until("one has ended", || crowd.iter().any(Connection::is_closed)).await;
    let ended: Vec<_> = crowd.iter().map(Connection::is_closed).collect();
    assert_eq!(ended, [false, false, false, true]);
}

#[tokio::test]
async fn no_connection_below_its_share_is_ended() {
    let node = shared();
    let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let mut all = Vec::new();
    for _ in 0..20 {
        let one = connect(&listener.url()).await;
        hold(&one, 40_000).await;
        all.push(one);
    }
    // A connection that the program has opened itself does not make their shares smaller.
    let (here, there) = capnode::transport::pair();
    let _peer = Node::empty().serve(there).await.unwrap();
    let _own: Cap = node.connect_over(here).await.unwrap();
    for connection in &all {
        assert!(answers(connection).await);
    }
    let refused: Connection = capnode::connect(&listener.url()).await.unwrap();
    let error = soon(refused.index::<Cap>().invoke::<u32>("echo", (7,))).await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Timeout, "{error}");
}
