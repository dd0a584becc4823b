// A client of npm's q-connection that checks a tour server over WebSocket, or over TCP with a message a line.
//
//   node tour_client.mjs --connect URL [options]
//
//   --connect URL    ws://HOST:PORT or tcp://HOST:PORT
//   --server KIND    also the checks for this kind of server: `npm`, the real one, where members can be written, or
//                    `rust`, which does better with functions that occur twice
//   --only TEXT      only the checks whose names contain TEXT (may be repeated)
//   --skip TEXT      not the checks whose names contain TEXT (may be repeated)
//   --trace          every message to standard error
//
// Prints `ok NAME` or `FAILED NAME: why` for each check and last `N passed, M failed`; exits with 1 if any failed.
// Every check has connections of its own. When its body is done each has to answer once more.

import { once } from "node:events";
import { parseArgs } from "node:util";
import Connection from "q-connection";
import { equal, within } from "../expect.mjs";
import { open, runChecks } from "../running.mjs";
import { linePort, webSocketPort } from "./ports.mjs";
import { checks, value } from "./tour_checks.mjs";

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
if (!/^(ws|tcp):\/\//.test(url ?? "") || !["npm", "rust", undefined].includes(options.server)) {
  console.error("usage: tour_client.mjs --connect ws://HOST:PORT|tcp://HOST:PORT [--server npm|rust] [--only TEXT] [--skip TEXT] [--trace]");
  process.exit(2);
}
const transport = new URL(url).protocol.slice(0, -1);

async function connect(sockets) {
  const socket = await open(url, options.trace);
  sockets.push(socket);
  const port = transport === "ws" ? webSocketPort(socket) : linePort(socket);
  return { tour: Connection(port), socket, closed: once(socket, "close"), isOver: false };
}

// A bare connection: texts go out as they are, and messages come in parsed.
async function raw(sockets) {
  const socket = await open(url, options.trace);
  sockets.push(socket);
  const port = transport === "ws" ? webSocketPort(socket) : linePort(socket);
  const queue = [];
  const waiting = [];
  port.addEventListener("message", ({ data }) => (waiting.shift() ?? ((message) => queue.push(message)))(JSON.parse(data)));
  return {
    send: port.send,
    receive: () => (queue.length > 0 ? queue.shift() : within(new Promise((take) => waiting.push(take)), "a message")),
  };
}

// The arguments of a check: `tour`, a promise for the server's root object, `connect()` for further connections and `raw()`
// for a bare one. A check that ends its connection sets `isOver`.
async function run(body) {
  const sockets = [];
  const connected = [];
  const another = async () => {
    connected.push(await connect(sockets));
    return connected.at(-1);
  };
  try {
    const first = await another();
    await within(body(Object.assign(first, { server: options.server, connect: another, raw: () => raw(sockets) })), "the check to end");
    for (const { tour } of connected.filter(({ isOver }) => !isOver)) {
      equal(await within(value(tour.invoke("transform", "beep")), "one more call"), "BOOP", "one more call");
    }
  } finally {
    for (const socket of sockets) (socket.terminate ?? socket.destroy).call(socket);
  }
}

const wanted = checks.filter(
  ({ name, only }) =>
    (only.server === undefined || only.server === options.server) &&
    (options.only.length === 0 || options.only.some((text) => name.includes(text))) &&
    !options.skip.some((text) => name.includes(text)),
);
await runChecks(wanted, run);
