// Two programs of npm's capnweb that call each other: through a relay, and directly in memory. The results are compared.
//
//   node capnweb.mjs RELAY CONTROL [--seed N] [--programs N] [--failing] [--only KIND] [--capnweb VERSION]
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

import { WebSocket } from "ws";
import { isDeepStrictEqual } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { RpcSession, WebSocketTransport } from "../capnweb.mjs";
import { within } from "../expect.mjs";
import { Lab, Notes } from "./lab.mjs";
import { MemoryTransport } from "./memory.mjs";
import { outcome } from "./outcome.mjs";
import { compareAll, opened, options, positionals, program, relayed, run, same, sameLogs } from "./programs.mjs";
import { FAILING, STEPS } from "./steps.mjs";

globalThis.WebSocket = WebSocket; // Node 20 has none of its own

class Side {
  notes = new Notes();

  begin(transport) {
    this.session = new RpcSession(transport, new Lab(this.notes));
    this.other = this.session.getRemoteMain();
  }

  // Returns what both ends hold when no message is in flight any more.
  left() {
    return { imports: this.session.getStats().imports, alive: this.notes.alive };
  }
}

async function ran(steps, sides) {
  const seen = await run(steps, sides, { ...STEPS, ...FAILING }, outcome);
  for (const side of sides) await within(side.other.dropKept(), "dropKept");
  return seen;
}

async function until(what, condition) {
  let last;
  for (let turn = 0; turn < 400; turn++) {
    last = await condition();
    if (last === undefined) return;
    await sleep(5);
  }
  throw new Error(`${what}: ${last}`);
}

const control = new RpcSession(new WebSocketTransport(await opened(positionals[1]))).getRemoteMain();
const goesOnInMemory = ({ kind }) => kind in STEPS;

async function compare(seed) {
  const steps = program(seed, STEPS, options.failing ? FAILING : undefined);
  const far = [new Side(), new Side()];
  const end = await relayed((at, socket) => far[at].begin(new WebSocketTransport(socket)));
  try {
    const seen = await ran(steps, far);
    for (const { kind, line } of seen) if (kind in FAILING && !line.includes(": resolved ")) throw new Error(line);
    const near = [new Side(), new Side()];
    MemoryTransport.pair().forEach((transport, at) => near[at].begin(transport));
    const wanted = await ran(steps.filter(goesOnInMemory), near);
    same("outcome", seen.filter(goesOnInMemory).map(({ line }) => line), wanted.map(({ line }) => line));
    // Both ends hold in the end what they hold without the relay. What they lend each other, the relay holds.
    await until("what is left", () => {
      const [got, want] = [far, near].map((sides) => sides.map((side) => side.left()));
      const [one, other] = near.map(({ session }) => session.getStats());
      if (one.exports !== other.imports || one.imports !== other.exports) return "in memory, the tables do not settle";
      if (!isDeepStrictEqual(got, want)) return `got ${JSON.stringify(got)}, in memory ${JSON.stringify(want)}`;
    });
    await until("what the relay holds", async () => {
      const tables = await within(control.tables(), "tables");
      // The exports of each side, and what the relay holds for it. The two indexes are not counted.
      const stats = far.map(({ session }) => session.getStats());
      const want = stats.map(({ exports, imports }) => [exports - 1, imports - 1, 0, 0]);
      if (!isDeepStrictEqual(tables, want)) return `${JSON.stringify(tables)}, expected ${JSON.stringify(want)}`;
    });
    if (steps.every(goesOnInMemory)) sameLogs(steps, far, near);
  } finally {
    end();
  }
}

await compareAll(compare);
