//! A file of any size, up and down, with progress and cancellation. Neither side holds more of it than is on its way.
//!
//! ```text
//! cargo run --example upload            # ten megabytes that it makes up
//! cargo run --example upload -- FILE
//! ```

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use capnode::{Bytes, Error, Func, Node, Reader};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

#[capnode::interface]
trait Store {
    /// Keeps a file, and returns its size. `on_progress` is called with the bytes that have arrived, now and then.
    async fn put(&self, bytes: Reader<Bytes>, on_progress: Func<fn(u64)>) -> Result<u64, Error>;

    /// Returns the file.
    async fn get(&self) -> Result<Reader<Bytes>, Error>;
}

struct Folder {
    file: PathBuf,
    uploads: AtomicU64,
}

impl Store for Folder {
    async fn put(&self, mut bytes: Reader<Bytes>, on_progress: Func<fn(u64)>) -> Result<u64, Error> {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        let partial = self.file.with_extension(format!("partial-{number}"));
        let mut file = File::create(&partial).await?;
        let (mut size, mut told) = (0, 0);
        while let Some(chunk) = bytes.next().await {
            // An error means that the file is not complete.
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    tokio::fs::remove_file(&partial).await?;
                    return Err(error);
                }
            };
            file.write_all(&chunk).await?;
            size += chunk.len() as u64;
            if size - told >= 4 << 20 {
                told = size;
                on_progress.call(size).send()?;
            }
        }
        file.flush().await?;
        tokio::fs::rename(&partial, &self.file).await?;
        Ok(size)
    }

    async fn get(&self) -> Result<Reader<Bytes>, Error> {
        Ok(Reader::from_async_read(File::open(&self.file).await?))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("capnode-upload-{}", std::process::id()));
    tokio::fs::create_dir(&folder).await?;
    let source = match std::env::args_os().nth(1) {
        Some(file) => PathBuf::from(file),
        None => {
            let made_up = folder.join("source");
            tokio::fs::write(&made_up, vec![7; 10 << 20]).await?;
            made_up
        }
    };
    let store = Folder { file: folder.join("stored"), uploads: AtomicU64::new(0) };
    let listener = Node::new(StoreClient::new(store)).listen("tcp://127.0.0.1:0").await?;
    let store: StoreClient = capnode::connect(&listener.url()).await?;

    let progress = |size: u64| async move { println!("  {} MiB have arrived", size >> 20) };
    println!("up:");
    let size = store.put(Reader::from_async_read(File::open(&source).await?), progress).await?;
    println!("{size} bytes are stored");

    let mut down = store.get().await?.into_async_read();
    let read = tokio::io::copy(&mut down, &mut tokio::io::sink()).await?;
    println!("{read} bytes came down");

    // An upload is given up by the end of its writer. What is stored stays.
    let (mut writer, reader) = capnode::pipe::<Bytes>();
    let upload = tokio::spawn(store.put(reader, progress).into_future());
    writer.write(Bytes::from(vec![0; 1 << 10])).await?;
    writer.abort(Error::rejected("changed my mind"));
    match upload.await? {
        Ok(size) => println!("{size} bytes are stored, which should not be"),
        Err(error) => println!("given up: {error}"),
    }
    tokio::fs::remove_dir_all(&folder).await?;
    Ok(())
}
