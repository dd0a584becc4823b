//! Streams with npm's `capnweb`: our client at its server. Its client at our server is in `live_capnweb`.

use capnode::{Connection, Error, Reader, Value, Writer};
use capnode_examples::tour::StreamTourClient;
use capnode_tests::{js, soon, until};

/// What the server of npm has for tests beside the tour.
#[capnode::interface]
trait Streams {
    async fn write_to(&self, writer: Writer<String>, chunks: Vec<String>) -> String;
    async fn abort(&self, writer: Writer<String>);
    async fn first(&self, stream: Reader<u32>) -> u32;
    async fn sink(&self) -> Writer<Value>;
    async fn log(&self) -> Vec<Value>;
}

async fn connected() -> Option<(js::Server, Connection)> {
    if !js::ready() {
        return None;
    }
    let server = js::Server::start("tour_server.mjs", &["--ws", "127.0.0.1:0"]).await;
    let connection = capnode::connect(&format!("ws://{}", server.address())).await.unwrap();
    Some((server, connection))
}

async fn all<T: capnode::Wire>(mut reader: Reader<T>) -> Result<Vec<T>, Error> {
    let mut chunks = Vec::new();
    while let Some(chunk) = soon(reader.next()).await {
        chunks.push(chunk?);
    }
    Ok(chunks)
}

/// Waits until neither side holds anything of a stream.
async fn nothing_left(connection: &Connection) {
    until("all of the streams is released", || {
        let tables = connection.tables();
        (tables.imports, tables.exports, tables.calls, tables.running) == (1, 0, 0, 0)
            || (tables.imports, tables.exports, tables.calls, tables.running) == (0, 0, 0, 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npm_reads_our_streams_and_we_read_its() {
    let Some((_server, connection)) = connected().await else { return };
    let tour: StreamTourClient = connection.index();
    let chunks = vec![Value::from("a"), Value::from(2), Value::Null];
    assert_eq!(soon(tour.collect(Reader::from_iter(chunks.clone())).into_future()).await.unwrap(), chunks);
    let numbers = soon(tour.numbers(20_000).into_future()).await.unwrap();
    assert_eq!(all(numbers).await.unwrap(), (0..20_000).collect::<Vec<_>>());
    // More than any window.
    let chunk = Value::from("x".repeat(64 << 10));
    let many = Reader::from_iter(std::iter::repeat_n(chunk, 100));
    assert_eq!(soon(tour.collect(many).into_future()).await.unwrap().len(), 100);
    // One of its own comes back to it.
    let numbers = soon(tour.numbers(5).into_future()).await.unwrap();
    let numbers = Reader::fallible(numbers_as_values(numbers));
    assert_eq!(soon(tour.collect(numbers).into_future()).await.unwrap().len(), 5);
    nothing_left(&connection).await;
}

fn numbers_as_values(
    numbers: Reader<u32>,
) -> impl futures_util::Stream<Item = Result<Value, Error>> + Send + 'static {
    futures_util::StreamExt::map(numbers, |number| number.map(Value::from))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_source_and_an_early_end_reach_npm_as_what_they_were() {
    let Some((_server, connection)) = connected().await else { return };
    let tour: StreamTourClient = connection.index();
    let failing = futures_util::stream::iter([Ok(Value::from(1)), Err(Error::rejected("source broke"))]);
    let error = soon(tour.collect(Reader::fallible(failing)).into_future()).await.unwrap_err();
    assert!(error.to_string().contains("source broke"), "{error}");
    // A reader that ends early.
    let mut numbers = soon(tour.numbers(1_000_000).into_future()).await.unwrap();
    assert_eq!(soon(numbers.next()).await.unwrap().unwrap(), 0);
    drop(numbers);
    // One at npm that ends early.
    let streams: StreamsClient = connection.index();
    let (mut writer, reader) = capnode::pipe();
    let first = tokio::spawn(async move { streams.first(reader).await });
    let mut count = 0;
    let refused = loop {
        match soon(writer.write(count)).await {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
    };
    assert!(refused.message().contains("had enough"), "{refused:?}");
    assert_eq!(soon(first).await.unwrap().unwrap(), 0);
    nothing_left(&connection).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npm_writes_to_us_and_we_write_to_it() {
    let Some((_server, connection)) = connected().await else { return };
    let streams: StreamsClient = connection.index();
    let (writer, reader) = capnode::pipe::<String>();
    let chunks = vec!["a".to_owned(), "b".to_owned()];
    let read = tokio::spawn(all(reader));
    let written = soon(streams.write_to(writer, chunks.clone()).into_future()).await.unwrap();
    assert_eq!((written, soon(read).await.unwrap().unwrap()), ("written".to_owned(), chunks));

    let (writer, reader) = capnode::pipe::<String>();
    let read = tokio::spawn(all(reader));
    soon(streams.abort(writer).into_future()).await.unwrap();
    let aborted = soon(read).await.unwrap().unwrap_err();
    assert!(aborted.message().contains("changed my mind"), "{aborted:?}");

    let mut sink = soon(streams.sink().into_future()).await.unwrap();
    for chunk in [Value::from("one"), Value::from(2)] {
        soon(sink.write(chunk)).await.unwrap();
    }
    soon(sink.close()).await.unwrap();
    let mut sink = soon(streams.sink().into_future()).await.unwrap();
    soon(sink.write(Value::from("three"))).await.unwrap();
    sink.abort(Error::rejected("no more"));
    let sink = soon(streams.sink().into_future()).await.unwrap();
    drop(sink);
    let log = soon(streams.log().into_future()).await.unwrap();
    let texts: Vec<_> = log.iter().map(|chunk| chunk.as_str().unwrap_or("2").to_owned()).collect();
    assert_eq!(texts[..5], ["one", "2", "closed", "three", "aborted: no more"], "{log:?}");
    assert!(texts[5].contains("without calling close"), "{log:?}");
    nothing_left(&connection).await;
}
