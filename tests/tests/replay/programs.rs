//! Recorded client programs, written anew with typed clients.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use capnode::value::{Request, Response};
use capnode::{Bytes, CallError, Client, Connection, Element, Error, Headers, Reader, Value};
use serde_json::json;

use crate::case::Observations;
use capnode_tests::recordings::objects::{
    CallerClient, FunctionsClient, ListsClient, MembersClient, Named, Thrown, TourClient,
};
use capnode_tests::recordings::streams::{BODY, StreamsClient, WebClient, all, hello_blob, text};

fn failed(error: CallError<Thrown>) -> Error {
    Error::rejected(error.to_string())
}

pub async fn simple_calls(connection: Connection, saw: Observations) -> Result<(), Error> {
    let tour: TourClient = connection.index();
    saw.value(tour.transform("beep").await?);
    saw.value(tour.add(1, 2).await?);
    tour.nothing().await?;
    saw.nothing();
    // The method takes two arguments here, and none is given.
    let none: Vec<u32> = tour.cap().invoke("args", ()).await?;
    saw.value(none);
    Ok(())
}

pub async fn chain(connection: Connection, saw: Observations) -> Result<(), Error> {
    let tour: TourClient = connection.index();
    saw.value(tour.authenticate("tok-1").pipeline().profile().pipeline().name().await?);
    let session = tour.authenticate("tok-1").pipeline();
    let (upper, token) = (session.profile().pipeline().upper(), session.token());
    let (upper, token) = tokio::join!(upper.into_future(), token.into_future());
    saw.value(upper?);
    saw.value(token?);
    Ok(())
}

pub async fn counter(connection: Connection, saw: Observations) -> Result<(), Error> {
    let tour: TourClient = connection.index();
    let counter = tour.counter(0).await?;
    saw.stub();
    // A missing argument is not the same as none to JavaScript.
    saw.value(counter.cap().invoke::<u64>("next", ()).await?);
    saw.value(counter.cap().invoke::<u64>("next", ()).await?);
    counter.reset().await?;
    saw.nothing();
    saw.value(counter.next(Some(5)).await?);
    saw.value(counter.value().await?);
    Ok(())
}

pub async fn functions(connection: Connection, saw: Observations) -> Result<(), Error> {
    let functions: FunctionsClient = connection.index();
    let function = functions.function().await?;
    saw.stub();
    saw.value(function.call("arg".into()).await?);
    saw.value(function.call(2.into()).await?);
    drop(function);
    let function = functions.function().pipeline_cap();
    saw.value(function.apply::<String>(("arg",)).await?);
    drop(function);
    let obj = functions.obj().await?;
    saw.value(json!({"label": obj.label, "hello": {"js": "stub"}, "inner": {"c": {"js": "stub"}}}));
    saw.value(obj.hello.call("n".to_owned()).await?);
    saw.value(obj.inner.c.cap().invoke::<u64>("next", ()).await?);
    Ok(())
}

pub async fn members(connection: Connection, saw: Observations) -> Result<(), Error> {
    let members: MembersClient = connection.index();
    saw.value(members.prop().await?);
    saw.value(members.nested().await?);
    let a = members.cap().at("nested").at("a");
    saw.value(a.get::<(u32, Value)>("b").await?);
    saw.error(a.at("b").at("1").get::<String>("c").await);
    members.cap().get::<()>("missing").await?;
    saw.nothing();
    saw.error(members.cap().invoke::<Value>("missing", ()).await);
    saw.error(members.cap().at("missing").get::<Value>("deeper").await);
    saw.error(members.cap().invoke::<Value>("prop", ()).await);
    Ok(())
}

pub async fn callback(connection: Connection, saw: Observations) -> Result<(), Error> {
    let caller: CallerClient = connection.index();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let noted = calls.clone();
    let said = caller.on("data".into(), move |event: Value, value: Value| {
        let mut calls = noted.lock().unwrap();
        calls.push((event, value));
        let answer = format!("ack{}", calls.len());
        async move { Value::from(answer) }
    });
    saw.value(said.await.map_err(failed)?);
    saw.value(&*calls.lock().unwrap());
    Ok(())
}

pub async fn passed_back(connection: Connection, saw: Observations) -> Result<(), Error> {
    let tour: TourClient = connection.index();
    let counter = tour.make().await?;
    saw.stub();
    saw.value(tour.next2(counter).await.map_err(failed)?);
    saw.value(tour.next2(tour.make().pipeline()).await.map_err(failed)?);
    Ok(())
}

pub async fn maps(connection: Connection, saw: Observations) -> Result<(), Error> {
    let lists: ListsClient = connection.index();
    let lists = lists.cap();
    let ids = || lists.invoke::<Vec<u64>>("ids", ());
    let get = |id: Element<u64>| lists.invoke::<Named>("get", (id,));
    saw.value(ids().map(get).await?);
    let parts = ids().map(|id| {
        let name = get(id.clone()).element().map(|named| named.at::<String>("name"));
        (id, name.expect("it is recorded"), Value::from("lit"), Value::Undefined)
    });
    let parts: Vec<(u64, String, String, Value)> = parts.await?.into_iter().map(read).collect();
    let seen = parts.into_iter().map(|(id, name, lit, _)| json!([id, name, lit, {"js": "undefined"}]));
    saw.value(seen.collect::<Vec<_>>());
    let inner = ids().map(|id| {
        let tags = get(id.clone()).element().map(|named| named.at::<Vec<String>>("tags"));
        let tags = tags.and_then(|tags| tags.map(|tag| (tag,)).element()).expect("it is recorded");
        Value::from([("id", Value::Cap(id.cap().clone())), ("tags", Value::Cap(tags.cap().clone()))])
    });
    saw.value(inner.await?);
    Ok(())
}

fn read((id, name, lit, nothing): (u64, String, Value, Value)) -> (u64, String, String, Value) {
    (id, name, lit.as_str().unwrap_or_default().to_owned(), nothing)
}

pub async fn map_edges(connection: Connection, saw: Observations) -> Result<(), Error> {
    let lists: ListsClient = connection.index();
    let lists = lists.cap();
    let doubled = |name| lists.invoke::<Value>(name, ()).map(|x| lists.invoke::<Value>("dbl", (x,)));
    saw.value(doubled("none").await?);
    assert_eq!(doubled("undef").await?, Value::Undefined);
    saw.nothing();
    saw.value(doubled("one").await?);
    saw.value(doubled("empty").await?);
    saw.value(lists.invoke::<Value>("ids", ()).map(|_| Value::from(5)).await?);
    Ok(())
}

/// Lets everything happen that does so without waiting for the clock.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

pub async fn readable_argument(connection: Connection, saw: Observations) -> Result<(), Error> {
    let streams: StreamsClient = connection.index();
    let chunks = vec![Value::from("a"), Value::from(2), Value::from([("three", Value::from(3))])];
    let collected = streams.collect(Reader::from_iter(chunks)).await.map_err(Error::from)?;
    saw.value(json!([collected[0].as_str(), 2, {"three": 3}]));
    settle().await;
    let collected = streams.collect(Reader::from_iter([])).await.map_err(Error::from)?;
    saw.value(json!(vec![(); collected.len()]));
    Ok(())
}

pub async fn readable_returned(connection: Connection, saw: Observations) -> Result<(), Error> {
    let streams: StreamsClient = connection.index();
    let stream = streams.make(vec!["x".into(), "y".into()]).await?;
    saw.value(json!({"js": "ReadableStream"}));
    assert_eq!(all(stream).await?, [Value::from("x"), Value::from("y")]);
    Ok(())
}

pub async fn readable_cancelled(connection: Connection, saw: Observations) -> Result<(), Error> {
    let streams: StreamsClient = connection.index();
    let (mut writer, reader) = capnode::pipe();
    writer.write(Value::from("chunk")).await?;
    let first = streams.first(reader).await.map_err(Error::from)?;
    saw.value(first.as_ref().and_then(Value::as_str));
    writer.write(Value::from("chunk")).await?;
    settle().await;
    let refused = writer.close().await.unwrap_err();
    assert!(refused.message().contains("had enough"), "{refused:?}");
    Ok(())
}

pub async fn writable_argument(connection: Connection, saw: Observations) -> Result<(), Error> {
    let streams: StreamsClient = connection.index();
    let (writer, reader) = capnode::pipe();
    let written = streams.write_to(writer, vec!["a".into(), "b".into()]);
    let (written, read) = tokio::join!(written.into_future(), all(reader));
    saw.value(written.map_err(Error::from)?);
    assert_eq!(read?, [Value::from("a"), Value::from("b")]);
    Ok(())
}

pub async fn writable_returned(connection: Connection, saw: Observations) -> Result<(), Error> {
    let streams: StreamsClient = connection.index();
    let mut sink = streams.sink().await?;
    saw.value(json!({"js": "WritableStream"}));
    sink.write("one".into()).await?;
    sink.write([("two", Value::from(2))].into()).await?;
    sink.close().await
}

pub async fn blobs(connection: Connection, saw: Observations) -> Result<(), Error> {
    let web: WebClient = connection.index();
    saw.value(web.read(hello_blob()).await.map_err(Error::from)?);
    let made = web.make().await?;
    let body = text(made.body.read_to_end(BODY).await?);
    saw.value(json!({"js": "Blob", "type": made.content_type, "size": body.len()}));
    assert_eq!(body, "hello blob");
    Ok(())
}

fn saw_response(response: &Response, saw: &Observations) {
    let headers: Vec<_> = response.headers.iter().collect();
    saw.value(json!({"js": "Response", "status": response.status, "headers": headers}));
}

pub async fn request(connection: Connection, saw: Observations) -> Result<(), Error> {
    let mut request = Request::new("GET", "https://e.com/a?b=1");
    request.headers = Headers::from([("x-q", "1")]);
    send(connection, saw, request, "you sent GET (no body)").await
}

pub async fn request_with_body(connection: Connection, saw: Observations) -> Result<(), Error> {
    let mut request = Request::new("POST", "https://e.com/post");
    request.headers = Headers::from([("content-type", "text/plain;charset=UTF-8"), ("x-q", "2")]);
    request.body = Some(Bytes::from(b"the body").into());
    send(connection, saw, request, "you sent POST the body").await
}

async fn send(connection: Connection, saw: Observations, request: Request, said: &str) -> Result<(), Error> {
    let web: WebClient = connection.index();
    let response = web.handle(request).await.map_err(Error::from)?;
    saw_response(&response, &saw);
    let mut body = response.body.expect("a body").into_reader();
    let first = body.next().await.expect("a chunk")?;
    assert_eq!(text(first.to_vec()), said);
    // npm answers the end of a stream when its reader has gone on.
    let (none, end) = tokio::join!(web.none().into_future(), body.next());
    assert!(end.is_none());
    saw_response(&none?, &saw);
    Ok(())
}
