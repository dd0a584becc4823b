//! Streams between programs of this library, and inside one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use capnode::testing::Line;
use capnode::{
    Bytes, Cap, Client, Connection, Dialect, Error, ErrorKind, Fate, Func, Node, Reader, Value, Writer, value,
};
use futures_util::{SinkExt, StreamExt as _, stream};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Mutex, Notify};

#[capnode::interface]
trait Depot {
    async fn sum(&self, numbers: Reader<u32>) -> Result<u32, Error>;
    async fn count(&self, last: u32) -> Reader<u32>;
    async fn take(&self, most: usize, numbers: Reader<u32>) -> Vec<u32>;
    async fn size(&self, bytes: Reader<Bytes>) -> Result<usize, Error>;
    async fn keep(&self, lines: Reader<String>) -> Writer<String>;
    async fn call_all(&self, calls: Reader<Func<fn(u32) -> u32>>) -> Result<u32, Error>;
    async fn fail_after(&self, count: u32) -> Reader<u32>;
    async fn echo(&self, value: Value) -> Value;
    async fn write_lines(&self) -> Writer<String>;
    async fn last_line(&self) -> Result<String, Error>;
}

#[derive(Default)]
struct Store {
    heard: Arc<AtomicUsize>,
    lines: Arc<Mutex<Option<Reader<String>>>>,
    lent: Arc<Notify>,
}

impl Depot for Store {
    async fn sum(&self, mut numbers: Reader<u32>) -> Result<u32, Error> {
        let mut sum = 0;
        while let Some(number) = numbers.next().await {
            sum += number?;
        }
        Ok(sum)
    }

    async fn count(&self, last: u32) -> Reader<u32> {
        Reader::from_iter(1..=last)
    }

    async fn take(&self, most: usize, mut numbers: Reader<u32>) -> Vec<u32> {
        let mut taken = Vec::new();
        while taken.len() < most {
            match numbers.next().await {
                Some(Ok(number)) => taken.push(number),
                Some(Err(_)) | None => break,
            }
        }
        taken
    }

    async fn size(&self, mut bytes: Reader<Bytes>) -> Result<usize, Error> {
        let mut size = 0;
        while let Some(chunk) = bytes.next().await {
            size += chunk?.len();
        }
        Ok(size)
    }

    async fn keep(&self, mut lines: Reader<String>) -> Writer<String> {
        let (writer, mut reader) = capnode::pipe::<String>();
        let heard = self.heard.clone();
        tokio::spawn(async move {
            while let Some(Ok(line)) = lines.next().await {
                heard.fetch_add(line.len(), Ordering::SeqCst);
            }
            while let Some(Ok(line)) = reader.next().await {
                heard.fetch_add(line.len(), Ordering::SeqCst);
            }
        });
        writer
    }

    async fn call_all(&self, mut calls: Reader<Func<fn(u32) -> u32>>) -> Result<u32, Error> {
        let mut last = 1;
        while let Some(call) = calls.next().await {
            last = call?.call(last).await?;
        }
        Ok(last)
    }

    async fn write_lines(&self) -> Writer<String> {
        let (writer, reader) = capnode::pipe();
        *self.lines.lock().await = Some(reader);
        self.lent.notify_one();
        writer
    }

    async fn last_line(&self) -> Result<String, Error> {
        self.lent.notified().await;
        let mut lines = self.lines.lock().await.take().expect("it was lent");
        let mut last = String::new();
        while let Some(line) = lines.next().await {
            last = line?;
        }
        Ok(last)
    }

    async fn fail_after(&self, count: u32) -> Reader<u32> {
        let mut left = count;
        Reader::fallible(futures_util::stream::poll_fn(move |_| {
            std::task::Poll::Ready(Some(match left.checked_sub(1) {
                Some(fewer) => {
                    left = fewer;
                    Ok(fewer)
                }
                None => Err(Error::rejected("out of numbers")),
            }))
        }))
    }

    async fn echo(&self, value: Value) -> Value {
        value
    }
}

const DIALECTS: [Dialect; 3] = [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q];

async fn connected_in(dialect: Dialect) -> (DepotClient, capnode::Listener, Arc<AtomicUsize>) {
    let store = Store::default();
    let heard = store.heard.clone();
    let listener = Node::new(DepotClient::new(store)).listen("ws://127.0.0.1:0").await.unwrap();
    let client = capnode::connect(&listener.url()).dialect(dialect).await.unwrap();
    (client, listener, heard)
}

async fn connected() -> (DepotClient, capnode::Listener, Arc<AtomicUsize>) {
    connected_in(Dialect::CapnWeb).await
}

/// The depot of this program, and over a connection in each language.
async fn everywhere() -> Vec<(DepotClient, Option<capnode::Listener>)> {
    let mut depots = vec![(DepotClient::new(Store::default()), None)];
    for dialect in DIALECTS {
        let (remote, listener, _) = connected_in(dialect).await;
        depots.push((remote, Some(listener)));
    }
    depots
}

#[tokio::test]
async fn a_reader_is_an_argument_and_a_result() {
    for (depot, _listener) in everywhere().await {
        assert_eq!(depot.sum(Reader::from_iter(1..=100)).await.unwrap(), 5050);
        let mut numbers = depot.count(5).await.unwrap();
        let mut all = Vec::new();
        while let Some(number) = numbers.next().await {
            all.push(number.unwrap());
        }
        assert_eq!(all, [1, 2, 3, 4, 5]);
        // And back again, as it came.
        let numbers = depot.count(10).await.unwrap();
        assert_eq!(depot.sum(numbers).await.unwrap(), 55);
    }
}

#[tokio::test]
async fn a_stream_is_as_long_as_it_likes() {
    for (at, (depot, _listener)) in everywhere().await.into_iter().enumerate() {
        // The other languages have more to do for each chunk.
        let part = if at < 2 { 1 } else { 16 };
        let numbers = Reader::from_iter((0..20_000 / part).map(|_| 1));
        assert_eq!(depot.sum(numbers).await.unwrap(), 20_000 / part);
        let chunk = Bytes::from(vec![7; 64 << 10]);
        let chunks = std::iter::repeat_n(chunk, 256 / part as usize);
        assert_eq!(depot.size(Reader::from_iter(chunks)).await.unwrap(), (16 << 20) / part as usize);
    }
}

#[tokio::test]
async fn a_reader_that_is_dropped_ends_the_stream() {
    struct Guarded(Option<tokio::sync::oneshot::Sender<()>>);
    impl Iterator for Guarded {
        type Item = u32;
        fn next(&mut self) -> Option<u32> {
            Some(1)
        }
    }
    impl Drop for Guarded {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(());
        }
    }
    for (depot, _listener) in everywhere().await {
        let (sender, dropped) = tokio::sync::oneshot::channel();
        let taken = depot.take(3, Reader::from_iter(Guarded(Some(sender)))).await.unwrap();
        assert_eq!(taken, [1, 1, 1]);
        dropped.await.unwrap();
    }
}

#[tokio::test]
async fn references_travel_in_chunks() {
    for (depot, _listener) in everywhere().await {
        let double = || Func::new(|number: u32| async move { number * 2 });
        assert_eq!(depot.call_all(Reader::from_iter([double(), double(), double()])).await.unwrap(), 8);
    }
}

#[tokio::test]
async fn the_error_of_a_stream_reaches_its_reader() {
    for (depot, _listener) in everywhere().await {
        let mut numbers = depot.fail_after(2).await.unwrap();
        assert_eq!(numbers.next().await.unwrap().unwrap(), 1);
        assert_eq!(numbers.next().await.unwrap().unwrap(), 0);
        let error = numbers.next().await.unwrap().unwrap_err();
        assert!(error.message().contains("out of numbers"), "{error}");
        assert!(numbers.next().await.is_none());
    }
}

#[tokio::test]
async fn a_writer_is_a_result_and_is_acknowledged() {
    for dialect in DIALECTS {
        let (depot, _listener, heard) = connected_in(dialect).await;
        let (mut lines, reader) = capnode::pipe::<String>();
        let mut writer = depot.keep(reader).await.unwrap();
        lines.write("hello".to_owned()).await.unwrap();
        lines.close().await.unwrap();
        writer.write("there".to_owned()).await.unwrap();
        writer.close().await.unwrap();
        assert_eq!(heard.load(Ordering::SeqCst), 10);
    }
}

/// A node between two others, which knows no interface and passes everything on.
async fn relayed(far: Dialect, near: Dialect) -> (DepotClient, [capnode::Listener; 2]) {
    let (depot, behind, _) = connected_in(far).await;
    let relay = Node::new(depot.cap().clone()).listen("ws://127.0.0.1:0").await.unwrap();
    (capnode::connect(&relay.url()).dialect(near).await.unwrap(), [behind, relay])
}

#[tokio::test]
async fn streams_pass_through_a_third_party() {
    for (far, near) in DIALECTS.into_iter().flat_map(|far| DIALECTS.map(|near| (far, near))) {
        // A relay knows the members of an object only if it came as a record of them.
        let records = [far, near].map(|dialect| dialect == Dialect::Capnode);
        if near != far && (records[1] || records[0] && near == Dialect::Q) {
            continue;
        }
        let (depot, _listeners) = relayed(far, near).await;
        pass_streams(depot).await;
    }
}

async fn pass_streams(depot: DepotClient) {
    assert_eq!(depot.sum(Reader::from_iter(1..=1_000)).await.unwrap(), 500_500);
    let numbers = depot.count(1_000).await.unwrap();
    assert_eq!(depot.sum(numbers).await.unwrap(), 500_500);
    assert_eq!(depot.take(2, Reader::from_iter(0..)).await.unwrap(), [0, 1]);
    let mut failing = depot.fail_after(1).await.unwrap();
    assert_eq!(failing.next().await.unwrap().unwrap(), 0);
    let error = failing.next().await.unwrap().unwrap_err();
    assert!(error.message().contains("out of numbers"), "{error}");
    let (mut lines, reader) = capnode::pipe::<String>();
    let mut writer = depot.keep(reader).await.unwrap();
    lines.write("hello".to_owned()).await.unwrap();
    lines.close().await.unwrap();
    writer.write("there".to_owned()).await.unwrap();
    writer.close().await.unwrap();
}

#[tokio::test]
async fn a_writer_that_is_dropped_aborts() {
    for (depot, _listener) in everywhere().await {
        let (mut writer, reader) = capnode::pipe::<u32>();
        let (sum, ()) = tokio::join!(async { depot.sum(reader).await }, async {
            writer.write(1).await.unwrap();
            drop(writer);
        });
        let error = sum.unwrap_err();
        assert!(error.to_string().contains("without `close`"), "{error}");
        // One that the peer has lent.
        let fate = tokio::spawn(depot.last_line().into_future());
        drop(depot.write_lines().await.unwrap());
        let error = fate.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("without `close`"), "{error}");
    }
}

/// Sums the numbers of a stream that is written by hand, by the methods of `Sink`.
async fn sum_of_a_sink(depot: &DepotClient, last: u32) -> u32 {
    let (mut writer, reader) = capnode::pipe::<u32>();
    let writing = async {
        writer.feed(0).await?;
        writer.send_all(&mut stream::iter((1..=last).map(Ok))).await?;
        SinkExt::close(&mut writer).await
    };
    let (sum, written) = tokio::join!(depot.sum(reader), writing);
    written.unwrap();
    sum.unwrap()
}

#[tokio::test]
async fn a_writer_is_a_sink() {
    for (depot, _listener) in everywhere().await {
        assert_eq!(sum_of_a_sink(&depot, 100).await, 5_050);
        let mut writer = depot.write_lines().await.unwrap();
        let last = tokio::spawn(depot.last_line().into_future());
        writer.send("one".to_owned()).await.unwrap();
        writer.send_all(&mut stream::iter(["two", "three"].map(|line| Ok(line.to_owned())))).await.unwrap();
        SinkExt::close(&mut writer).await.unwrap();
        assert_eq!(last.await.unwrap().unwrap(), "three");
    }
}

#[tokio::test]
async fn a_writer_of_bytes_is_a_byte_stream() {
    for (depot, _listener) in everywhere().await {
        let (writer, reader) = capnode::pipe::<Bytes>();
        let writing = async {
            let mut writer = writer.into_async_write();
            tokio::io::copy(&mut &[7; 100_000][..], &mut writer).await?;
            writer.shutdown().await
        };
        let (size, written) = tokio::join!(depot.size(reader), writing);
        written.unwrap();
        assert_eq!(size.unwrap(), 100_000);
        // Without its end it is no whole stream.
        let (writer, reader) = capnode::pipe::<Bytes>();
        let writing = async { writer.into_async_write().write_all(&[7; 10]).await };
        let (size, written) = tokio::join!(depot.size(reader), writing);
        written.unwrap();
        assert!(size.unwrap_err().to_string().contains("without `close`"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_written_by_hand_keeps_a_slow_line_busy() {
    let (here, there) = Line::new().delay(Duration::from_millis(20)).ends();
    let _served = Node::new(DepotClient::new(Store::default())).serve(there).await.unwrap();
    let depot: DepotClient = capnode::connect_over(here).await.unwrap();
    let begin = tokio::time::Instant::now();
    assert_eq!(sum_of_a_sink(&depot, 3_000).await, 4_501_500);
    // A few round trips, and not one for every few numbers.
    assert!(begin.elapsed() < Duration::from_millis(400), "{:?}", begin.elapsed());
}

/// A value that cannot be written, behind something that can.
#[derive(serde::Serialize)]
struct Unwritable<T>(T, #[serde(serialize_with = "refuse")] ());

fn refuse<S: serde::Serializer>(_: &(), _: S) -> Result<S::Ok, S::Error> {
    Err(serde::ser::Error::custom("this is never written"))
}

#[tokio::test]
async fn an_end_is_passed_on_once_and_what_was_not_sent_ends_its_stream() {
    for (depot, _listener) in everywhere().await {
        let echo = |value| depot.cap().invoke::<Value>("echo", (value,));
        // A writer in two values.
        let (writer, mut reader) = capnode::pipe::<u32>();
        let value = value::to_value(&writer).unwrap();
        let second = value::to_value(&writer).unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Encode);
        assert!(second.message().contains("passed on"), "{second}");
        // A call that is never polled, with the end in it.
        drop(echo(value));
        drop(writer);
        assert!(reader.next().await.unwrap().is_err());
        assert!(reader.next().await.is_none());
        let (mut writer, reader) = capnode::pipe::<u32>();
        drop(depot.sum(reader));
        assert!(writer.send(1).await.is_err());
        // An argument that cannot be written, with the end in it.
        let (mut writer, reader) = capnode::pipe::<u32>();
        let failed = depot.cap().invoke::<Value>("echo", (Unwritable(reader, ()),)).await.unwrap_err();
        assert_eq!((failed.kind(), failed.fate()), (ErrorKind::Encode, Fate::NotSent));
        assert!(writer.send(1).await.is_err());
        let (writer, mut reader) = capnode::pipe::<u32>();
        let failed = depot.cap().invoke::<Value>("echo", (Unwritable(writer, ()),)).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Encode);
        assert!(reader.next().await.unwrap().is_err());
    }
}

#[tokio::test]
async fn an_open_end_keeps_its_connection() {
    for dialect in DIALECTS {
        let (reading, _listener, _) = connected_in(dialect).await;
        let (writing, _other, _) = connected_in(dialect).await;
        let mut numbers = reading.count(2_000).await.unwrap();
        let mut lines = writing.write_lines().await.unwrap();
        drop((reading, writing));
        let mut count = 0;
        while let Some(number) = numbers.next().await {
            number.unwrap();
            count += 1;
        }
        assert_eq!(count, 2_000);
        lines.write("late".to_owned()).await.unwrap();
    }
}

#[tokio::test]
async fn a_method_takes_any_stream_for_a_reader() {
    for (depot, _listener) in everywhere().await {
        let numbers = || stream::iter([1, 2, 3]);
        assert_eq!(depot.sum(numbers()).await.unwrap(), 6);
        assert_eq!(depot.sum(numbers().map(Ok::<_, Error>)).await.unwrap(), 6);
        let failing = stream::iter([Ok(1), Err(std::io::Error::other("the disk is gone"))]);
        let error = depot.sum(failing).await.unwrap_err();
        assert!(error.to_string().contains("the disk is gone"), "{error}");
        assert_eq!(depot.size(&b"some bytes"[..]).await.unwrap(), 10);
        assert_eq!(depot.size(stream::iter([Bytes::from(b"ab")])).await.unwrap(), 2);
        let (mut writer, reader) = capnode::pipe();
        let writing = async {
            writer.write(7).await?;
            writer.close().await
        };
        let (sum, written) = tokio::join!(depot.sum(reader), writing);
        assert_eq!((sum.unwrap(), written.unwrap()), (7, ()));
    }
}

#[test]
fn a_reader_that_is_taken_for_one_keeps_its_end() {
    let end = value::to_value(Reader::from_iter([1_u32])).unwrap();
    let reader: Reader<u32> = value::from_value(end.clone()).unwrap();
    let taken = capnode::IntoReader::<u32, _>::into_reader(reader);
    assert_eq!(value::to_value(taken).unwrap(), end);
}

#[tokio::test]
async fn a_reader_passed_on_twice_is_an_error() {
    let (depot, _listener, _) = connected().await;
    let numbers = Reader::from_iter([1_u32]);
    let error = depot.cap().invoke::<u32>("sum", (&numbers, &numbers)).await.unwrap_err();
    assert!(error.message().contains("its new holder alone"), "{error}");
}

#[tokio::test]
async fn a_value_holds_both_ends_and_is_equal_to_one_with_the_same() {
    // In the older languages both ends are objects.
    let (remote, _listener, _) = connected().await;
    let (relayed, _listeners) = relayed(Dialect::CapnWeb, Dialect::CapnWeb).await;
    for depot in [DepotClient::new(Store::default()), remote, relayed] {
        let (numbers, (mut lines, heard)) = (Reader::from_iter(1..=3_u32), capnode::pipe::<String>());
        let (written, mut written_back) = capnode::pipe::<String>();
        let ends = value::to_value((numbers, written, heard)).unwrap();
        assert_eq!(ends, ends.clone());
        let readable = |ends: &Value| [0, 1, 2].map(|at| ends[at].as_cap().is_some_and(Cap::is_readable));
        let writable = |ends: &Value| [0, 1, 2].map(|at| ends[at].as_cap().is_some_and(Cap::is_writable));
        assert_eq!((readable(&ends), writable(&ends)), ([true, false, true], [false, true, false]));
        assert_ne!(ends[0], ends[2]);

        // What comes back is another stream, which the chunks of the first go into, but for what was lent and is home.
        let back = depot.echo(ends.clone()).await.unwrap();
        assert_eq!(back[1], ends[1]);
        assert_eq!((readable(&back), writable(&back)), ([true, false, true], [false, true, false]));
        let (mut numbers, mut written, mut heard): (Reader<u32>, Writer<String>, Reader<String>) =
            value::from_value(back).unwrap();
        for number in 1..=3 {
            assert_eq!(numbers.next().await.unwrap().unwrap(), number);
        }
        assert!(numbers.next().await.is_none());
        written.write("out".to_owned()).await.unwrap();
        lines.write("in".to_owned()).await.unwrap();
        assert_eq!(written_back.next().await.unwrap().unwrap(), "out");
        assert_eq!(heard.next().await.unwrap().unwrap(), "in");
    }
}

#[tokio::test]
async fn the_read_end_in_a_value_is_moved_once() {
    for dialect in DIALECTS {
        let (depot, _listener, _) = connected_in(dialect).await;
        let numbers = value::to_value(Reader::from_iter([1_u32])).unwrap();
        assert_eq!(depot.cap().invoke::<u32>("sum", (&numbers,)).await.unwrap(), 1);
        let error = depot.cap().invoke::<u32>("sum", (&numbers,)).await.unwrap_err();
        assert!(error.message().contains("its new holder alone"), "{error}");
        let mut numbers: Reader<u32> = value::from_value(numbers).unwrap();
        assert!(numbers.next().await.unwrap().unwrap_err().message().contains("its new holder alone"));
        // Two places of one value are two uses as well.
        let numbers = value::to_value(Reader::from_iter(0..100_u32)).unwrap();
        let back = depot.echo(Value::Array(vec![numbers.clone(), numbers])).await.unwrap();
        let (mut first, mut second): (Reader<u32>, Reader<u32>) = value::from_value(back).unwrap();
        assert!(second.next().await.unwrap().unwrap_err().message().contains("its new holder alone"));
        for number in 0..100 {
            assert_eq!(first.next().await.unwrap().unwrap(), number);
        }
        assert!(first.next().await.is_none());
    }
}

#[tokio::test]
async fn a_reader_that_comes_home_can_be_lent_again() {
    for dialect in DIALECTS {
        let (depot, _listener, _) = connected_in(dialect).await;
        let numbers = value::to_value(Reader::from_iter([1_u32, 2])).unwrap();
        let back = depot.echo(numbers).await.unwrap();
        let again = depot.echo(back).await.unwrap();
        assert_eq!(depot.cap().invoke::<u32>("sum", (again,)).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn the_end_of_the_connection_ends_its_streams() {
    for dialect in DIALECTS {
        end_connection(dialect).await;
    }
}

async fn end_connection(dialect: Dialect) {
    let (_depot, listener, _) = connected().await;
    let connection: Connection = capnode::connect(&listener.url()).dialect(dialect).await.unwrap();
    let depot: DepotClient = connection.index();
    let mut numbers = depot.count(u32::MAX).await.unwrap();
    assert_eq!(numbers.next().await.unwrap().unwrap(), 1);
    let (mut writer, reader) = capnode::pipe::<u32>();
    let sum = tokio::spawn(async move { depot.sum(reader).await });
    writer.write(1).await.unwrap();
    // It has been read at the other end.
    futures_util::SinkExt::flush(&mut writer).await.unwrap();
    connection.close_because("enough");
    let ended = loop {
        match numbers.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("the stream is not complete"),
        }
    };
    assert!(ended.message().contains("enough"), "{ended:?}");
    assert!(sum.await.unwrap().is_err());
    let failed = loop {
        if let Err(error) = writer.write(1).await {
            break error;
        }
    };
    assert!(failed.message().contains("enough"), "{failed:?}");
}

#[tokio::test]
async fn an_end_that_was_passed_on_can_be_used_by_its_new_holder_alone() {
    for (depot, _listener) in everywhere().await {
        let (mut writer, mut reader) = capnode::pipe::<u32>();
        let sum = depot.cap().invoke::<u32>("sum", (&reader,));
        let refused = async {
            // The former holder gets an error, and takes nothing away.
            let refused = reader.next().await.unwrap().unwrap_err();
            assert!(refused.message().contains("its new holder alone"), "{refused}");
            assert!(reader.next().await.is_none());
            assert!(depot.cap().invoke::<u32>("sum", (&reader,)).await.is_err());
            reader.cancel(Error::rejected("by nobody"));
            for number in 1..=100 {
                writer.write(number).await.unwrap();
            }
            writer.close().await.unwrap();
        };
        assert_eq!(tokio::join!(sum, refused).0.unwrap(), 5_050);

        let (mut writer, mut reader) = capnode::pipe::<u32>();
        let (held, holder) = (Arc::new(std::sync::Mutex::new(None)), Func::<fn(Writer<u32>) -> ()>::new);
        let holds = held.clone();
        let hold = holder(move |writer: Writer<u32>| {
            *holds.lock().unwrap() = Some(writer);
            async {}
        });
        Cap::from(hold).apply::<()>((&writer,)).await.unwrap();
        assert!(writer.write(1).await.unwrap_err().message().contains("its new holder alone"));
        writer.abort(Error::rejected("by nobody"));
        let mut writer = held.lock().unwrap().take().unwrap();
        writer.write(2).await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), 2);
    }
}
