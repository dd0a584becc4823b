//! remoc, with its remote traits and functions, in its own binary format.

use std::sync::Arc;

use bytes::Bytes;
use remoc::prelude::*;
use remoc::rch::{base, bin, mpsc};
use remoc::rfn::{self, RFn};
use remoc::rtc::CallError;
use serde_bytes::ByteBuf;

use crate::peer::{self, Arrived, Peer, call_all, chunk};
use crate::record::Record;
use crate::socket::Socket;

type Function = RFn<(u32,), Result<u32, rfn::CallError>>;

#[remoc::rtc::remote]
pub trait Service {
    async fn add(&self, a: u32, b: u32) -> Result<u32, CallError>;
    async fn echo(&self, record: Record) -> Result<Record, CallError>;
    async fn echo_bytes(&self, bytes: ByteBuf) -> Result<ByteBuf, CallError>;
    async fn call_back(&self, increment: Function, calls: u32, in_flight: u32) -> Result<u64, CallError>;
    async fn object(&self, id: u32) -> Result<ItemClient, CallError>;
    async fn send_bytes(&self) -> Result<bin::Receiver, CallError>;
    async fn send_numbers(&self) -> Result<mpsc::Receiver<u32>, CallError>;
}

#[remoc::rtc::remote]
pub trait Item {
    async fn id(&self) -> Result<u32, CallError>;
}

struct Offered;

impl Service for Offered {
    async fn add(&self, a: u32, b: u32) -> Result<u32, CallError> {
        Ok(a + b)
    }

    async fn echo(&self, record: Record) -> Result<Record, CallError> {
        Ok(record)
    }

    async fn echo_bytes(&self, bytes: ByteBuf) -> Result<ByteBuf, CallError> {
        Ok(bytes)
    }

    async fn call_back(&self, increment: Function, calls: u32, in_flight: u32) -> Result<u64, CallError> {
        Ok(call_all(calls, in_flight, async |number| increment.call(number).await.expect("an answer")).await)
    }

    async fn object(&self, id: u32) -> Result<ItemClient, CallError> {
        let (server, client) = ItemServerShared::new(Arc::new(Numbered(id)));
        tokio::spawn(server.serve());
        Ok(client)
    }

    async fn send_bytes(&self) -> Result<bin::Receiver, CallError> {
        let (mut sender, receiver) = bin::channel();
        tokio::spawn(async move {
            let sender = sender.get().await.expect("a channel");
            for number in 0.. {
                if sender.send(chunk(number).into()).await.is_err() {
                    break;
                }
            }
        });
        Ok(receiver)
    }

    async fn send_numbers(&self) -> Result<mpsc::Receiver<u32>, CallError> {
        let (sender, receiver) = mpsc::channel();
        tokio::spawn(async move {
            for number in 0.. {
                if sender.send(number).await.is_err() {
                    break;
                }
            }
        });
        Ok(receiver)
    }
}

struct Numbered(u32);

impl Item for Numbered {
    async fn id(&self) -> Result<u32, CallError> {
        Ok(self.0)
    }
}

#[derive(Default)]
pub struct Chmux;

impl Peer for Chmux {
    type Client = ServiceClient;

    async fn serve(&self, socket: Socket) {
        let (input, output) = tokio::io::split(socket);
        let connect = remoc::Connect::io::<_, _, ServiceClient, (), remoc::codec::Default>;
        let (connection, mut sender, _) =
            connect(remoc::Cfg::default(), input, output).await.expect("a handshake");
        tokio::spawn(connection);
        let (server, client) = ServiceServerShared::new(Arc::new(Offered));
        sender.send(client).await.expect("the connection lasts");
        let _ended = server.serve().await;
    }

    async fn connect(socket: Socket) -> ServiceClient {
        let (input, output) = tokio::io::split(socket);
        let connect = remoc::Connect::io::<_, _, (), ServiceClient, remoc::codec::Default>;
        let (connection, _, mut receiver): (_, _, base::Receiver<ServiceClient>) =
            connect(remoc::Cfg::default(), input, output).await.expect("a handshake");
        tokio::spawn(connection);
        receiver.recv().await.expect("the connection lasts").expect("a client")
    }
}

impl peer::Client for ServiceClient {
    type Object = ItemClient;

    async fn add(&self, a: u32, b: u32) -> u32 {
        Service::add(self, a, b).await.expect("an answer")
    }

    async fn echo(&self, record: Record) -> Record {
        Service::echo(self, record).await.expect("an answer")
    }

    async fn echo_bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        Service::echo_bytes(self, ByteBuf::from(bytes)).await.expect("an answer").into_vec()
    }

    async fn call_back(&self, calls: u32, in_flight: u32) -> u64 {
        let (increment, provider) = RFn::provided_1(async |value: u32| Ok(value + 1));
        // 32 by default.
        provider.set_max_concurrency(in_flight as usize);
        Service::call_back(self, increment, calls, in_flight).await.expect("an answer")
    }

    async fn object(&self, id: u32) -> ItemClient {
        Service::object(self, id).await.expect("an answer")
    }

    async fn id_of(object: &ItemClient) -> u32 {
        object.id().await.expect("an answer")
    }

    async fn read_bytes(&self, arrived: Arc<Arrived>) {
        let mut chunks = Service::send_bytes(self).await.expect("a stream");
        let chunks = chunks.get().await.expect("a channel");
        while let Some(chunk) = chunks.recv().await.expect("a chunk") {
            arrived.chunk(&Bytes::from(chunk));
        }
    }

    async fn read_numbers(&self, arrived: Arc<Arrived>) {
        let mut numbers = Service::send_numbers(self).await.expect("a stream");
        while let Some(number) = numbers.recv().await.expect("a number") {
            arrived.number(number);
        }
    }
}
