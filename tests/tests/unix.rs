//! Unix sockets: the effects of listening and closing on the files at their paths.
#![cfg(unix)]

use std::path::PathBuf;

use capnode::{Cap, ErrorKind, Node};
use capnode_tests::soon;
use tokio::net::{UnixSocket, UnixStream};

/// A folder for one test, which is removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("capnode-unix-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn url(&self, name: &str) -> String {
        format!("unix:{}", self.0.join(name).display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = Folder::new("file");
    let file = folder.0.join("notes.txt");
    std::fs::write(&file, "my work").unwrap();
    let link = folder.0.join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for name in ["notes.txt", "link"] {
        let error = Node::new("index").listen(&folder.url(name)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect, "{name}");
    }
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "my work");
}

#[tokio::test]
async fn a_listener_whose_queue_is_full_keeps_its_path() {
    let folder = Folder::new("busy");
    let path = folder.0.join("busy");
    let socket = UnixSocket::new_stream().unwrap();
    socket.bind(&path).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut waiting = Vec::new();
    // It does not accept, so that some are refused for want of room.
    while let Ok(stream) = UnixStream::connect(&path).await {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the queue does not fill");
    }
    let error = Node::new("index").listen(&folder.url("busy")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    soon(listener.accept()).await.unwrap();
    UnixStream::connect(&path).await.unwrap();
}

#[tokio::test]
async fn closing_leaves_a_path_alone_that_another_has_taken_over() {
    let folder = Folder::new("successor");
    let first = Node::new("first").listen(&folder.url("s")).await.unwrap();
    let second = Node::new("second").listen(&folder.url("new")).await.unwrap();
    std::fs::rename(folder.0.join("new"), folder.0.join("s")).unwrap();
    first.close().await;
    let found: Cap = capnode::connect(&folder.url("s")).await.unwrap();
    assert_eq!(soon(found.read::<String>()).await.unwrap(), "second");
    drop(second);
}

#[tokio::test]
async fn a_socket_that_nobody_listens_on_is_replaced_and_removed_at_the_end() {
    let folder = Folder::new("stale");
    drop(std::os::unix::net::UnixListener::bind(folder.0.join("s")).unwrap());
    let listener = Node::new("index").listen(&folder.url("s")).await.unwrap();
    let found: Cap = capnode::connect(&folder.url("s")).await.unwrap();
    assert_eq!(soon(found.read::<String>()).await.unwrap(), "index");
    listener.close().await;
    assert!(!folder.0.join("s").exists());
}
