//! Having many objects.

use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::{connect, throughput};
use crate::measure::{HEAP, Measurement};
use crate::peer::{Client, Peer};

/// Objects that are made at a time.
const AT_A_TIME: usize = 256;

async fn make<C: Client>(client: &C, count: u32) -> Vec<C::Object> {
    let objects: Vec<_> =
        futures::stream::iter(0..count).map(|id| client.object(id)).buffered(AT_A_TIME).collect().await;
    for id in (0..count).step_by(count as usize / 10) {
        assert_eq!(C::id_of(&objects[id as usize]).await, id, "a wrong answer");
    }
    objects
}

/// Microseconds a call.
pub async fn held<C: Client>(client: &C, count: u32, time: Duration) -> Measurement {
    let objects = &make(client, count).await;
    let measured = throughput::one_after_another(time, move |number| async move {
        // Not always the same: a large table may be slow because it is in no cache.
        let id = number.wrapping_mul(2_654_435_761) % count;
        assert_eq!(C::id_of(&objects[id as usize]).await, id, "a wrong answer");
    });
    let measured = measured.await;
    Measurement { value: 1e6 / measured.value, ..measured }
}

/// Bytes on the heap of the server, which is a process of its own for this, and tells how many they are.
pub async fn bytes<P: Peer>(count: u32) -> Measurement {
    let peer = std::env::args().nth(1).expect("the name of the peer");
    let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
        .args([&peer, "serve"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it is this program");
    let mut requests = child.stdin.take().expect("it is piped");
    let mut answers = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut line = async || answers.next_line().await.expect("it can be read").expect("the server lives");
    let address = line().await.parse().expect("an address");
    let mut bytes = async || {
        requests.write_all(b"\n").await.expect("the server lives");
        line().await.parse::<f64>().expect("a number")
    };

    let client = connect::<P>(address).await;
    // What is made once is there by then.
    drop(make(&client, 10).await);
    let before = bytes().await;
    let objects = make(&client, count).await;
    let after = bytes().await;
    drop(objects);
    Measurement { value: (after - before) / f64::from(count), ..Measurement::default() }
}

/// The server of [`bytes`]: prints its address, and after each line that it reads, the size of its heap.
pub async fn serve<P: Peer>() {
    println!("{}", super::listen::<P>().await);
    let mut requests = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = requests.next_line().await {
        println!("{}", HEAP.get().map_or(0, |heap| (heap.bytes)()));
    }
}
