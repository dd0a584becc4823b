//! tarpc, in both of its usual formats.

use futures::StreamExt;
use serde_bytes::ByteBuf;
use tarpc::context::{self, Context};
use tarpc::serde_transport;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::{Bincode, Json};
use tarpc::tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::peer::{self, Peer};
use crate::record::Record;
use crate::socket::Socket;

#[tarpc::service]
pub trait Service {
    async fn add(a: u32, b: u32) -> u32;
    async fn echo(record: Record) -> Record;
    async fn echo_bytes(bytes: ByteBuf) -> ByteBuf;
}

#[derive(Clone)]
struct Server;

impl Service for Server {
    async fn add(self, _: Context, a: u32, b: u32) -> u32 {
        a + b
    }

    async fn echo(self, _: Context, record: Record) -> Record {
        record
    }

    async fn echo_bytes(self, _: Context, bytes: ByteBuf) -> ByteBuf {
        bytes
    }
}

#[derive(Default)]
pub struct InBincode;

#[derive(Default)]
pub struct InJson;

macro_rules! peer {
    ($peer:ident, $format:ident) => {
        impl Peer for $peer {
            type Client = ServiceClient;

            async fn serve(&self, socket: Socket) {
                let transport = serde_transport::new(framed(socket), $format::default());
                let channel = BaseChannel::with_defaults(transport);
                let spawn = async |handler| drop(tokio::spawn(handler));
                channel.execute(Server.serve()).for_each(spawn).await;
            }

            async fn connect(socket: Socket) -> ServiceClient {
                let transport = serde_transport::new(framed(socket), $format::default());
                // 1,000 by default, and a scenario has 1,024 at a time.
                let mut config = tarpc::client::Config::default();
                config.max_in_flight_requests = 2_048;
                ServiceClient::new(config, transport).spawn()
            }
        }
    };
}

peer!(InBincode, Bincode);
peer!(InJson, Json);

fn framed(socket: Socket) -> Framed<Socket, LengthDelimitedCodec> {
    Framed::new(socket, LengthDelimitedCodec::new())
}

impl peer::Client for ServiceClient {
    type Object = ();

    async fn add(&self, a: u32, b: u32) -> u32 {
        self.add(context::current(), a, b).await.expect("an answer")
    }

    async fn echo(&self, record: Record) -> Record {
        self.echo(context::current(), record).await.expect("an answer")
    }

    async fn echo_bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        let bytes = ByteBuf::from(bytes);
        self.echo_bytes(context::current(), bytes).await.expect("an answer").into_vec()
    }
}
