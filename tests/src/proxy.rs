//! A wire that is cut: a proxy between two byte streams, which passes on bytes in pieces, and from some byte on does not.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::lab::Rng;

/// A way of cutting a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Both ends are told at once that there is no connection any more.
    Reset,
    /// Both ends read an end, and can write for a while.
    End,
    /// The end that was written to reads an end of stream, and receives nothing more; the other direction goes on.
    OneWay,
    /// Nothing more arrives in one direction, and the ends are told only after a while; the other direction goes on.
    Lost,
}

/// All ways to cut a wire.
pub const CUTS: [Cut; 4] = [Cut::Reset, Cut::End, Cut::OneWay, Cut::Lost];

/// When and how a wire is cut.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// `true` if the counted bytes are those of the client, `false` if those of the server.
    pub up: bool,
    /// The number of bytes that arrive before the cut.
    pub bytes: usize,
    /// The kind of cut.
    pub cut: Cut,
    /// The seed of the sizes of the pieces.
    pub seed: u64,
}

/// The time until both ends are told of a loss.
const UNSEEN: Duration = Duration::from_millis(5);

/// Listens for one connection, and passes it on to `server`. Returns where, and whether it was cut before it ended.
///
/// # Errors
///
/// If it cannot listen.
pub async fn proxy(server: SocketAddr, plan: Plan) -> io::Result<(SocketAddr, JoinHandle<io::Result<bool>>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let passing = tokio::spawn(async move {
        let (client, _) = listener.accept().await?;
        pass(client, TcpStream::connect(server).await?, plan).await
    });
    Ok((address, passing))
}

/// Passes bytes on between a client and a server. Returns whether it cut the connection before it ended.
///
/// # Errors
///
/// If one of them had gone before.
pub async fn pass(mut client: TcpStream, mut server: TcpStream, plan: Plan) -> io::Result<bool> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let lost = Notify::new();
    let cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = Direction { from: from_client, to: to_server, rng: Rng::for_part(plan.seed, 0) };
        let down = Direction { from: from_server, to: to_client, rng: Rng::for_part(plan.seed, 1) };
        let both =
            async { tokio::try_join!(up.carry(plan, plan.up, &lost), down.carry(plan, !plan.up, &lost)) };
        tokio::select! {
            ended = both => !matches!(ended, Ok((false, false))),
            () = async { lost.notified().await; tokio::time::sleep(UNSEEN).await } => true,
        }
    };
    if cut && plan.cut == Cut::End {
        for end in [&mut client, &mut server] {
            // It may have gone already.
            let _gone = end.shutdown().await;
        }
        let (client, server) = (discard(client), discard(server));
        tokio::join!(client, server);
    } else if cut {
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    Ok(cut)
}

/// Reads to the end, however it comes.
async fn discard(mut from: impl AsyncRead + Unpin) {
    let mut bytes = [0; 1 << 10];
    while !matches!(from.read(&mut bytes).await, Ok(0) | Err(_)) {}
}

struct Direction<R, W> {
    from: R,
    to: W,
    rng: Rng,
}

/// Both directions are cut.
struct Both;

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Direction<R, W> {
    /// Passes bytes on to the end, or until it `is_cut`. Returns `true` if it was.
    async fn carry(mut self, plan: Plan, is_cut: bool, lost: &Notify) -> Result<bool, Both> {
        let mut left = if is_cut { plan.bytes } else { usize::MAX };
        let mut bytes = [0; 16 << 10];
        while left > 0 {
            let piece = self.rng.magnitude(bytes.len()).max(1).min(left);
            // An end that has failed has ended.
            let read = self.from.read(&mut bytes[..piece]).await.unwrap_or_default();
            if read == 0 {
                let _gone = self.to.shutdown().await;
                return Ok(false);
            }
            left -= read;
            if self.to.write_all(&bytes[..read]).await.is_err() {
                break;
            }
            // So that it arrives as a piece.
            tokio::task::yield_now().await;
        }
        if left > 0 {
            discard(self.from).await;
            return Ok(false);
        }
        match plan.cut {
            Cut::Reset | Cut::End => return Err(Both),
            Cut::OneWay => {
                let _gone = self.to.shutdown().await;
            }
            Cut::Lost => lost.notify_one(),
        }
        discard(self.from).await;
        Ok(true)
    }
}
