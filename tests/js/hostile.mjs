// Hostile peers of a tour server. They share no code with any library but `ws`.
//
//   node hostile.mjs --connect ws://HOST:PORT [--seconds N] [--each N] [--only NAME]...
//
// Runs N connections of each attack at once (3 by default), for N seconds (5). A connection that the server ends is opened
// again. Prints a line for each attack: `NAME: C connections, F frames, M MiB, E ended by the server`; last `done`.

import { connect as dial } from "node:net";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { WebSocket } from "ws";

const { values: options } = parseArgs({
  options: {
    connect: { type: "string" },
    seconds: { type: "string", default: "5" },
    each: { type: "string", default: "3" },
    only: { type: "string", multiple: true, default: [] },
  },
});
if (!/^ws:\/\//.test(options.connect ?? "")) {
  console.error("usage: hostile.mjs --connect ws://HOST:PORT [--seconds N] [--each N] [--only NAME]...");
  process.exit(2);
}
const end = Date.now() + 1000 * Number(options.seconds);

// Yields 1, 2, … while the connection is open, with pauses in which other peers get a turn.
async function* numbers(peer, most = 300_000) {
  for (let n = 1; n <= most && peer.isOpen && Date.now() < end; n++) {
    if (n % 64 === 0 || peer.socket.bufferedAmount > 1 << 18) await peer.drained();
    yield n;
  }
}

const x = (length) => "x".repeat(length);
const nested = (open, close, depth) => open.repeat(depth) + close.repeat(depth);
const call = (kind, target, path, args) => `["${kind}",["pipeline",${target},${path},${args}]]`;
const post = (n, name, args) => `{"type":"send","to":"","from":"a${n}","op":"post","args":["${name}",${args}]}`;
const invoke = (id, n, links) => `{"type":"invocation","methodId":"${id}","replyId":"r${n}","arguments":{"links":${links},"value":{"type":2,"id":0}}}`;

// The ids of the tour's methods, for a Capnode peer.
async function capnodeIndex(peer) {
  peer.send(`{"type":"index","methodId":"i"}`);
  const { links } = JSON.parse(await peer.receive()).value;
  return Object.fromEntries(Object.entries(links[0]).map(([name, { id }]) => [name, links[id]]));
}

const attacks = {
  async malformed(peer) {
    const bad = ["", "nonsense", "[]", "{}", "null", `["push"]`, `["push",["pipeline"]]`, `["stream",["bigint","1x"]]`, `["push","\\x"]`,
      `["resolve"]`, `{"type":"send"}`, `{"type":"invocation"}`, `{"type":"return","methodId":7,"value":{"links":7}}`, "\u0000", "[[[[",
      Buffer.from([0xff, 0xfe]), `["push",["import",0,["__proto__","constructor"],[]]]`, `["abort",${nested("[", "]", 99)}]`];
    peer.send(bad[Math.floor(Math.random() * bad.length)]);
    await peer.closedOr(50);
  },
  // One frame that is too long, and one that never ends.
  async huge(peer) {
    peer.send(`["push","${x(4 << 20)}"]`);
  },
  async unfinished(peer) {
    for await (const n of numbers(peer)) peer.send(n === 1 ? `["push","` : x(10_000), { fin: false });
  },
  async deep(peer) {
    peer.send(call("stream", 0, `["echo"]`, nested("[[", "]]", 250 / 2 - 4)));
    peer.send(`["push",${nested("[[", "]]", 100_000)}]`);
  },
  async deepRecords(peer) {
    peer.send(post(1, "echo", `[${`{"a":`.repeat(100_000)}1${"}".repeat(100_000)}]`));
  },
  async wide(peer) {
    for await (const n of numbers(peer)) peer.send(call("push", 0, `["echo"]`, `[[[${"[[]],".repeat(20_000)}${n}]]]`));
  },
  async cancelStorm(peer) {
    for await (const n of numbers(peer)) {
      peer.send(call("push", 0, `["on"]`, `["e",["export",-${n}]]`));
      peer.send(`["pull",${n}]`);
      peer.send(`["release",${n},1]`);
    }
  },
  async idAbuse(peer) {
    const bad = [`["pull",99]`, `["release",-1,1]`, `["release",0,9]`, `["resolve",-5,["export",-9]]`, `["release",1e9,1]`,
      call("push", -7, `["x"]`, "[]"), call("push", 0, `["echo"]`, `[["export",7]]`), call("push", 0, `["echo"]`, `[["import",9007199254740991]]`)];
    peer.send(bad[Math.floor(Math.random() * bad.length)]);
    await peer.closedOr(50);
  },
  // Answers to calls that were never made, each with a reference that the server has to release.
  async strayAnswers(peer) {
    for await (const n of numbers(peer)) peer.send(`["resolve",${n + 1000},["export",-${n}]]`);
  },
  async hoardObjects(peer) {
    for await (const n of numbers(peer)) peer.send(call("push", 0, `["authenticate"]`, `["${n}"]`));
  },
  async hoardResults(peer) {
    for await (const _ of numbers(peer)) peer.send(call("push", 0, `["echo"]`, `["${x(100_000)}"]`));
  },
  // Lends references without end, and never releases the echo that holds them.
  async lend(peer) {
    for await (const n of numbers(peer)) {
      const lent = Array.from({ length: 100 }, (_, at) => `["export",-${n * 100 + at}]`);
      peer.send(call("push", 0, `["echo"]`, `[[[${lent}]]]`));
    }
  },
  // Calls whose callbacks never answer, with something heavy in each.
  async neverAnswer(peer) {
    for await (const n of numbers(peer)) peer.send(call("stream", 0, `["on"]`, `["${x(2_000)}",["export",-${n}],"${x(2_000)}"]`));
  },
  async neverResolve(peer) {
    for await (const n of numbers(peer)) peer.send(call("stream", 0, `["echo"]`, `[[[["promise",-${n}],"${x(2_000)}"]]]`));
  },
  // Each call is on the result of the one before, and the first never ends.
  async chain(peer) {
    peer.send(call("push", 0, `["on"]`, `["e",["export",-1]]`));
    for await (const n of numbers(peer)) peer.send(call("push", n, `["a","b"]`, `["${x(500)}"]`));
  },
  async slowReader(peer) {
    peer.pause();
    for await (const _ of numbers(peer)) peer.send(call("stream", 0, `["echo"]`, `["${x(100_000)}"]`));
  },
  async silent(peer) {
    await peer.closedOr(end - Date.now());
  },
  async halfHandshake() {
    const socket = dial(Number(new URL(options.connect).port), "127.0.0.1").on("error", () => {});
    socket.write(`GET / HTTP/1.1\r\nX: ${x(5_000)}`);
    await Promise.race([once(socket, "close"), sleep(end - Date.now())]);
    socket.destroy();
  },
  async qHoard(peer) {
    for await (const n of numbers(peer)) peer.send(post(n, "authenticate", `["${x(1_000)}"]`));
  },
  async qNeverAnswer(peer) {
    for await (const n of numbers(peer)) peer.send(post(n, "on", `["${x(2_000)}",{"@":"f${n}","type":"function"}]`));
  },
  async qSlowReader(peer) {
    peer.pause();
    for await (const n of numbers(peer)) peer.send(post(n, "echo", `["${x(100_000)}"]`));
  },
  async qUnknown(peer) {
    for await (const n of numbers(peer)) peer.send(`{"type":"${n % 2 ? "send" : "resolve"}","to":"${x(1_000)}${n}","op":"get","args":["a"]}`);
  },
  async capnodeHoard(peer) {
    const { authenticate } = await capnodeIndex(peer);
    for await (const n of numbers(peer)) peer.send(invoke(authenticate, n, `[["${x(1_000)}"]]`));
  },
  async capnodeNeverAnswer(peer) {
    const { on } = await capnodeIndex(peer);
    for await (const n of numbers(peer)) peer.send(invoke(on, n, `[["${x(2_000)}",{"type":1,"id":1}],"f${n}"]`));
  },
  // Each level is twice the one below: 2 ** 60 values when written out, and a value that contains itself.
  async capnodeBomb(peer) {
    const { echo } = await capnodeIndex(peer);
    const level = (at) => `[{"type":2,"id":${at}},{"type":2,"id":${at}}]`;
    const bomb = Array.from({ length: 60 }, (_, at) => level(at + 1));
    for await (const n of numbers(peer, 100)) peer.send(invoke(echo, n, `[${bomb},[${n % 2 ? level(0) : `"end"`}]]`));
  },
};

class Peer {
  constructor(count, socket) {
    Object.assign(this, { count, socket });
    this.received = [];
    socket.on("error", () => {});
    socket.on("message", (data) => this.take?.(String(data)));
  }

  static async open(count) {
    const socket = new WebSocket(options.connect, { perMessageDeflate: false });
    const peer = new Peer(count, socket);
    await Promise.race([once(socket, "open"), once(socket, "close")]).catch(() => {});
    return peer;
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  send(data, how) {
    if (!this.isOpen) return;
    this.count.frames++;
    this.count.bytes += data.length;
    this.socket.send(data, how, () => {});
  }

  receive() {
    return Promise.race([new Promise((take) => (this.take = take)), once(this.socket, "close").then(() => "{}")]);
  }

  pause() {
    this.socket.pause();
  }

  // Without this wait no other peer gets a turn while one writes more than the network takes.
  async drained() {
    do await sleep(this.socket.bufferedAmount > 1 << 18 ? 10 : 0);
    while (this.isOpen && this.socket.bufferedAmount > 1 << 18 && Date.now() < end);
  }

  closedOr(milliseconds) {
    return this.isOpen ? Promise.race([once(this.socket, "close"), sleep(Math.max(0, milliseconds))]) : undefined;
  }
}

async function again(name, count) {
  while (Date.now() < end) {
    count.connections++;
    const peer = await Peer.open(count);
    await attacks[name](peer).catch(() => {});
    // It holds its references as long as the server lets it.
    if (name !== "malformed" && name !== "idAbuse") await peer.closedOr(end - Date.now());
    if (!peer.isOpen && Date.now() < end) count.ended++;
    peer.socket.terminate();
    await sleep(20);
  }
}

const names = Object.keys(attacks).filter((name) => options.only.length === 0 || options.only.includes(name));
await Promise.all(
  names.map(async (name) => {
    const count = { connections: 0, frames: 0, bytes: 0, ended: 0 };
    await Promise.all(Array.from({ length: Number(options.each) }, () => again(name, count)));
    const { connections, frames, bytes, ended } = count;
    console.log(`${name}: ${connections} connections, ${frames} frames, ${(bytes / 2 ** 20).toFixed(1)} MiB, ${ended} ended by the server`);
  }),
);
console.log("done");
process.exit(0);
