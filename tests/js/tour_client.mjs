// A client of npm's capnweb that checks a tour server over WebSocket, over TCP with a message a line (tcp://…), or by HTTP
// batches (http://…), of which it makes a new one each time that the index is used after the last has been sent.
//
//   node tour_client.mjs URL [options]
//
//   --strict-types   also expect arguments of a wrong type or number to be refused
//   --strict-home    also expect what npm's own server cannot do with references that come home
//   --strict-calls   also expect a call that asks for what is not there to fail alone, for which npm's own server ends the
//                    session
//   --streams        also the checks of streams, which a server of the tour need not have
//   --only TEXT      only the checks whose names contain TEXT (may be repeated)
//   --skip TEXT      not the checks whose names contain TEXT (may be repeated)
//   --trace          every frame to standard error
//
// Prints `ok NAME` or `FAILED NAME: why` for each check and last `N passed, M failed`; exits with 1 if any failed.
// Every check has sessions of its own, so that one that breaks its session does not fail those after it, and
// five seconds. When its body is done the session has to answer once more, and the server has to have given back
// every reference it was lent (told as a check of its own at the end).

import { WebSocket } from "ws";
import { newHttpBatchRpcSession, RpcSession, WebSocketTransport } from "./capnweb.mjs";
import { once } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import { parseArgs } from "node:util";
import { TIME_LIMIT, equal, within } from "./expect.mjs";
import { LineSocket } from "./line_socket.mjs";
import { checks } from "./tour_checks.mjs";
import { traceFrames } from "./trace.mjs";

globalThis.WebSocket = WebSocket; // Node 20 has none of its own

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    "strict-types": { type: "boolean" },
    "strict-home": { type: "boolean" },
    "strict-calls": { type: "boolean" },
    streams: { type: "boolean" },
    only: { type: "string", multiple: true, default: [] },
    skip: { type: "string", multiple: true, default: [] },
    capnweb: { type: "string" },
    trace: { type: "boolean" },
  },
});
const url = positionals[0];
if (positionals.length !== 1) {
  console.error("usage: tour_client.mjs URL [--strict-types] [--strict-home] [--strict-calls] [--streams] [--only TEXT] [--skip TEXT] [--trace]");
  process.exit(2);
}

// The index of a server of batches.
function batches() {
  let batch;
  const current = () => {
    if (batch === undefined) {
      batch = newHttpBatchRpcSession(url);
      setImmediate(() => (batch = undefined)); // it is sent in this turn as well
    }
    return batch;
  };
  return new Proxy(() => {}, {
    get: (_, name) => (name === Symbol.dispose ? () => {} : current()[name]),
  });
}

function closeCode(socket) {
  return new Promise((resolve) => socket.on("close", resolve));
}

// The arguments of a check: `api` is the server's index, `connect()` gives another session, `raw()` a bare WebSocket.
class Connections {
  #sockets = [];
  sessions = [];

  async #open(name) {
    const socket = url.startsWith("tcp:") ? new LineSocket(url) : new WebSocket(url);
    this.#sockets.push(socket);
    socket.on("error", () => {}); // the waits fail by themselves, and an unhandled `error` would end the process
    if (options.trace) traceFrames(socket, name);
    await within(once(socket, "open"), "the WebSocket to open");
    return socket;
  }

  async connect() {
    if (url.startsWith("http")) {
      const connected = { api: batches(), close: async () => {} };
      this.sessions.push(connected);
      return connected;
    }
    const socket = await this.#open(`session ${this.sessions.length + 1}`);
    const session = new RpcSession(new WebSocketTransport(socket));
    const closed = closeCode(socket);
    const connected = { api: session.getRemoteMain(), session, socket, over: false };
    connected.close = async () => {
      connected.over = true;
      connected.api[Symbol.dispose](); // this is how npm's client ends a session
      const code = await within(closed, "the server to close the WebSocket");
      if (code === 1006) throw new Error("the server dropped the connection without closing the WebSocket");
    };
    this.sessions.push(connected);
    return connected;
  }

  async raw() {
    const socket = await this.#open("raw");
    const queue = [];
    const waiting = [];
    socket.on("message", (data) => (waiting.shift() ?? ((frame) => queue.push(frame)))(JSON.parse(data)));
    return {
      send: (...frames) => frames.forEach((frame) => socket.send(typeof frame === "string" ? frame : JSON.stringify(frame))),
      receive: () => (queue.length > 0 ? queue.shift() : within(new Promise((take) => waiting.push(take)), "a frame")),
      closed: closeCode(socket),
      close: () => socket.close(),
    };
  }

  terminate() {
    for (const socket of this.#sockets) socket.terminate();
  }
}

// Counts the references that the server still holds, after its releases had time to arrive. (The table of
// imports says nothing about the server: npm's client keeps every promise there that was not disposed of.)
async function leftovers({ session, socket }) {
  const deadline = Date.now() + 2000;
  for (;;) {
    await nextTurn();
    const lent = session.getStats().exports - 1; // one is our index
    const left = deadline - Date.now();
    if (lent === 0 || left <= 0) return lent;
    await once(socket, "message", { signal: AbortSignal.timeout(left) }).catch(() => {});
  }
}

const leaks = [];
let stray; // an unhandled rejection while the current check ran
process.on("unhandledRejection", (reason) => (stray ??= reason));

async function run(check) {
  const connections = new Connections();
  stray = undefined;
  try {
    const first = await connections.connect();
    await within(check.body({ ...first, connect: () => connections.connect(), raw: () => connections.raw() }), "the check to end");
    for (const connected of connections.sessions.filter(({ over }) => !over)) {
      equal(await within(connected.api.transform("beep"), "one more call"), "BOOP", "one more call");
      const lent = connected.session ? await leftovers(connected) : 0;
      if (lent > 0) leaks.push(`${check.name} (${lent})`);
      await connected.close();
    }
    if (stray !== undefined) throw new Error(`unhandled rejection: ${stray?.stack ?? stray}`);
  } finally {
    connections.terminate();
  }
}

function line(error) {
  const text = `${error instanceof Error ? `${error.name === "Error" ? "" : `${error.name}: `}${error.message}` : error}`;
  return text.replace(/\s+/g, " ").slice(0, 600);
}

let passed = 0;
let failed = 0;
let silent = 0; // checks in a row that ran out of time

function report(name, error) {
  if (error === undefined) {
    passed++;
    console.log(`ok ${name}`);
  } else {
    failed++;
    console.log(`FAILED ${name}: ${line(error)}`);
  }
}

// The checks that take more than one batch: a callback with an answer, a use of what an earlier call gave.
const takesSession = new Set([
  "additional arguments are ignored",
  "fail: runs down a pipelined chain",
  "a missing method of an object is a TypeError",
  "a missing property is undefined",
  "the index itself is no function",
  "properties of a plain result, pipelined",
  "counter: counts and resets",
  "counter: each is its own",
  "counter: pipelined",
  "authenticate: step by step",
  "a promise of ours that resolves later holds up its call only",
  "our function comes back as the whole result",
  "references of both sides in one value",
  "a stub disposed of, and the server goes on",
  "a duplicate outlives the original",
  "a copy from the server outlives the original, and the other way round",
  "a stub disposed of right after it was sent home",
  "500 objects, each disposed of",
  "calls of every kind at once",
  "calls on one object keep their order",
  "different calls on one object keep their order",
  "order holds while the object arrives",
  "a big call and small ones keep their order",
  "ten sessions at once",
  "an object of one session is lent to another",
  "a session that ends leaves the others alone",
  "a session that ends while its callback is waiting",
]);
const sessions = /^(on|a kept .*|an object of the server goes home.*|one call fails|frames|streams)\b/;
const isForBatches = (name) => !takesSession.has(name) && !sessions.test(name);

const wanted = checks.filter(
  ({ name, needs }) =>
    (!url.startsWith("http") || isForBatches(name)) &&
    (needs === undefined || options[needs]) &&
    (options.only.length === 0 || options.only.some((text) => name.includes(text))) &&
    !options.skip.some((text) => name.includes(text)),
);
for (const check of wanted) {
  if (silent === 3) {
    report(check.name, "not run, since three checks in a row ran out of time");
    continue;
  }
  try {
    await run(check);
    silent = 0;
    report(check.name);
  } catch (error) {
    silent = error?.timedOut ? silent + 1 : 0;
    report(check.name, error ?? "rejected with nothing");
  }
}
if (passed > 0) report("every reference is given back", leaks.length === 0 ? undefined : leaks.join("; "));

console.log(`${passed} passed, ${failed} failed`);
// The process ends when its sockets have closed. A socket that lingers must not keep it.
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
setTimeout(() => process.exit(), TIME_LIMIT).unref();
