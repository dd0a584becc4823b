//! The streams that the recorded programs served, in Rust.

use capnode::{Error, NodeBuilder, Reader, Value, Writer};

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
