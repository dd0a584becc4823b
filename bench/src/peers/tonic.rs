//! tonic: gRPC. What `protoc` would make of a schema is written by hand (the messages) and by `build.rs`.

use std::sync::{Arc, Mutex};

use futures::stream::{self, BoxStream, StreamExt};
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Response, Status};

use crate::peer::{Arrived, Client, Peer, chunk};
use crate::record;
use crate::socket::Socket;

// The generated code does not follow this workspace's lints.
#[allow(clippy::all, missing_docs)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/bench.Service.rs"));
}

use generated::service_client::ServiceClient;
use generated::service_server::{Service, ServiceServer};

/// The limit on a message, with room for 1 MiB and its envelope. tonic's default is 4 MiB.
const LARGEST: usize = 16 << 20;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Summands {
    #[prost(uint32, tag = "1")]
    a: u32,
    #[prost(uint32, tag = "2")]
    b: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Sum {
    #[prost(uint32, tag = "1")]
    sum: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Blob {
    #[prost(bytes = "vec", tag = "1")]
    data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Nothing {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(bool, tag = "3")]
    active: bool,
    #[prost(double, tag = "4")]
    balance: f64,
    #[prost(string, repeated, tag = "5")]
    tags: Vec<String>,
    #[prost(uint32, repeated, tag = "6")]
    readings: Vec<u32>,
    #[prost(message, repeated, tag = "7")]
    addresses: Vec<Address>,
    #[prost(string, tag = "8")]
    note: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Address {
    #[prost(string, tag = "1")]
    street: String,
    #[prost(string, tag = "2")]
    city: String,
    #[prost(uint32, tag = "3")]
    zip: u32,
}

struct Offered;

#[tonic::async_trait]
impl Service for Offered {
    async fn add(&self, request: Request<Summands>) -> Result<Response<Sum>, Status> {
        let Summands { a, b } = request.into_inner();
        Ok(Response::new(Sum { sum: a + b }))
    }

    async fn echo(&self, request: Request<Record>) -> Result<Response<Record>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn echo_bytes(&self, request: Request<Blob>) -> Result<Response<Blob>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    type SendBytesStream = BoxStream<'static, Result<Blob, Status>>;

    async fn send_bytes(&self, _: Request<Nothing>) -> Result<Response<Self::SendBytesStream>, Status> {
        let chunks = stream::iter((0..).map(|number| Ok(Blob { data: chunk(number) })));
        Ok(Response::new(chunks.boxed()))
    }

    type SendNumbersStream = BoxStream<'static, Result<Sum, Status>>;

    async fn send_numbers(&self, _: Request<Nothing>) -> Result<Response<Self::SendNumbersStream>, Status> {
        let numbers = stream::iter((0..).map(|sum| Ok(Sum { sum })));
        Ok(Response::new(numbers.boxed()))
    }
}

#[derive(Default)]
pub struct Http2;

impl Peer for Http2 {
    type Client = ServiceClient<Channel>;

    async fn serve(&self, socket: Socket) {
        let service =
            ServiceServer::new(Offered).max_decoding_message_size(LARGEST).max_encoding_message_size(LARGEST);
        let one = stream::iter([Ok::<_, std::io::Error>(socket)]);
        let _ended = tonic::transport::Server::builder().add_service(service).serve_with_incoming(one).await;
    }

    async fn connect(socket: Socket) -> ServiceClient<Channel> {
        // There is one connection: it is not opened again.
        let socket = Mutex::new(Some(socket));
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.lock().expect("nothing panics").take();
            async move { socket.map(TokioIo::new).ok_or_else(|| std::io::Error::other("it was opened already")) }
        });
        let channel = Endpoint::from_static("http://localhost").connect_with_connector(connector).await;
        ServiceClient::new(channel.expect("a handshake"))
            .max_decoding_message_size(LARGEST)
            .max_encoding_message_size(LARGEST)
    }
}

impl Client for ServiceClient<Channel> {
    type Object = ();

    async fn add(&self, a: u32, b: u32) -> u32 {
        Self::add(&mut self.clone(), Summands { a, b }).await.expect("an answer").into_inner().sum
    }

    async fn echo(&self, record: record::Record) -> record::Record {
        Self::echo(&mut self.clone(), Record::from(record)).await.expect("an answer").into_inner().into()
    }

    async fn echo_bytes(&self, data: Vec<u8>) -> Vec<u8> {
        Self::echo_bytes(&mut self.clone(), Blob { data }).await.expect("an answer").into_inner().data
    }

    async fn read_bytes(&self, arrived: Arc<Arrived>) {
        let mut chunks = self.clone().send_bytes(Nothing {}).await.expect("a stream").into_inner();
        while let Some(chunk) = chunks.message().await.expect("a chunk") {
            arrived.chunk(&chunk.data);
        }
    }

    async fn read_numbers(&self, arrived: Arc<Arrived>) {
        let mut numbers = self.clone().send_numbers(Nothing {}).await.expect("a stream").into_inner();
        while let Some(number) = numbers.message().await.expect("a number") {
            arrived.number(number.sum);
        }
    }
}

impl From<record::Record> for Record {
    fn from(it: record::Record) -> Self {
        Self {
            id: it.id,
            name: it.name,
            active: it.active,
            balance: it.balance,
            tags: it.tags,
            readings: it.readings,
            addresses: it
                .addresses
                .into_iter()
                .map(|it| Address { street: it.street, city: it.city, zip: it.zip })
                .collect(),
            note: it.note,
        }
    }
}

impl From<Record> for record::Record {
    fn from(it: Record) -> Self {
        Self {
            id: it.id,
            name: it.name,
            active: it.active,
            balance: it.balance,
            tags: it.tags,
            readings: it.readings,
            addresses: it
                .addresses
                .into_iter()
                .map(|it| record::Address { street: it.street, city: it.city, zip: it.zip })
                .collect(),
            note: it.note,
        }
    }
}
