//! Streams and bodies in HTTP batches: what fits goes whole, and what does not fails with words. Nothing waits for
//! acknowledgements that cannot come.

use std::sync::Mutex;

use capnode::value::{Blob, Body, Request, Response};
use capnode::{Bytes, Cap, Connection, Error, Limits, Node, Reader, Value, Writer};
use capnode_examples::tour;
use capnode_tests::{js, soon};

#[capnode::interface]
trait Files {
    async fn echo(&self, value: Value) -> Value;
    async fn size(&self, bytes: Reader<Bytes>) -> Result<usize, Error>;
    async fn numbers(&self, count: u32) -> Reader<u32>;
    async fn endless(&self) -> Reader<Bytes>;
    /// Writes into a stream of the caller's.
    async fn fill(&self, writer: Writer<u32>, count: u32) -> Result<u32, Error>;
    /// Holds a stream, and reads none of it.
    async fn keep(&self, numbers: Reader<u32>) -> bool;
}

#[derive(Default)]
struct Here(Mutex<Vec<Reader<u32>>>);

fn endless() -> Reader<Bytes> {
    Reader::from_iter(std::iter::repeat_with(|| Bytes::from(vec![7; 10_000])))
}

impl Files for Here {
    async fn echo(&self, value: Value) -> Value {
        value
    }

    async fn size(&self, mut bytes: Reader<Bytes>) -> Result<usize, Error> {
        let mut size = 0;
        while let Some(chunk) = bytes.next().await {
            size += chunk?.len();
        }
        Ok(size)
    }

    async fn numbers(&self, count: u32) -> Reader<u32> {
        let (mut writer, reader) = capnode::pipe();
        tokio::spawn(async move {
            for number in 0..count {
                writer.write(number).await.unwrap();
            }
            writer.close().await.unwrap();
        });
        reader
    }

    async fn endless(&self) -> Reader<Bytes> {
        endless()
    }

    async fn fill(&self, mut writer: Writer<u32>, count: u32) -> Result<u32, Error> {
        for number in 0..count {
            writer.write(number).await?;
        }
        writer.close().await?;
        Ok(count)
    }

    async fn keep(&self, numbers: Reader<u32>) -> bool {
        self.0.lock().unwrap().push(numbers);
        true
    }
}

/// Returns the client of a listener for batches, which has to live as long.
async fn files(limits: Limits) -> (FilesClient, capnode::Listener) {
    let node = Node::builder().index(FilesClient::new(Here::default())).limits(limits.clone()).build();
    let listener = node.listen("http://127.0.0.1:0").await.unwrap();
    let client = Node::builder().limits(limits).build();
    (client.connect(&listener.url()).await.unwrap(), listener)
}

fn body(text: &str) -> Option<Body> {
    Some(Bytes::from(text.as_bytes()).into())
}

async fn text(body: Option<Body>) -> String {
    String::from_utf8(soon(body.unwrap().read_to_end(1 << 20)).await.unwrap()).unwrap()
}

async fn all<T: serde::Serialize + serde::de::DeserializeOwned + Send + 'static>(
    mut reader: Reader<T>,
) -> Result<Vec<T>, Error> {
    let mut all = Vec::new();
    while let Some(item) = soon(reader.next()).await {
        all.push(item?);
    }
    Ok(all)
}

#[tokio::test]
async fn what_fits_goes_whole_each_way() {
    let (files, _listener) = files(Limits::default()).await;
    let bytes = Reader::from_iter((0..30).map(|_| Bytes::from(vec![7; 10_000])));
    assert_eq!(soon(files.size(bytes).into_future()).await.unwrap(), 300_000);
    let numbers = soon(files.numbers(1_000).into_future()).await.unwrap();
    assert_eq!(all(numbers).await.unwrap(), (0..1_000).collect::<Vec<_>>());

    // More than a reader is asked for ahead, by hand.
    let (mut writer, reader) = capnode::pipe::<Bytes>();
    let writing = async {
        for _ in 0..100 {
            writer.write(Bytes::from(b"abc")).await?;
        }
        writer.close().await
    };
    let (size, written) = soon(async { tokio::join!(files.size(reader), writing) }).await;
    assert_eq!((size.unwrap(), written.unwrap()), (300, ()));

    let mut response = Response::new(201);
    response.body = body("a response");
    let mut request = Request::new("POST", "https://example.com/");
    request.body = body("a request");
    let blob = Blob { content_type: "text/plain".to_owned(), body: body("a blob").unwrap() };
    let echoed = soon(files.echo(Value::Response(Box::new(response))).into_future()).await.unwrap();
    let Value::Response(response) = echoed else { panic!("{echoed:?}") };
    assert_eq!((response.status, text(response.body).await.as_str()), (201, "a response"));
    let echoed = soon(files.echo(Value::Request(Box::new(request))).into_future()).await.unwrap();
    let Value::Request(request) = echoed else { panic!("{echoed:?}") };
    assert_eq!(text(request.body).await, "a request");
    let echoed = soon(files.echo(Value::Blob(Box::new(blob))).into_future()).await.unwrap();
    let Value::Blob(blob) = echoed else { panic!("{echoed:?}") };
    assert_eq!(text(Some(blob.body)).await, "a blob");
}

#[tokio::test]
async fn a_method_writes_into_a_stream_of_the_client() {
    let (files, _listener) = files(Limits::default()).await;
    let (writer, reader) = capnode::pipe::<u32>();
    assert_eq!(soon(files.fill(writer, 100).into_future()).await.unwrap(), 100);
    assert_eq!(all(reader).await.unwrap(), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_does_not_fit_fails_its_stream_alone() {
    let mut limits = Limits::default();
    limits.batch_bytes = 1 << 20;
    let (files, _listener) = files(limits).await;
    let (size, numbers) = soon(async { tokio::join!(files.size(endless()), files.numbers(3)) }).await;
    let error = size.unwrap_err();
    assert!(error.to_string().contains("more than fits into an HTTP batch"), "{error}");
    assert_eq!(all(numbers.unwrap()).await.unwrap(), [0, 1, 2]);

    let (endless, numbers) = soon(async { tokio::join!(files.endless(), files.numbers(3)) }).await;
    let error = all(endless.unwrap()).await.unwrap_err();
    assert!(error.message().contains("more than fits into an HTTP batch"), "{error}");
    assert_eq!(all(numbers.unwrap()).await.unwrap(), [0, 1, 2]);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_holds_up_no_answer() {
    let (files, _listener) = files(Limits::default()).await;
    assert!(soon(files.keep(Reader::from_iter(0..50)).into_future()).await.unwrap());
}

/// Runs a piece of JavaScript with `api`, the index of a batch, and returns what it prints.
async fn run(url: &str, text: &str) -> String {
    let text = format!(
        "import {{ newHttpBatchRpcSession }} from 'capnweb';\nconst api = newHttpBatchRpcSession('{url}');\n\
         const text = (source) => new Response(source).text();\n\
         process.on('unhandledRejection', (error) => console.log('unhandled', error.message));\n{text}"
    );
    let output = soon(js::module(&text).output()).await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npms_client_gets_its_bodies_back() {
    if !js::ready() {
        return;
    }
    let listener = Node::new(tour::index_with_streams()).listen("http://127.0.0.1:0").await.unwrap();
    for (script, printed) in [
        ("const r = await api.echo(new Response('some text')); console.log(await r.text());", "some text\n"),
        (
            "const r = await api.echo(new Request('http://a/', { method: 'PUT', body: 'leaves' })); \
             console.log(r.method, await r.text());",
            "PUT leaves\n",
        ),
        ("const b = await api.echo(new Blob(['bl', 'ob'])); console.log(await b.text());", "blob\n"),
        (
            "const start = (c) => { c.enqueue('a'); c.enqueue([1]); c.close(); }; \
             console.log(await api.collect(new ReadableStream({ start })));",
            "[ 'a', [ 1 ] ]\n",
        ),
        (
            "const all = []; for await (const n of await api.numbers(100)) all.push(n); console.log(all.length);",
            "100\n",
        ),
    ] {
        assert_eq!(run(&listener.url(), script).await, printed, "{script}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npms_server_gets_ours() {
    if !js::ready() {
        return;
    }
    let server = js::Server::start("tour_server.mjs", &["--http", "127.0.0.1:0"]).await;
    let connection: Connection = capnode::connect(&format!("http://{}", server.address())).await.unwrap();
    let tour: Cap = connection.index();
    let collected: Vec<u32> =
        soon(tour.invoke("collect", (Reader::from_iter(0..40_u32),)).into_future()).await.unwrap();
    assert_eq!(collected, (0..40).collect::<Vec<_>>());
    let mut request = Request::new("POST", "https://example.com/");
    request.body = body("leaves");
    // It sends nothing of a stream after its answers, so a body ends in the middle.
    let back: Response = soon(tour.invoke("handle", (request,)).into_future()).await.unwrap();
    let error = soon(back.body.unwrap().read_to_end(100)).await.unwrap_err();
    assert_eq!((back.status, error.message()), (201, "the HTTP batch has ended in the middle of the stream"));
}
