// Two programs of npm's q-connection that call each other: through a relay, and directly in memory. The results
// are compared, and the order in which their objects see the calls. The language has no releases, so what is held is not.
//
//   node q.mjs RELAY [--seed N] [--programs N] [--only KIND]
//
// See capnweb.mjs for what it is given and prints.

import Connection from "q-connection";
import { webSocketPort } from "../q/ports.mjs";
import { compareAll, program, relayed, run, same, sameLogs } from "./programs.mjs";
import { makeLab, outcome, STEPS } from "./q_steps.mjs";

class Side {
  notes = { log: [], counters: [], kept: undefined };

  begin(port) {
    this.other = Connection(port, makeLab(this.notes));
  }
}

// Two ports. A message arrives at the other in a later turn of the event loop.
function memoryPorts() {
  const arrive = [];
  return [0, 1].map((at) => ({
    send: (data) => setImmediate(() => arrive[1 - at]({ data })),
    addEventListener: (type, listener) => {
      if (type === "message") arrive[at] = listener;
      if (type === "open") queueMicrotask(listener);
    },
  }));
}

async function compare(seed) {
  const steps = program(seed, STEPS);
  const far = [new Side(), new Side()];
  const end = await relayed((at, socket) => far[at].begin(webSocketPort(socket)));
  try {
    const seen = await run(steps, far, STEPS, outcome);
    const near = [new Side(), new Side()];
    memoryPorts().forEach((port, at) => near[at].begin(port));
    const wanted = await run(steps, near, STEPS, outcome);
    same("outcome", seen.map(({ line }) => line), wanted.map(({ line }) => line));
    sameLogs(steps, far, near);
  } finally {
    end();
  }
}

await compareAll(compare);
