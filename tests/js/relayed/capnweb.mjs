// Two programs of npm's capnweb that call each other: through a relay, and directly in memory. What comes of it is compared.
//
//   node capnweb.mjs RELAY CONTROL --port PORT [--seed N] [--programs N] [--failing] [--only KIND] [--capnweb VERSION]
//
// RELAY is the WebSocket that one of the two connects to; the relay connects to the other at PORT of this process. CONTROL
// is a WebSocket of the relay's program, whose index tells what the relay holds: `tables()` gives
// [imports, exports, calls, running] of both connections.
//
// A program is a list of steps, drawn at random from its seed. Each is made by one of the two on the index of the other.
// With --failing there are also calls among them that have to fail alone. npm's own server ends the session for some, so
// these are left out in memory. With --only all steps are of this kind.
//
// Prints `ok SEED` or `FAILED SEED: why` for each, and last `N passed, M failed`.

import { WebSocket, WebSocketServer } from "ws";
import { isDeepStrictEqual, parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { RpcSession, WebSocketTransport } from "../capnweb.mjs";
import { within } from "../expect.mjs";
import { drawing } from "./drawing.mjs";
import { Lab, Notes } from "./lab.mjs";
import { MemoryTransport } from "./memory.mjs";
import { outcome } from "./outcome.mjs";
import { FAILING, STEPS } from "./steps.mjs";

globalThis.WebSocket = WebSocket; // Node 20 has none of its own

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: "string" },
    seed: { type: "string", default: "1" },
    programs: { type: "string", default: "50" },
    failing: { type: "boolean" },
    only: { type: "string" },
    capnweb: { type: "string" }, // read in capnweb.mjs
  },
});
const [relayUrl, controlUrl] = positionals;

// ------------------------------------------------------------------------------------------------ the two

class Side {
  notes = new Notes();

  begin(transport) {
    this.session = new RpcSession(transport, new Lab(this.notes));
    this.other = this.session.getRemoteMain();
  }

  // What is left of the program when nothing moves any more.
  left() {
    return { imports: this.session.getStats().imports, alive: this.notes.alive };
  }
}

const arriving = []; // who waits for a connection of the relay's
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(options.port) });
server.on("connection", (socket) => arriving.shift()?.(socket));

async function opened(url) {
  const socket = new WebSocket(url);
  await within(new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject)), "a WebSocket to open");
  return socket;
}

async function throughRelay() {
  const arrived = new Promise((resolve) => arriving.push(resolve));
  const sides = [new Side(), new Side()];
  const near = await opened(relayUrl);
  sides[0].begin(new WebSocketTransport(near));
  const far = await within(arrived, "the relay to connect");
  sides[1].begin(new WebSocketTransport(far));
  return { sides, end: () => [near, far].forEach((socket) => socket.terminate()) };
}

function inMemory() {
  const sides = [new Side(), new Side()];
  MemoryTransport.pair().forEach((transport, at) => sides[at].begin(transport));
  return { sides };
}

// ------------------------------------------------------------------------------------------------ programs

function program(seed) {
  const draw = drawing(seed);
  const drawn = (kinds) => Object.keys(kinds)[draw(Object.keys(kinds).length)];
  return Array.from({ length: 5 + draw(25) }, () => {
    const kind = options.only ?? drawn(options.failing && draw(3) === 0 ? FAILING : STEPS);
    // Some are made while the one before goes on.
    return { kind, by: draw(2), seed: draw(2 ** 31), along: draw(5) === 0 };
  });
}

const goesOnInMemory = ({ kind }) => kind in STEPS;

async function run(steps, { sides }) {
  const seen = [];
  let along;
  for (const { kind, by, seed, along: goesOn } of steps) {
    const step = STEPS[kind] ?? FAILING[kind];
    const made = within(outcome(() => step(sides[by], drawing(seed))), `${kind} by ${by}`);
    const told = made.then((came) => ({ kind, line: `${kind} by ${by}: ${came}` }));
    if (goesOn && along === undefined) {
      along = told;
      continue;
    }
    seen.push(...(await Promise.all(along === undefined ? [told] : [along, told])));
    along = undefined;
  }
  if (along !== undefined) seen.push(await along);
  for (const side of sides) await within(side.other.dropKept(), "dropKept");
  return seen;
}

// ------------------------------------------------------------------------------------------------ comparison

async function until(what, condition) {
  let last;
  for (let turn = 0; turn < 400; turn++) {
    last = await condition();
    if (last === undefined) return;
    await sleep(5);
  }
  throw new Error(`${what}: ${last}`);
}

function same(what, got, want) {
  for (let at = 0; at < Math.max(got.length, want.length); at++) {
    if (got[at] !== want[at]) throw new Error(`${what} ${at}: got ${got[at]}, in memory ${want[at]}`);
  }
}

// What the objects of a side have seen, in its order. Of steps that were made at the same time the order is not known.
function log({ notes: { log, counters } }, inOrder) {
  const all = [...log, ...counters.map((counter) => `${counter.length} calls`)].map(String);
  return inOrder ? all : all.sort();
}

const control = new RpcSession(new WebSocketTransport(await opened(controlUrl))).getRemoteMain();

async function compare(seed) {
  const steps = program(seed);
  const relayed = await throughRelay();
  try {
    const seen = await run(steps, relayed);
    for (const { kind, line } of seen) if (kind in FAILING && !line.includes(": resolved ")) throw new Error(line);
    const direct = inMemory();
    const wanted = await run(steps.filter(goesOnInMemory), direct);
    same("outcome", seen.filter(goesOnInMemory).map(({ line }) => line), wanted.map(({ line }) => line));
    // Both ends hold in the end what they hold without the relay. What they lend each other, the relay holds.
    await until("what is left", () => {
      const [got, want] = [relayed, direct].map(({ sides }) => sides.map((side) => side.left()));
      const [near, far] = direct.sides.map(({ session }) => session.getStats());
      if (near.exports !== far.imports || near.imports !== far.exports) return "in memory, the tables do not settle";
      if (!isDeepStrictEqual(got, want)) return `got ${JSON.stringify(got)}, in memory ${JSON.stringify(want)}`;
    });
    await until("what the relay holds", async () => {
      const tables = await within(control.tables(), "tables");
      // Of each side what it lends, and for it what it holds; the two indexes are not counted.
      const stats = relayed.sides.map(({ session }) => session.getStats());
      const want = stats.map(({ exports, imports }) => [exports - 1, imports - 1, 0, 0]);
      if (!isDeepStrictEqual(tables, want)) return `${JSON.stringify(tables)}, expected ${JSON.stringify(want)}`;
    });
    if (steps.every(goesOnInMemory)) {
      const inOrder = steps.every(({ along }) => !along);
      relayed.sides.forEach((side, at) => same(`log of ${at}`, log(side, inOrder), log(direct.sides[at], inOrder)));
    }
  } finally {
    relayed.end();
  }
}

let [passed, failed] = [0, 0];
process.on("unhandledRejection", () => {}); // some steps leave a pipelined call alone
for (let at = 0; at < Number(options.programs); at++) {
  const seed = Number(options.seed) + at;
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
