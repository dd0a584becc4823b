// Programs that are drawn at random, run and compared: what capnweb.mjs and q.mjs share.

import { once } from "node:events";
import { WebSocket, WebSocketServer } from "ws";
import { parseArgs } from "node:util";
import { within } from "../expect.mjs";
import { drawing } from "./drawing.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string", default: "1" },
    programs: { type: "string", default: "50" },
    failing: { type: "boolean", default: false },
    only: { type: "string" },
    capnweb: { type: "string" }, // read in ../capnweb.mjs
  },
});
export { options, positionals };

// ------------------------------------------------------------------------------------------------ connections

const arriving = []; // the waits for a connection of the relay
export const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
if (server.address() === null) await once(server, "listening");
const back = `ws://127.0.0.1:${server.address().port}`;
server.on("connection", (socket) => arriving.shift()?.(socket));

// The relay is told where to connect to. `begin` is called at once when the socket is open, before any message.
export async function opened(url, begin = () => {}) {
  const socket = new WebSocket(url, { headers: { back } });
  socket.on("open", () => begin(socket));
  await within(new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject)), "a WebSocket to open");
  return socket;
}

// Two sockets with the relay between them. `begin(at, socket)` is called for each as soon as it is open. Returns a
// function that ends both.
export async function relayed(begin) {
  const arrived = new Promise((resolve) => arriving.push((socket) => (begin(1, socket), resolve(socket))));
  const near = await opened(positionals[0], (socket) => begin(0, socket));
  const far = await within(arrived, "the relay to connect");
  return () => [near, far].forEach((socket) => socket.terminate());
}

// ------------------------------------------------------------------------------------------------ programs

// Steps of `kinds`, and every third of `others` if there are any.
export function program(seed, kinds, others) {
  const draw = drawing(seed);
  const drawn = (some) => Object.keys(some)[draw(Object.keys(some).length)];
  const length = 5 + draw(25);
  return [...Array(length)].map(() => {
    const kind = options.only ?? drawn(others !== undefined && draw(3) === 0 ? others : kinds);
    // Some are made while the one before goes on.
    return { kind, by: draw(2), seed: draw(2 ** 31), along: draw(5) === 0 };
  });
}

// Returns the result of each step, in the order of the steps.
export async function run(steps, sides, kinds, outcome) {
  const seen = [];
  let along;
  for (const { kind, by, seed, along: goesOn } of steps) {
    const made = within(outcome(() => kinds[kind](sides[by], drawing(seed))), `${kind} by ${by}`);
    const told = made.then((came) => ({ kind, line: `${kind} by ${by}: ${came}` }));
    if (goesOn && along === undefined) {
      along = told;
      continue;
    }
    seen.push(...(await Promise.all(along === undefined ? [told] : [along, told])));
    along = undefined;
  }
  if (along !== undefined) seen.push(await along);
  return seen;
}

export function same(what, got, want) {
  for (let at = 0; at < Math.max(got.length, want.length); at++) {
    if (got[at] !== want[at]) throw new Error(`${what} ${at}: got ${got[at]}, in memory ${want[at]}`);
  }
}

// Returns the calls that the objects of each side have seen, in order. Concurrent steps have no order.
export function sameLogs(steps, relayed, direct) {
  const inOrder = steps.every(({ along }) => !along);
  const log = ({ notes: { log, counters } }) => {
    const all = [...log, ...counters.map((counter) => `${counter.length} calls`)].map(String);
    return inOrder ? all : all.sort();
  };
  relayed.forEach((side, at) => same(`log of ${at}`, log(side), log(direct[at])));
}

// Compares as many programs as the command line says, and ends.
export async function compareAll(compare) {
  let [passed, failed] = [0, 0];
  process.on("unhandledRejection", () => {}); // some steps leave a call alone
  for (let seed = Number(options.seed); seed < Number(options.seed) + Number(options.programs); seed++) {
    try {
      await compare(seed);
      passed++;
      console.log(`ok ${seed}`);
    } catch (error) {
      failed++;
      console.log(`FAILED ${seed}: ${String(error?.message ?? error).slice(0, 600)}`);
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}
