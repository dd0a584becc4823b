// Two peers of Capnode's language that call each other: through a relay, and directly in memory. The results
// are compared, and the order in which their functions see the calls. The peers are those of ../capnode, like the real one.
//
//   node capnode.mjs RELAY [--seed N] [--programs N] [--only KIND]
//
// See capnweb.mjs for what it is given and prints.

import { Peer } from "../capnode/peer.mjs";
import { overWebSocket } from "../capnode/transports.mjs";
import { within } from "../expect.mjs";
import { makeLab, outcome, STEPS } from "./capnode_steps.mjs";
import { compareAll, program, relayed, run, same, sameLogs } from "./programs.mjs";

class Side {
  notes = { log: [], counters: [], kept: undefined };
  peer = new Peer(makeLab(this.notes));
  threw = []; // errors that the peer threw on a message, which is lost then

  over(socket) {
    this.remote = overWebSocket(this.peer, socket, (error) => this.threw.push(error));
  }
}

// A message arrives at the other peer in a later turn of the event loop.
function inMemory(sides) {
  sides.forEach((side, at) => {
    side.remote = side.peer.connect((message) => {
      const text = JSON.stringify(message);
      setImmediate(() => sides[1 - at].remote.receive(JSON.parse(text)));
    });
  });
}

async function ran(steps, sides) {
  for (const side of sides) side.other = await within(side.remote.requestIndex(), "the index");
  const seen = await run(steps, sides, STEPS, outcome);
  for (const { threw } of sides) if (threw.length > 0) throw threw[0];
  return seen.map(({ line }) => line);
}

async function compare(seed) {
  const steps = program(seed, STEPS);
  const far = [new Side(), new Side()];
  const end = await relayed((at, socket) => far[at].over(socket));
  try {
    const seen = await ran(steps, far);
    const near = [new Side(), new Side()];
    inMemory(near);
    same("outcome", seen, await ran(steps, near));
    sameLogs(steps, far, near);
  } finally {
    end();
  }
}

await compareAll(compare);
