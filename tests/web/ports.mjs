// Ports between Rust in wasm and npm's capnweb, both ways, and between two of Rust, in one program of Node.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { MessageChannel } from "node:worker_threads";
import { test } from "node:test";
import { RpcTarget, newMessagePortRpcSession, newWebSocketRpcSession } from "capnweb";
import { WebSocket, WebSocketServer } from "ws";
import * as page from "./pkg/page.js";

// Node 20 has none.
globalThis.WebSocket ??= WebSocket;
page.initSync({ module: readFileSync(new URL("pkg/page_bg.wasm", import.meta.url)) });

class Greeter extends RpcTarget {
  constructor(greeting = "Hi") { super(); this.greeting = greeting; }
  hello(name) { return `${this.greeting}, ${name}`; }
  echo(value) { return value; }
  async sum(to, each) {
    let sum = 0;
    for (let number = 0; number < to; number++) sum += await each(number);
    return sum;
  }
  fail() { throw new TypeError("not today"); }
  other(greeting) { return new Greeter(greeting); }
}

// Node's capnweb reads bytes as a Buffer.
const plain = (value) => {
  if (value instanceof Uint8Array) return { bytes: [...value] };
  if (Array.isArray(value)) return value.map(plain);
  if (value?.constructor !== Object) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
};

const said = ["Hi, Rust", "60", "Salut, pipe", "not today"];

test("Rust calls npm's capnweb", async () => {
  const { port1, port2 } = new MessageChannel();
  newMessagePortRpcSession(port1, new Greeter());
  const lines = (await page.call(port2)).split("\n");
  assert.deepEqual(lines.slice(0, 3), said.slice(0, 3));
  assert.match(lines[3], /not today/);
});

test("npm's capnweb calls Rust", async () => {
  const { port1, port2 } = new MessageChannel();
  const ended = page.serve(port2);
  const greeter = newMessagePortRpcSession(port1);
  assert.equal(await greeter.hello("npm"), "Hello, npm");
  assert.equal(await greeter.sum(4, (number) => number * 10), 60);
  assert.equal(await greeter.other("Salut").hello("pipe"), "Salut, pipe");
  await assert.rejects(async () => await greeter.fail(), { message: "not today" });
  for (const value of [
    null, true, 1.5, NaN, Infinity, -Infinity, "text \ud83d\ude42", [], [[1], []], { a: { b: [1, undefined] } },
    2n ** 90n, new Date(1234), new Uint8Array([0, 1, 255]), { nested: [new Uint8Array(5), { n: -5n }] },
  ]) {
    const back = await greeter.echo(value);
    assert.deepEqual(plain(back), plain(value));
  }
  greeter[Symbol.dispose]();
  await ended;
});

test("Rust calls npm's capnweb over a WebSocket", async () => {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await new Promise((resolve) => server.on("listening", resolve));
  const closed = new Promise((resolve) => server.on("connection", (socket) => {
    newWebSocketRpcSession(socket, new Greeter());
    socket.on("close", resolve);
  }));
  const url = `ws://127.0.0.1:${server.address().port}`;
  const lines = (await page.call_socket(url)).split("\n");
  assert.deepEqual(lines.slice(0, 3), said.slice(0, 3));
  assert.equal(await closed, 1000);
  server.close();
  await assert.rejects(page.call_socket(url), (error) => /nothing answers/.test(error));
  await assert.rejects(page.call_socket("no address"), (error) => /no (address|connection)/.test(error));
});

test("Rust calls Rust", async () => {
  const { port1, port2 } = new MessageChannel();
  const ended = page.serve(port1);
  const lines = (await page.call(port2)).split("\n");
  assert.deepEqual(lines.slice(0, 3), ["Hello, Rust", "60", "Salut, pipe"]);
  assert.match(lines[3], /not today/);
  await ended;
});

test("a call that is not answered in time fails", async () => {
  const { port1, port2 } = new MessageChannel();
  newMessagePortRpcSession(port1, new (class extends RpcTarget { hello() { return new Promise(() => {}); } })());
  assert.match(await page.call_late(port2, 20), /no answer within 20ms/);
});

for (const [what, message, reason] of [
  ["contains itself", (() => { const cycle = []; cycle.push(cycle); return cycle; })(), /contains itself/],
  ["has a class", new Map(), /class/],
  ["is no message", 7, /./],
]) {
  test(`a message that ${what} ends the connection`, async () => {
    const { port1, port2 } = new MessageChannel();
    const ended = page.serve(port2);
    port1.postMessage(message);
    assert.match(await ended, reason);
    port1.close();
  });
}
