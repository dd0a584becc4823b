//! Addresses to connect to and to listen on.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

use super::public::is_public;
use super::streams::Permit;
use crate::error::{Error, ErrorKind, Fault};
use crate::remote::Remote;

/// An address to connect to, or to listen on: `ws://host:port/path`, `wss://host:port/path`, `http://host:port/path`,
/// `https://host:port/path`, `tcp://host:port` or `unix:/path`.
///
/// On TCP and Unix sockets each frame is a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A TCP connection of lines, to `host:port`.
    Tcp(String),
    /// A WebSocket.
    Ws {
        /// `true` if by TLS.
        tls: bool,
        /// `host:port`.
        host: String,
        /// The path, with its leading slash, and the query.
        path: String,
    },
    /// A Unix socket of lines.
    Unix(PathBuf),
    /// HTTP batches.
    Http {
        /// `true` if by TLS.
        tls: bool,
        /// `host:port`.
        host: String,
        /// The path, with its leading slash, and the query.
        path: String,
    },
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let unknown = || {
            let message = format!(
                "`{url}` is not an address: write ws://host:port, wss://host:port, http://host:port, https://host:port, \
                 tcp://host:port or unix:/path"
            );
            Error::new(ErrorKind::Connect, message)
                .with_fault(Fault::Here)
                .with_public_message("not an address")
        };
        let (scheme, rest) = url.split_once(':').ok_or_else(unknown)?;
        // As in every URL, the case of the scheme does not count.
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "unix" {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return if path.is_empty() { Err(unknown()) } else { Ok(Address::Unix(path.into())) };
        }
        let rest = rest.strip_prefix("//").ok_or_else(unknown)?;
        let (host, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        // A colon within brackets belongs to the address.
        let colon = host.rfind(':').filter(|at| host.find(']').is_none_or(|bracket| bracket < *at));
        let (name, port) = colon.map_or((host, None), |at| (&host[..at], Some(&host[at + 1..])));
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_name = !bare.unwrap_or(name).is_empty()
            && (bare.is_some() || !name.contains([':', '[', ']', '@', '#', ' ']));
        let with_port = |default: Option<&str>| match port.or(default) {
            Some(port) if is_name && port.parse::<u16>().is_ok() => Ok(format!("{name}:{port}")),
            _ => Err(unknown()),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        match scheme.as_str() {
            "tcp" => Ok(Address::Tcp(with_port(None)?)),
            "ws" => Ok(Address::Ws { tls: false, host: with_port(Some("80"))?, path }),
            "wss" => Ok(Address::Ws { tls: true, host: with_port(Some("443"))?, path }),
            "http" => Ok(Address::Http { tls: false, host: with_port(Some("80"))?, path }),
            "https" => Ok(Address::Http { tls: true, host: with_port(Some("443"))?, path }),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host) => write!(f, "tcp://{host}"),
            Address::Ws { tls, host, path } => {
                write!(f, "{}://{host}{path}", if *tls { "wss" } else { "ws" })
            }
            Address::Http { tls, host, path } => {
                write!(f, "{}://{host}{path}", if *tls { "https" } else { "http" })
            }
            Address::Unix(path) => {
                // Two slashes in front would be read as those of the address.
                let slashes = if path.to_string_lossy().starts_with("//") { "//" } else { "" };
                write!(f, "unix:{slashes}{}", path.display())
            }
        }
    }
}

/// A byte stream of any kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How the error ends if an address is not public and has to be.
pub(crate) const NOT_PUBLIC: &str = "it leads to no public address";

/// Returns the socket of an address, and the party that it leads to. With `public` no other is connected to.
pub(crate) async fn dial(address: &Address, public: bool) -> io::Result<(Box<dyn Io>, Remote)> {
    match address {
        Address::Tcp(host) | Address::Ws { host, .. } | Address::Http { host, .. } => {
            let stream = if public {
                // What is connected to is what was looked at: a name may lead elsewhere the next time.
                let found = tokio::net::lookup_host(host).await?;
                let public: Vec<SocketAddr> = found.filter(|found| is_public(found.ip())).collect();
                if public.is_empty() {
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, NOT_PUBLIC));
                }
                TcpStream::connect(&public[..]).await?
            } else {
                TcpStream::connect(host).await?
            };
            // Frames are small and wait for each other: none should wait to be joined by more.
            stream.set_nodelay(true)?;
            let remote = stream.peer_addr().map_or(Remote::Own, Remote::from);
            Ok((Box::new(stream), remote))
        }
        #[cfg(unix)]
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await?;
            let remote = user_of(&stream).unwrap_or_default();
            Ok((Box::new(stream), remote))
        }
        #[cfg(not(unix))]
        Address::Unix(_) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this platform has no Unix sockets: use tcp:// or ws://",
        )),
    }
}

/// Returns the user at the other end, if the system tells.
#[cfg(unix)]
fn user_of(stream: &UnixStream) -> Option<Remote> {
    stream.peer_cred().ok().map(|user| Remote::User(user.uid()))
}

/// A stream that has been accepted.
pub(crate) struct Accepted {
    pub(crate) stream: Box<dyn Io>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) remote: Remote,
}

pin_project_lite::pin_project! {
    /// A stream with the permit to have it open.
    struct Permitted<S> {
        #[pin]
        stream: S,
        permit: Option<Permit>,
    }
}

impl<S: AsyncRead> AsyncRead for Permitted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_read(cx, to)
    }
}

impl<S: AsyncWrite> AsyncWrite for Permitted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_shutdown(cx)
    }
}

/// A bound socket.
pub(crate) enum Bound {
    Tcp(TcpListener),
    /// A Unix socket with its file: path, device and inode.
    #[cfg(unix)]
    Unix(UnixListener, PathBuf, Option<(u64, u64)>),
}

/// The device and inode of the file at `path`.
#[cfg(unix)]
fn file_at(path: &std::path::Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Returns `true` if the file at `path` is a socket without a listener. A listener with a full queue counts as one.
#[cfg(unix)]
async fn is_abandoned(path: &std::path::Path) -> io::Result<bool> {
    use std::os::unix::fs::FileTypeExt as _;
    if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    Ok(UnixStream::connect(path).await.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

impl Bound {
    /// Binds the socket of an address. A socket file without a listener is replaced.
    pub(crate) async fn new(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(host) | Address::Ws { host, .. } | Address::Http { host, .. } => {
                TcpListener::bind(host).await.map(Bound::Tcp)
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                let listener = match UnixListener::bind(path) {
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                        if !is_abandoned(path).await? {
                            return Err(error);
                        }
                        std::fs::remove_file(path)?;
                        UnixListener::bind(path)?
                    }
                    bound => bound?,
                };
                let file = file_at(path).ok();
                Ok(Bound::Unix(listener, path.clone(), file))
            }
            #[cfg(not(unix))]
            Address::Unix(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this platform has no Unix sockets: use tcp:// or ws://",
            )),
        }
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Bound::Tcp(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Bound::Unix(..) => None,
        }
    }

    /// Accepts a stream, which takes the permit.
    pub(crate) async fn accept(&self, permit: &mut Option<Permit>) -> io::Result<Accepted> {
        match self {
            Bound::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // It fails where the peer has gone, which the stream tells as well.
                let _gone = stream.set_nodelay(true);
                let stream = Box::new(Permitted { stream, permit: permit.take() });
                Ok(Accepted { stream, peer: Some(peer), remote: peer.into() })
            }
            #[cfg(unix)]
            Bound::Unix(listener, ..) => {
                let (stream, _) = listener.accept().await?;
                let remote = user_of(&stream).unwrap_or(Remote::Unknown);
                Ok(Accepted {
                    stream: Box::new(Permitted { stream, permit: permit.take() }),
                    peer: None,
                    remote,
                })
            }
        }
    }
}

#[cfg(unix)]
impl Drop for Bound {
    fn drop(&mut self) {
        let Bound::Unix(_, path, Some(file)) = self else { return };
        // Another listener may have taken over the path; its socket stays.
        if file_at(path).is_ok_and(|now| now == *file) {
            // The file may be gone already.
            let _gone = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (url, written) in [
            ("tcp://127.0.0.1:5004", "tcp://127.0.0.1:5004"),
            ("tcp://[::1]:5004", "tcp://[::1]:5004"),
            ("ws://localhost:80/a?b=c", "ws://localhost:80/a?b=c"),
            ("ws://localhost", "ws://localhost:80/"),
            ("wss://example.org/rpc", "wss://example.org:443/rpc"),
            ("http://localhost/a?b", "http://localhost:80/a?b"),
            ("https://example.org", "https://example.org:443/"),
            ("ws://[::1]?x", "ws://[::1]:80/?x"),
            ("WS://localhost:80/A", "ws://localhost:80/A"),
            ("TCP://127.0.0.1:5004", "tcp://127.0.0.1:5004"),
            ("Unix:/Run/x", "unix:/Run/x"),
            ("unix:/run/x", "unix:/run/x"),
            ("unix:///run/x", "unix:/run/x"),
            ("unix:relative", "unix:relative"),
            ("unix:////run/x", "unix:////run/x"),
        ] {
            let address: Address = url.parse().unwrap();
            assert_eq!(address.to_string(), written, "{url}");
            assert_eq!(written.parse::<Address>().unwrap(), address, "{url}");
        }
        for url in [
            "",
            "localhost:80",
            "http://",
            "ftp://x",
            "tcp://x",
            "tcp://:80",
            "ws://",
            "unix:",
            "tcp://x:99999",
            "ws://x:99999",
            "ws://:80",
            "ws://a:b:1",
            "ws://[]:1",
            "ws://user@x",
            "ws://x:",
        ] {
            assert!(url.parse::<Address>().is_err(), "{url}");
        }
    }
}
