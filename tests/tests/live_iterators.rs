//! Streams with programs in Capnode and Q-Connection, in which a reader is an object with `next` and `return`.

use std::future::IntoFuture;

use capnode::{Connection, Dialect, Error, Reader, Value, Writer};
use capnode_tests::{js, soon};

/// The offer of `streams.mjs`, in either language.
#[capnode::interface]
trait Streams {
    async fn numbers(&self, count: u32) -> Reader<u32>;
    async fn slowly(&self, count: u32) -> Reader<u32>;
    async fn collect(&self, reader: Reader<u32>) -> Result<Vec<u32>, Error>;
    async fn first(&self, reader: Reader<u32>) -> (u32, bool);
    async fn sink(&self) -> Writer<String>;
    async fn write_to(&self, writer: Writer<String>, chunks: Vec<String>) -> String;
    async fn abort(&self, writer: Writer<String>);
    async fn log(&self) -> Vec<Value>;
}

async fn all<T: capnode::Wire>(mut reader: Reader<T>) -> Result<Vec<T>, Error> {
    let mut chunks = Vec::new();
    while let Some(chunk) = soon(reader.next()).await {
        chunks.push(chunk?);
    }
    Ok(chunks)
}

async fn get<T>(call: impl IntoFuture<Output = T>) -> T {
    soon(call.into_future()).await
}

/// Returns the log of the other program once it has so many lines.
async fn logged(streams: &StreamsClient, count: usize) -> Vec<String> {
    loop {
        let log = get(streams.log()).await.unwrap();
        if log.len() >= count {
            return log.iter().map(|line| line.as_str().unwrap_or_default().to_owned()).collect();
        }
    }
}

async fn streams_with(script: &str, dialect: Dialect) {
    if !js::ready() {
        return;
    }
    let server = js::Server::start(script, &["--ws", "127.0.0.1:0"]).await;
    let connection: Connection = capnode::connect(server.address()).dialect(dialect).await.unwrap();
    let streams: StreamsClient = connection.index();
    // Its generators are readers.
    let numbers = get(streams.numbers(1_000)).await.unwrap();
    assert_eq!(all(numbers).await.unwrap(), (0..1_000).collect::<Vec<_>>());
    assert_eq!(logged(&streams, 1).await, ["returned"]);
    let mut slowly = get(streams.slowly(20)).await.unwrap();
    for number in 0..20 {
        assert_eq!(soon(slowly.next()).await.unwrap().unwrap(), number);
    }
    let error = soon(slowly.next()).await.unwrap().unwrap_err();
    assert!(error.message().contains("out of numbers"), "{error:?}");
    assert!(soon(slowly.next()).await.is_none());
    // One that is dropped is told to return.
    let mut numbers = get(streams.numbers(1_000_000)).await.unwrap();
    assert_eq!(soon(numbers.next()).await.unwrap().unwrap(), 0);
    drop(numbers);
    assert_eq!(logged(&streams, 2).await, ["returned", "returned"]);
    // Ours are objects of that kind there.
    assert_eq!(get(streams.collect(Reader::from_iter(0..100))).await.unwrap(), (0..100).collect::<Vec<_>>());
    let failing = futures_util::stream::iter([Ok(1), Err(Error::rejected("source broke"))]);
    let error = get(streams.collect(Reader::fallible(failing))).await.unwrap_err();
    assert!(error.to_string().contains("source broke"), "{error}");
    let (mut writer, reader) = capnode::pipe();
    let first = tokio::spawn(streams.first(reader).into_future());
    soon(writer.write(7)).await.unwrap();
    assert_eq!(soon(first).await.unwrap().unwrap(), (7, true));
    assert!(soon(writer.write(8)).await.is_err() || soon(writer.close()).await.is_err());
    writers_with(&streams).await;
}

async fn writers_with(streams: &StreamsClient) {
    let (writer, reader) = capnode::pipe::<String>();
    let read = tokio::spawn(all(reader));
    let chunks = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(get(streams.write_to(writer, chunks.clone())).await.unwrap(), "written");
    assert_eq!(soon(read).await.unwrap().unwrap(), chunks);
    let (writer, reader) = capnode::pipe::<String>();
    let read = tokio::spawn(all(reader));
    get(streams.abort(writer)).await.unwrap();
    let aborted = soon(read).await.unwrap().unwrap_err();
    assert!(aborted.message().contains("changed my mind"), "{aborted:?}");

    let mut sink = get(streams.sink()).await.unwrap();
    soon(sink.write("one".to_owned())).await.unwrap();
    soon(sink.close()).await.unwrap();
    let mut sink = get(streams.sink()).await.unwrap();
    soon(sink.write("two".to_owned())).await.unwrap();
    sink.abort(Error::rejected("no more"));
    drop(get(streams.sink()).await.unwrap());
    let log = logged(streams, 6).await;
    assert_eq!(log[2..5], ["one", "closed", "two"], "{log:?}");
    assert!(log[5].contains("no more"), "{log:?}");
    assert!(logged(streams, 7).await[6].contains("without `close`"), "{log:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_pass_to_and_from_npms_q_connection() {
    streams_with("q/streams.mjs", Dialect::Q).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_pass_to_and_from_a_capnode_peer() {
    streams_with("capnode/streams.mjs", Dialect::Capnode).await;
}
