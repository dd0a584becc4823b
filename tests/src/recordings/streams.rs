//! The streams, and what carries them, that the recorded programs served, in Rust.

use capnode::value::{Blob, Request, Response};
use capnode::{Bytes, Error, Headers, NodeBuilder, Reader, Value, Writer};

use super::objects::{Host, Log, node};

#[capnode::interface]
pub trait Streams {
    async fn collect(&self, stream: Reader<Value>) -> Result<Vec<Value>, Error>;
    async fn first(&self, stream: Reader<Value>) -> Result<Option<Value>, Error>;
    async fn size(&self, stream: Reader<String>) -> Result<usize, Error>;
    async fn make(&self, chunks: Vec<Value>) -> Reader<Value>;
    async fn write_to(&self, writer: Writer<Value>, chunks: Vec<Value>) -> Result<String, Error>;
    async fn write_abort(&self, writer: Writer<Value>) -> Result<String, Error>;
    async fn write_no_close(&self, writer: Writer<Value>) -> Result<String, Error>;
    async fn sink(&self) -> Writer<Value>;
}

impl Streams for Host {
    async fn collect(&self, stream: Reader<Value>) -> Result<Vec<Value>, Error> {
        all(stream).await
    }

    async fn first(&self, mut stream: Reader<Value>) -> Result<Option<Value>, Error> {
        let first = stream.next().await.transpose();
        stream.cancel(Error::rejected("had enough"));
        first
    }

    async fn size(&self, mut stream: Reader<String>) -> Result<usize, Error> {
        let mut size = 0;
        while let Some(chunk) = stream.next().await {
            size += chunk?.len();
        }
        Ok(size)
    }

    async fn make(&self, chunks: Vec<Value>) -> Reader<Value> {
        Reader::from_iter(chunks)
    }

    async fn write_to(&self, mut writer: Writer<Value>, chunks: Vec<Value>) -> Result<String, Error> {
        for chunk in chunks {
            writer.write(chunk).await?;
        }
        writer.close().await?;
        Ok("written".to_owned())
    }

    async fn write_abort(&self, mut writer: Writer<Value>) -> Result<String, Error> {
        writer.write("one".into()).await?;
        writer.abort(Error::rejected("changed my mind"));
        Ok("aborted".to_owned())
    }

    async fn write_no_close(&self, mut writer: Writer<Value>) -> Result<String, Error> {
        writer.write("one".into()).await?;
        drop(writer);
        Ok("left open".to_owned())
    }

    async fn sink(&self) -> Writer<Value> {
        let (writer, reader) = capnode::pipe();
        // Where there is no runtime, the reader goes, and each write fails.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(all(reader));
        }
        writer
    }
}

/// Reads a stream to its end.
///
/// # Errors
///
/// That of the stream.
pub async fn all(mut stream: Reader<Value>) -> Result<Vec<Value>, Error> {
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.next().await {
        chunks.push(chunk?);
    }
    Ok(chunks)
}

pub fn streams(log: &Log) -> NodeBuilder {
    node(StreamsClient::new(Host::new(log)))
}

#[capnode::interface]
pub trait Web {
    async fn read(&self, blob: Blob) -> Result<(String, usize, String), Error>;
    async fn make(&self) -> Blob;
    async fn handle(&self, request: Request) -> Result<Response, Error>;
    async fn none(&self) -> Response;
}

/// The most bytes of a body here.
pub const BODY: usize = 1_000;

impl Web for Host {
    async fn read(&self, blob: Blob) -> Result<(String, usize, String), Error> {
        let text = text(blob.body.read_to_end(BODY).await?);
        Ok((blob.content_type, text.len(), text))
    }

    async fn make(&self) -> Blob {
        hello_blob()
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let body = match request.body {
            Some(body) => text(body.read_to_end(BODY).await?),
            None => "(no body)".to_owned(),
        };
        let mut response = Response::new(if request.method == "POST" { 418 } else { 200 });
        response.headers = Headers::from([
            ("content-type", "text/plain;charset=UTF-8"),
            ("x-h", request.headers.get("x-q").unwrap_or_default()),
        ]);
        response.body = Some(Bytes::from(format!("you sent {} {body}", request.method).into_bytes()).into());
        Ok(response)
    }

    async fn none(&self) -> Response {
        Response::new(204)
    }
}

/// Returns the text of a body.
pub fn text(body: Vec<u8>) -> String {
    String::from_utf8_lossy(&body).into_owned()
}

/// Returns the blob of the recordings.
pub fn hello_blob() -> Blob {
    Blob { content_type: "text/plain".to_owned(), body: Bytes::from(b"hello blob").into() }
}

pub fn web(log: &Log) -> NodeBuilder {
    node(WebClient::new(Host::new(log)))
}
