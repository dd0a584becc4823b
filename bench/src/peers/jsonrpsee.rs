//! jsonrpsee, over WebSockets.

use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine};
use jsonrpsee::client_transport::ws::{Url, WsTransportClientBuilder};
use jsonrpsee::core::client::{Client, ClientBuilder};
use jsonrpsee::core::{RpcResult, async_trait};
use jsonrpsee::proc_macros::rpc;
use jsonrpsee::server::{ServerConfig, ServerHandle, StopHandle, serve_with_graceful_shutdown, stop_channel};

use crate::peer::{self, Peer};
use crate::record::Record;
use crate::socket::Socket;

#[rpc(client, server)]
pub trait Service {
    #[method(name = "add")]
    async fn add(&self, a: u32, b: u32) -> RpcResult<u32>;

    #[method(name = "echo")]
    async fn echo(&self, record: Record) -> RpcResult<Record>;

    /// Echoes bytes, in base64.
    #[method(name = "echoBytes")]
    async fn echo_bytes(&self, bytes: String) -> RpcResult<String>;
}

struct Offered;

#[async_trait]
impl ServiceServer for Offered {
    async fn add(&self, a: u32, b: u32) -> RpcResult<u32> {
        Ok(a + b)
    }

    async fn echo(&self, record: Record) -> RpcResult<Record> {
        Ok(record)
    }

    async fn echo_bytes(&self, bytes: String) -> RpcResult<String> {
        let bytes = BASE64_STANDARD.decode(bytes).expect("base64");
        Ok(BASE64_STANDARD.encode(bytes))
    }
}

pub struct WebSocket {
    stop: StopHandle,
    /// Dropping it would stop all connections.
    _running: ServerHandle,
}

impl Default for WebSocket {
    fn default() -> Self {
        let (stop, running) = stop_channel();
        Self { stop, _running: running }
    }
}

impl Peer for WebSocket {
    type Client = Shared;

    async fn serve(&self, socket: Socket) {
        // By default there is room for fewer answers than there are calls at a time.
        let config = ServerConfig::builder().ws_only().set_message_buffer_capacity(2_048).build();
        let builder = jsonrpsee::server::Server::builder().set_config(config).to_service_builder();
        let service = builder.build(Offered.into_rpc(), self.stop.clone());
        let _ended = serve_with_graceful_shutdown(socket, service, self.stop.clone().shutdown()).await;
    }

    async fn connect(socket: Socket) -> Shared {
        let url = Url::parse("ws://localhost/").expect("a URL");
        let transport = WsTransportClientBuilder::default().build_with_stream(url, socket);
        let (sender, receiver) = transport.await.expect("a handshake");
        // 256 by default.
        let client = ClientBuilder::new().max_concurrent_requests(2_048).build_with_tokio(sender, receiver);
        Shared(Arc::new(client))
    }
}

#[derive(Clone)]
pub struct Shared(Arc<Client>);

impl peer::Client for Shared {
    type Object = ();

    async fn add(&self, a: u32, b: u32) -> u32 {
        self.0.add(a, b).await.expect("an answer")
    }

    async fn echo(&self, record: Record) -> Record {
        self.0.echo(record).await.expect("an answer")
    }

    async fn echo_bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        let text = self.0.echo_bytes(BASE64_STANDARD.encode(bytes)).await.expect("an answer");
        BASE64_STANDARD.decode(text).expect("base64")
    }
}
