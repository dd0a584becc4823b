//! The peak of the memory of two processes with a stream between them, whose reader is slow. Only Linux reports it in
//! `/proc`.
#![cfg(target_os = "linux")]

use std::process::Stdio;
use std::time::Duration;

use capnode::Limits;
use capnode_tests::{js, memory, number, soon};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The length of a stream: more than may be in memory. `CAPNODE_STREAM_MIB` has another.
const MIB: usize = 40;

/// The net under a stream: 64 KiB take 5 ms.
const PATIENCE: Duration = Duration::from_secs(120);

/// An end of a stream.
struct Process {
    name: &'static str,
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    idle: u64,
}

impl Process {
    /// Starts a process. Returns it with the line that it says before there is a stream.
    async fn start(name: &'static str, mut command: Command) -> (Self, String) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut this = Self { name, child, output, idle: 0 };
        let line = soon(this.output.next_line()).await.unwrap().expect("it says that it is ready");
        this.idle = this.peak();
        (this, line)
    }

    fn peak(&self) -> u64 {
        memory::peak(self.child.id().unwrap()).unwrap()
    }

    async fn done(&mut self) {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await.expect("the stream ends");
        assert_eq!(line.unwrap().as_deref(), Some("done"), "{}", self.name);
    }

    /// Returns the growth since the start.
    fn grown(&self) -> u64 {
        let grown = self.peak() - self.idle;
        println!("{}: {} KiB, and {} KiB more at most", self.name, self.idle >> 10, grown >> 10);
        grown
    }

    fn assert_bounded(&self) {
        let most = 2 * Limits::default().stream_window as u64 + (16 << 20);
        let grown = self.grown();
        assert!(grown <= most, "{} grew by {grown} bytes, of {most} at most", self.name);
    }
}

fn rust(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slow_reader"));
    command.args(arguments);
    command
}

fn chunks() -> String {
    (number("CAPNODE_STREAM_MIB").unwrap_or(MIB) * 16).to_string()
}

/// A stream between a server and a client of this library: `way` is what the client does.
async fn between_processes_of_rust(way: &str) {
    let (server, url) = Process::start("server", rust(&["serve", "tcp://127.0.0.1:0"])).await;
    let (mut client, _) = Process::start("client", rust(&[way, &url, &chunks()])).await;
    client.done().await;
    server.assert_bounded();
    client.assert_bounded();
}

#[tokio::test]
async fn a_process_that_writes_to_a_slow_reader_has_a_window_of_the_stream_in_memory() {
    between_processes_of_rust("give").await;
}

#[tokio::test]
async fn a_process_that_reads_slowly_has_a_window_of_the_stream_in_memory() {
    between_processes_of_rust("take").await;
}

/// A client in Node, with npm's `capnweb`, that writes a stream or reads it slowly.
const NODE: &str = r#"
import { WebSocket } from "ws";
import { newWebSocketRpcSession } from "./capnweb.mjs";
import { setTimeout as pause } from "node:timers/promises";

globalThis.WebSocket = WebSocket;
const [way, url, chunks] = process.argv.slice(-3);
const streams = newWebSocketRpcSession(url);

async function slowly(stream) {
  const began = performance.now();
  let read = 0;
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    await pause(Math.max(0, began + 5 * ++read - performance.now()));
  }
  return size;
}

function made(chunks) {
  return new ReadableStream({
    pull(controller) {
      if (chunks-- > 0) controller.enqueue(new Uint8Array(64 << 10).fill(7));
      else controller.close();
    },
  });
}

await slowly(await streams.give(1));
console.log("ready");
const size = way === "give" ? await streams.take(made(chunks)) : await slowly(await streams.give(Number(chunks)));
if (size !== chunks * (64 << 10)) throw new Error(`${size} bytes`);
console.log("done");
process.stdin.on("end", () => process.exit(0)).resume();
"#;

/// A stream between a server of this library and a client in Node.
async fn with_node(way: &str) {
    if !js::ready() {
        return;
    }
    let (server, url) = Process::start("server", rust(&["serve", "ws://127.0.0.1:0"])).await;
    let mut command = js::module(NODE);
    command.args([way, &url, &chunks()]);
    let (mut client, _) = Process::start("Node", command).await;
    client.done().await;
    client.grown();
    server.assert_bounded();
}

#[tokio::test]
async fn a_server_that_writes_to_a_slow_reader_in_node_has_a_window_of_the_stream_in_memory() {
    with_node("take").await;
}

#[tokio::test]
async fn a_server_that_reads_slowly_what_node_writes_has_a_window_of_the_stream_in_memory() {
    with_node("give").await;
}
