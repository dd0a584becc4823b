//! Peers without a library, which say what they like and hold nothing themselves.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::NET;

/// A stream as any other.
trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// A peer on a byte stream or a WebSocket, that writes and reads when it is told.
pub struct Raw {
    stream: Box<dyn Stream>,
    web_socket: bool,
}

impl Raw {
    /// Connects to an address of a listener, and shakes hands if it is one of a WebSocket.
    ///
    /// # Panics
    ///
    /// If no server is there.
    pub fn new(url: &str) -> Self {
        let (scheme, host) = url.trim_end_matches('/').split_once(':').expect("an address has a scheme");
        let host = host.trim_start_matches("//");
        let mut stream = open(scheme, host).expect("a listener is there");
        let web_socket = scheme == "ws";
        if web_socket {
            let request = format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).expect("the listener reads");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("the handshake is answered");
                head.push(byte[0]);
            }
        }
        Self { stream, web_socket }
    }

    /// Says a message.
    pub fn say(&mut self, text: &str) {
        self.send(text.len(), text);
    }

    /// Announces a message of `length` bytes, and sends `text`, which need not be all of it.
    pub fn send(&mut self, length: usize, text: &str) {
        let mut message = Vec::with_capacity(text.len() + 14);
        if self.web_socket {
            message.extend_from_slice(&[0x81, 0x80 | 127]);
            message.extend_from_slice(&(length as u64).to_be_bytes());
            // A mask of zeros changes nothing.
            message.extend_from_slice(&[0; 4]);
        }
        message.extend_from_slice(text.as_bytes());
        if text.len() == length && !self.web_socket {
            message.push(b'\n');
        }
        // The listener may end the connection for its frames.
        let _ended = self.stream.write_all(&message);
    }

    /// Reads until the input ends with a text. Returns `false` if the stream ends before.
    pub fn read_to(&mut self, text: &str) -> bool {
        let (mut seen, mut room) = (Vec::new(), vec![0; 64 << 10]);
        while !seen.trim_ascii_end().ends_with(text.as_bytes()) {
            match self.stream.read(&mut room) {
                Ok(count @ 1..) => seen.extend_from_slice(&room[..count]),
                _ => return false,
            }
            let long = seen.len().saturating_sub(text.len() + 1);
            seen.drain(..long);
        }
        true
    }
}

/// A message of so many bytes that does nothing.
///
/// # Panics
///
/// If no message is so short.
pub fn noop(length: usize) -> String {
    const MESSAGE: &str = "[\"release\",0,0";
    let spaces = length.checked_sub(MESSAGE.len() + 1).expect("a message is not so short");
    format!("{MESSAGE}{}]", " ".repeat(spaces))
}

fn open(scheme: &str, host: &str) -> std::io::Result<Box<dyn Stream>> {
    let patience: Option<Duration> = Some(NET);
    #[cfg(unix)]
    if scheme == "unix" {
        let stream = std::os::unix::net::UnixStream::connect(host)?;
        stream.set_read_timeout(patience)?;
        stream.set_write_timeout(patience)?;
        return Ok(Box::new(stream));
    }
    assert!(["tcp", "ws"].contains(&scheme), "{scheme}");
    let stream = TcpStream::connect(host)?;
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    Ok(Box::new(stream))
}
