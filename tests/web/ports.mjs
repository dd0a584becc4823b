// Ports between Rust in wasm and npm's capnweb, both ways, and between two of Rust, in one program of Node.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { MessageChannel } from "node:worker_threads";
import { test } from "node:test";
import { RpcTarget, newMessagePortRpcSession, newWebSocketRpcSession } from "capnweb";
import { WebSocket, WebSocketServer } from "ws";
import * as listener from "./pkg/listener.js";
import * as page from "./pkg/page.js";

// Node 20 has none.
globalThis.WebSocket ??= WebSocket;
page.initSync({ module: readFileSync(new URL("pkg/page_bg.wasm", import.meta.url)) });
listener.initSync({ module: readFileSync(new URL("pkg/listener_bg.wasm", import.meta.url)) });

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

test("what stays on the thread is kept while Rust waits", async () => {
  const { port1, port2 } = new MessageChannel();
  const ended = listener.serve(port2, async (line) => line.toUpperCase());
  const ear = newMessagePortRpcSession(port1);
  assert.deepEqual(await Promise.all([ear.hear("one"), ear.hear("two")]), ["ONE", "TWO"]);
  const lines = [];
  const reader = (await ear.heard()).getReader();
  for (let read; !(read = await reader.read()).done;) lines.push(read.value);
  assert.deepEqual(lines, ["one", "two"]);
  const count = await ear.counter();
  assert.equal(await count(), 2);
  assert.equal(await ear.hear("three"), "THREE");
  assert.equal(await count(), 3);
  ear[Symbol.dispose]();
  assert.equal(await ended, "hear hear heard counter  hear  1 1");
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

// Posts a call of `echo` with a value as an argument, as no package would, and returns the message of the answer.
const ask = async (port, value) => {
  const answered = new Promise((resolve) => port.once("message", resolve));
  port.postMessage(["push", ["pipeline", 0, ["echo"], [value]]]);
  port.postMessage(["pull", 1]);
  return answered;
};

for (const [what, value, back] of [
  ["an object of a class, of which a port keeps the fields", new (class Point { x = 1; })(), { x: 1 }],
  ["a getter, which a port reads", { get x() { return [[2]]; } }, { x: [[2]] }],
  ["an array with a hole", [[1, , 3]], [[1, ["undefined"], 3]]],
  ["a large integer", { n: 2n ** 100n }, { n: ["bigint", String(2n ** 100n)] }],
  ["shared memory", ["bytes", new Uint8Array(new SharedArrayBuffer(3))], ["bytes", "AAAA"]],
  ["half a character, which is none in Rust", "\ud800", "\ufffd"],
]) {
  test(`a port takes ${what}`, async () => {
    const { port1, port2 } = new MessageChannel();
    const ended = page.serve(port2);
    assert.deepEqual(await ask(port1, value), ["resolve", 1, back]);
    port1.postMessage(null);
    await ended;
  });
}

test("what a port cannot clone is not sent, and the connection goes on", async () => {
  const { port1, port2 } = new MessageChannel();
  page.serve(port2);
  const detached = new Uint8Array(3);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  for (const value of [() => 1, Symbol("s"), new WeakMap(), { get x() { throw new RangeError("no"); } }, detached]) {
    assert.throws(() => port1.postMessage(["push", ["pipeline", 0, ["echo"], [value]]]));
  }
  assert.deepEqual(await ask(port1, 5), ["resolve", 1, 5]);
  port1.postMessage(null);
});

test("a record of a type that no language has is ignored", async () => {
  const { port1, port2 } = new MessageChannel();
  const ended = page.serve(port2);
  port1.postMessage({ type: "ready" });
  port1.postMessage(null);
  assert.match(await ended, /closed|ended|released/);
});

test("bytes go both ways between Rust and npm's capnweb", async () => {
  const { port1, port2 } = new MessageChannel();
  let heard;
  newMessagePortRpcSession(port1, new (class extends RpcTarget { echo(value) { heard = value; return value; } })());
  const bytes = Uint8Array.from({ length: 1000 }, (_, at) => at);
  assert.deepEqual(await page.echo_bytes(port2, bytes), bytes);
  assert.ok(heard instanceof Uint8Array);
  assert.deepEqual(plain(heard), plain(bytes));
});

const nested = (levels) => {
  let value = [];
  for (let level = 1; level < levels; level++) value = [value];
  return value;
};
const cycle = {};
cycle.inner = [[cycle]];
const { port1: sent } = new MessageChannel();
const argument = (value) => ["push", ["pipeline", 0, ["echo"], [value]]];
for (const [what, message, reason, transfer] of [
  ["contains itself", (() => { const cycle = []; cycle.push(cycle); return cycle; })(), /contains itself/],
  ["has an argument that contains itself", argument(cycle), /contains itself/],
  ["has 1,000 levels", argument(nested(1_000)), /more levels/],
  ["has a class", new Map(), /class/],
  ["has a map", argument(new Map([[1, 2]])), /class/],
  ["has a set", argument(new Set([1])), /class/],
  ["has an expression", argument(/x/), /class/],
  ["has an error", argument(new Error("x")), /class/],
  ["has a string object", argument(Object("x")), /class/],
  ["has memory", argument(new ArrayBuffer(3)), /class/],
  ["has other numbers than bytes", argument(new Float64Array(3)), /class/],
  ["has memory that it gives away", argument(new ArrayBuffer(3)), /class/, (message) => [message[1][3][0]]],
  ["has a port", argument(sent), /class/, () => [sent]],
  ["has a stream", argument(new ReadableStream()), /class/, (message) => [message[1][3][0]]],
  ["is an array of four thousand million holes", new Array(2 ** 32 - 1), /longer than/],
  ["has too many bytes", argument(["bytes", new Uint8Array(32 << 20)]), /longer than/],
  ["has too large an integer", argument(1n << (1n << 24n)), /longer than/],
  ["has too long a key", argument({ ["k".repeat(32 << 20)]: 1 }), /longer than/],
  ["is no message", 7, /./],
  ["is nothing", undefined, /./],
  ["is a date", new Date(0), /./],
  ["is a large integer", 5n, /./],
  ["is text of another program", "ready", /./],
]) {
  test(`a message that ${what} ends the connection, and no other`, { timeout: 60_000 }, async () => {
    const [{ port1, port2 }, other] = [new MessageChannel(), new MessageChannel()];
    const [ended, otherEnded] = [page.serve(port2), page.serve(other.port2)];
    const greeter = newMessagePortRpcSession(other.port1);
    port1.postMessage(message, transfer?.(message) ?? []);
    assert.match(await ended, reason);
    port1.close();
    assert.equal(await greeter.hello("npm"), "Hello, npm");
    greeter[Symbol.dispose]();
    await otherEnded;
  });
}
