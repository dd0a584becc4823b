// A Capnode peer that checks a tour server over WebSocket or raw TCP.
//
//   node tour_client.mjs --connect URL [options]
//
//   --connect URL    ws://HOST:PORT or tcp://HOST:PORT
//   --server KIND    also the checks for this kind of server: `capnode`, a peer like the real one with its faults, or
//                    `rust`, which repairs what can be repaired and answers what the real one leaves unanswered
//   --only TEXT      only the checks whose names contain TEXT (may be repeated)
//   --skip TEXT      not the checks whose names contain TEXT (may be repeated)
//   --trace          every message to standard error
//
// Prints `ok NAME` or `FAILED NAME: why` for each check and last `N passed, M failed`; exits with 1 if any failed.
// Every check has connections of its own. When its body is done the connection has to answer once more, and nothing
// that came may have made the peer throw. Over TCP the client behaves as the real peer: two texts in one chunk, or a
// part of one, end the connection. Checks that cannot but do that are for WebSocket only.

import { once } from "node:events";
import { parseArgs } from "node:util";
import { equal, within } from "../expect.mjs";
import { line, open, runChecks } from "../running.mjs";
import { Peer } from "./peer.mjs";
import { checks } from "./tour_checks.mjs";
import { overStream, overWebSocket } from "./transports.mjs";

const { values: options } = parseArgs({
  options: {
    connect: { type: "string" },
    server: { type: "string" },
    only: { type: "string", multiple: true, default: [] },
    skip: { type: "string", multiple: true, default: [] },
    trace: { type: "boolean" },
  },
});
const url = options.connect;
if (!/^(ws|tcp):\/\//.test(url ?? "") || !["rust", "capnode", undefined].includes(options.server)) {
  console.error("usage: tour_client.mjs --connect ws://HOST:PORT|tcp://HOST:PORT [--server rust|capnode] [--only TEXT] [--skip TEXT] [--trace]");
  process.exit(2);
}
const transport = new URL(url).protocol.slice(0, -1);

async function connect(peer, sockets) {
  const socket = await open(url, options.trace);
  sockets.push(socket);
  const closed = once(socket, "close");
  const threw = [];
  const over = transport === "ws" ? overWebSocket : overStream;
  const remote = over(peer, socket, (error) => threw.push(line(error)));
  const index = await within(remote.requestIndex(), "the index");
  return { peer, remote, index, threw, socket, closed, isOver: false };
}

// A bare connection: texts go out as they are, and what comes in is read as one JSON text a chunk or frame. Messages
// that release a function are left out.
async function raw(sockets) {
  const socket = await open(url, options.trace);
  sockets.push(socket);
  const queue = [];
  const waiting = [];
  socket.on(transport === "ws" ? "message" : "data", (data) => {
    const message = JSON.parse(data.toString());
    if (message.type !== "dealloc") (waiting.shift() ?? ((it) => queue.push(it)))(message);
  });
  return {
    send: (text) => (transport === "ws" ? socket.send(text) : socket.write(text)),
    receive: () => (queue.length > 0 ? queue.shift() : within(new Promise((take) => waiting.push(take)), "a message")),
  };
}

// The arguments of a check: `index` is the server's, `remote` the connection, `peer` our side of it, `transport` "ws" or
// "tcp", `connect()` another connection (of another peer), `raw()` a bare one. `threw` is what our peer threw on
// receiving, to be emptied by a check that expects it; a check that ends its connection sets `isOver`.
async function run(body) {
  const sockets = [];
  const connected = [];
  const another = async () => {
    connected.push(await connect(new Peer(), sockets));
    return connected.at(-1);
  };
  try {
    const first = await another();
    await within(body(Object.assign(first, { transport, connect: another, raw: () => raw(sockets) })), "the check to end");
    for (const { index, threw } of connected.filter(({ isOver }) => !isOver)) {
      equal(await within(index.transform("beep"), "one more call"), "BOOP", "one more call");
      equal(threw, [], "what the client threw on receiving");
    }
  } finally {
    for (const socket of sockets) (socket.terminate ?? socket.destroy).call(socket);
  }
}

const wanted = checks.filter(
  ({ name, only }) =>
    (only.transport === undefined || only.transport === transport) &&
    (only.server === undefined || only.server === options.server) &&
    (options.only.length === 0 || options.only.some((text) => name.includes(text))) &&
    !options.skip.some((text) => name.includes(text)),
);
await runChecks(wanted, run);
