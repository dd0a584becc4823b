//! The library in a screenful: two programs in one process, over a line in memory and over TCP.
//!
//! ```text
//! cargo run --example tour
//! ```

use std::fmt::Display;
use std::time::Duration;

use capnode::testing::Line;
use capnode::{BigInt, Bytes, Client, Date, Dialect, Func, Incoming, Node, Value};
use capnode_examples::frames::Frames;
use capnode_examples::tour::{self, CounterClient, TourClient};

/// The index of the client: connections are the same in both directions.
#[capnode::interface]
trait Guest {
    /// Greets the caller.
    async fn greet(&self, who: &str) -> String;
}

struct Visitor;

impl Guest for Visitor {
    async fn greet(&self, who: &str) -> String {
        format!("good day, {who}")
    }
}

fn show(what: &str, result: impl Display) {
    println!("{what:<62} {result}");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The server. Its index may depend on the peer; here it only notes the connection.
    let (met, mut meeting) = tokio::sync::mpsc::channel(1);
    let node = Node::builder()
        .authorize(move |incoming: Incoming| {
            let met = met.clone();
            async move { met.send(incoming.connection().clone()).await.map(|()| tour::index()) }
        })
        .build();
    let listener = node.listen("tcp://127.0.0.1:0").await?;
    println!("Two nodes, connected by a line in memory; one listens at {}\n", listener.url());

    // The client, by a line with a witness. `capnode::connect(&url)` does the same over TCP.
    let frames = Frames::default();
    let (client, server) = frames.on(Line::new()).ends();
    node.serve(server).await?;
    let tour: TourClient = Node::new(GuestClient::new(Visitor)).connect_over(client).await?;
    let server = meeting.recv().await.ok_or("the server has met nobody")?;

    show("transform(\"beep\")", tour.transform("beep").await?);
    // The first call goes out before the two nodes know that both are of this library, and takes more frames. The last of
    // those is on its way before the frames of the next call.
    tour.transform("again").await?;
    frames.clear();
    tour.transform("once more").await?;
    let (out, back) = frames.count();
    show("    frames of a call: out, back", format!("{out}, {back}"));

    let counter = tour.counter().await?;
    let counts = [counter.next().await?, counter.next().await?, counter.next().await?];
    show("counter(), an object; its next(), three times", format!("{counts:?}"));

    let (seen, mut calls) = tokio::sync::mpsc::unbounded_channel();
    let callback = move |event: String, data: String| {
        // The receiver lives as long as this program.
        let _unread = seen.send(format!("{event}: {data}"));
        async {}
    };
    tour.on("tick", callback).await?;
    show("on(\"tick\", |event, data| ...), a callback", calls.recv().await.unwrap_or_default());
    show("    calls of it before on() was answered", 1 + calls.len());

    frames.clear();
    let name = tour.authenticate("ann").pipeline().profile().pipeline().name().await?;
    show("authenticate(\"ann\").profile().name(), pipelined", name);
    show("    frames out before the first answer came", frames.out_before_first_in());

    if let Err(error) = tour.fail().await {
        show("fail(), an error with its type", format!("{error:?}"));
    }
    if let Err(error) = tour.cap().invoke::<Value>("nosuch", ()).await {
        show("nosuch(), a method that is not there", error);
    }

    let value = Value::from([
        ("big", Value::from(BigInt::from(u64::MAX))),
        ("when", Value::from(Date::from_millis(0.0))),
        ("bytes", Value::from(Bytes::from(vec![1, 2, 3]))),
        ("list", Value::from(vec![Value::Null, Value::Undefined, Value::from(f64::INFINITY)])),
    ]);
    show("echo(value), of any shape: the same comes back", tour.echo(value.clone()).await? == value);

    let double = Func::<fn(u32) -> u32>::new(|x| async move { 2 * x });
    let value = Value::from([("double", Value::from(capnode::Cap::from(double)))]);
    let back = tour.echo(value).await?;
    let double = back.get("double").and_then(Value::as_cap).ok_or("the function did not come back")?;
    show("a function of ours in a value that came back; of 21 it makes", double.apply::<u32>((21,)).await?);

    let (later, resolver) = CounterClient::promise();
    let (number, ()) = tokio::join!(later.next(), async { resolver.resolve(counter.clone()) });
    show("a promise, called before it was kept: the next number is", number?);

    let guest: GuestClient = server.index();
    show("the server calls us back: greet(\"server\")", guest.greet("server").await?);

    let held = server.tables().exports;
    drop((counter, later, back));
    // The release travels before the call, and is there when it is answered.
    tour.transform("").await?;
    show(
        "objects we hold of the server, before and after dropping them",
        format!("{held}, {}", server.tables().exports),
    );

    let never = tour.on("never", |_: String, _: String| std::future::pending());
    if let Err(error) = never.timeout(Duration::from_millis(20)).await {
        show("a call with 20 ms to be done", error);
    }

    for (language, dialect) in [("Capnode", Dialect::Capnode), ("Q-Connection", Dialect::Q)] {
        let tour: TourClient = capnode::connect(&listener.url()).dialect(dialect).await?;
        meeting.recv().await.ok_or("the server has met nobody")?;
        let name = tour.authenticate("bob").pipeline().profile().pipeline().name().await?;
        show(&format!("the same port, in the language of {language}"), name);
    }

    server.close();
    if let Err(error) = tour.transform("beep").await {
        show("a call when the server has closed the connection", error);
    }
    println!(
        "\nThere are more checks: cargo run --example tour_server, and tour_client -- --connect URL --strict"
    );
    Ok(())
}
