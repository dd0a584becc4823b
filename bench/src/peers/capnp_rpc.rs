//! capnp-rpc. How its generated code is made is said in `schema.capnp`.
//!
//! It stays in one thread, and its runtime has only one (see [`super::has_one_thread`]), so that the wrappers that the
//! other peers need cost a look at the thread's number.

use std::rc::Rc;
use std::sync::Arc;

use capnp::Error;
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{RpcSystem, twoparty};
use send_wrapper::SendWrapper;
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

use crate::peer::{Arrived, CHUNK, Client, Peer, call_all};
use crate::record::{Address, Record};
use crate::schema_capnp::{byte_sink, function, item, number_sink, record, service};
use crate::socket::Socket;

struct Server;

impl service::Server for Server {
    async fn add(
        self: Rc<Self>,
        params: service::AddParams,
        mut results: service::AddResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        results.get().set_sum(params.get_a() + params.get_b());
        Ok(())
    }

    async fn echo(
        self: Rc<Self>,
        params: service::EchoParams,
        mut results: service::EchoResults,
    ) -> Result<(), Error> {
        // A handler that has use for it would have it in a type of its own, as those of the other peers have.
        let record = read(params.get()?.get_record()?)?;
        write(&record, results.get().init_record());
        Ok(())
    }

    async fn echo_bytes(
        self: Rc<Self>,
        params: service::EchoBytesParams,
        mut results: service::EchoBytesResults,
    ) -> Result<(), Error> {
        let bytes = params.get()?.get_bytes()?.to_vec();
        results.get().set_bytes(&bytes);
        Ok(())
    }

    async fn call_back(
        self: Rc<Self>,
        params: service::CallBackParams,
        mut results: service::CallBackResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        let increment = params.get_increment()?;
        let sum = call_all(params.get_calls(), params.get_in_flight(), |number| {
            let mut request = increment.call_request();
            request.get().set_value(number);
            let answer = request.send().promise;
            async move { answer.await.and_then(|it| Ok(it.get()?.get_value())).expect("an answer") }
        });
        results.get().set_sum(sum.await);
        Ok(())
    }

    async fn object(
        self: Rc<Self>,
        params: service::ObjectParams,
        mut results: service::ObjectResults,
    ) -> Result<(), Error> {
        results.get().set_item(capnp_rpc::new_client(Numbered(params.get()?.get_id())));
        Ok(())
    }

    async fn send_bytes(
        self: Rc<Self>,
        params: service::SendBytesParams,
        _: service::SendBytesResults,
    ) -> Result<(), Error> {
        let sink = params.get()?.get_sink()?;
        for number in 0_u32.. {
            let mut request = sink.write_request();
            request.get().init_bytes(CHUNK as u32).fill(number as u8);
            request.send().await?;
        }
        Ok(())
    }

    async fn send_numbers(
        self: Rc<Self>,
        params: service::SendNumbersParams,
        _: service::SendNumbersResults,
    ) -> Result<(), Error> {
        let sink = params.get()?.get_sink()?;
        for number in 0.. {
            let mut request = sink.write_request();
            request.get().set_number(number);
            request.send().await?;
        }
        Ok(())
    }
}

/// The reader of a stream, which is called with each chunk. The methods are declared as streaming.
struct Sink(Arc<Arrived>);

impl byte_sink::Server for Sink {
    async fn write(self: Rc<Self>, params: byte_sink::WriteParams) -> Result<(), Error> {
        self.0.chunk(params.get()?.get_bytes()?);
        Ok(())
    }
}

impl number_sink::Server for Sink {
    async fn write(self: Rc<Self>, params: number_sink::WriteParams) -> Result<(), Error> {
        self.0.number(params.get()?.get_number());
        Ok(())
    }
}

struct Numbered(u32);

impl item::Server for Numbered {
    async fn id(self: Rc<Self>, _: item::IdParams, mut results: item::IdResults) -> Result<(), Error> {
        results.get().set_id(self.0);
        Ok(())
    }

    async fn next(self: Rc<Self>, _: item::NextParams, mut results: item::NextResults) -> Result<(), Error> {
        results.get().set_item(capnp_rpc::new_client(Numbered(self.0 + 1)));
        Ok(())
    }
}

struct Increment;

impl function::Server for Increment {
    async fn call(
        self: Rc<Self>,
        params: function::CallParams,
        mut results: function::CallResults,
    ) -> Result<(), Error> {
        results.get().set_value(params.get()?.get_value() + 1);
        Ok(())
    }
}

#[derive(Default)]
pub struct TwoParty;

impl Peer for TwoParty {
    type Client = SendWrapper<service::Client>;

    fn serve(&self, socket: Socket) -> impl Future<Output = ()> + Send {
        SendWrapper::new(async move {
            let service: service::Client = capnp_rpc::new_client(Server);
            let _ended = RpcSystem::new(network(socket, Side::Server), Some(service.client)).await;
        })
    }

    async fn connect(socket: Socket) -> SendWrapper<service::Client> {
        let mut system = RpcSystem::new(network(socket, Side::Client), None);
        let client = system.bootstrap(Side::Server);
        tokio::task::spawn_local(system);
        SendWrapper::new(client)
    }

    async fn local() -> SendWrapper<service::Client> {
        SendWrapper::new(capnp_rpc::new_client(Server))
    }
}

fn network(socket: Socket, side: Side) -> Box<dyn capnp_rpc::VatNetwork<Side>> {
    let (input, output) = tokio::io::split(socket);
    let input = futures::io::BufReader::new(input.compat());
    let output = futures::io::BufWriter::new(output.compat_write());
    Box::new(twoparty::VatNetwork::new(input, output, side, Default::default()))
}

impl Client for SendWrapper<service::Client> {
    type Object = SendWrapper<item::Client>;

    fn add(&self, a: u32, b: u32) -> impl Future<Output = u32> + Send {
        SendWrapper::new(async move {
            let mut request = self.add_request();
            request.get().set_a(a);
            request.get().set_b(b);
            let answer = request.send().promise.await.expect("an answer");
            answer.get().expect("a sum").get_sum()
        })
    }

    fn echo(&self, it: Record) -> impl Future<Output = Record> + Send {
        SendWrapper::new(async move {
            let mut request = self.echo_request();
            write(&it, request.get().init_record());
            let answer = request.send().promise.await.expect("an answer");
            answer.get().and_then(|it| read(it.get_record()?)).expect("a record")
        })
    }

    fn echo_bytes(&self, bytes: Vec<u8>) -> impl Future<Output = Vec<u8>> + Send {
        SendWrapper::new(async move {
            let mut request = self.echo_bytes_request();
            request.get().set_bytes(&bytes);
            let answer = request.send().promise.await.expect("an answer");
            answer.get().and_then(|it| it.get_bytes()).expect("bytes").to_vec()
        })
    }

    fn call_back(&self, calls: u32, in_flight: u32) -> impl Future<Output = u64> + Send {
        SendWrapper::new(async move {
            let mut request = self.call_back_request();
            request.get().set_increment(capnp_rpc::new_client(Increment));
            request.get().set_calls(calls);
            request.get().set_in_flight(in_flight);
            let answer = request.send().promise.await.expect("an answer");
            answer.get().expect("a sum").get_sum()
        })
    }

    fn object(&self, id: u32) -> impl Future<Output = SendWrapper<item::Client>> + Send {
        SendWrapper::new(async move {
            let mut request = self.object_request();
            request.get().set_id(id);
            let answer = request.send().promise.await.expect("an answer");
            SendWrapper::new(answer.get().and_then(|it| it.get_item()).expect("an item"))
        })
    }

    fn id_of(object: &SendWrapper<item::Client>) -> impl Future<Output = u32> + Send {
        SendWrapper::new(async move { id_of(object).await })
    }

    fn read_bytes(&self, arrived: Arc<Arrived>) -> impl Future<Output = ()> + Send {
        SendWrapper::new(async move {
            let mut request = self.send_bytes_request();
            request.get().set_sink(capnp_rpc::new_client(Sink(arrived)));
            request.send().promise.await.expect("it does not end");
        })
    }

    fn read_numbers(&self, arrived: Arc<Arrived>) -> impl Future<Output = ()> + Send {
        SendWrapper::new(async move {
            let mut request = self.send_numbers_request();
            request.get().set_sink(capnp_rpc::new_client(Sink(arrived)));
            request.send().promise.await.expect("it does not end");
        })
    }

    fn chain(&self, steps: u32) -> impl Future<Output = u32> + Send {
        SendWrapper::new(async move {
            let mut request = self.object_request();
            request.get().set_id(2);
            let mut item = request.send().pipeline.get_item();
            for _ in 2..steps {
                item = item.next_request().send().pipeline.get_item();
            }
            id_of(&item).await
        })
    }
}

async fn id_of(item: &item::Client) -> u32 {
    let answer = item.id_request().send().promise.await.expect("an answer");
    answer.get().expect("an id").get_id()
}

fn write(it: &Record, mut to: record::Builder<'_>) {
    to.set_id(it.id);
    to.set_name(&it.name);
    to.set_active(it.active);
    to.set_balance(it.balance);
    let mut tags = to.reborrow().init_tags(it.tags.len() as u32);
    for (index, tag) in it.tags.iter().enumerate() {
        tags.set(index as u32, tag);
    }
    let mut readings = to.reborrow().init_readings(it.readings.len() as u32);
    for (index, reading) in it.readings.iter().enumerate() {
        readings.set(index as u32, *reading);
    }
    let mut addresses = to.reborrow().init_addresses(it.addresses.len() as u32);
    for (index, address) in it.addresses.iter().enumerate() {
        let mut to = addresses.reborrow().get(index as u32);
        to.set_street(&address.street);
        to.set_city(&address.city);
        to.set_zip(address.zip);
    }
    to.set_note(&it.note);
}

fn read(from: record::Reader<'_>) -> Result<Record, Error> {
    let tags = from.get_tags()?.iter().map(|tag| Ok(tag?.to_string()?));
    let addresses = from.get_addresses()?.iter().map(|address| {
        Ok(Address {
            street: address.get_street()?.to_string()?,
            city: address.get_city()?.to_string()?,
            zip: address.get_zip(),
        })
    });
    Ok(Record {
        id: from.get_id(),
        name: from.get_name()?.to_string()?,
        active: from.get_active(),
        balance: from.get_balance(),
        tags: tags.collect::<Result<_, Error>>()?,
        readings: from.get_readings()?.iter().collect(),
        addresses: addresses.collect::<Result<_, Error>>()?,
        note: from.get_note()?.to_string()?,
    })
}
