// Holds the test peer against recordings of the real one (tests/transcripts/capnode).
//
//   node recordings.test.mjs [SCENARIO...]
//
// Each recording is replayed twice, with our peer as side a and as side b. It gets what the other side sent, and what
// it sends has to be the recorded text, apart from the ids it made itself, for which there has to be one recorded id
// each, and the lines of stack traces after the first. What the program saw (results, rejections, what callbacks were
// called with) and what the peer threw on receiving has to be as recorded too. A side written by hand is not replayed.

import { EventEmitter } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { equal, fail, isTrue } from "../expect.mjs";
import { Peer } from "./peer.mjs";
import { notMet, programs } from "./recorded_programs.mjs";
import { overStream } from "./transports.mjs";

const FOLDER = new URL("../../transcripts/capnode/", import.meta.url);
const PATIENCE = 2000; // ms to wait for an expected event

// ---------------------------------------------------------------------------------------------- how things are written

const ID = /\b(?:[0-9a-f]{40}|[0-9a-f]{20})\b/g;

// A JSON text without what differs from run to run.
function plain(text) {
  return JSON.stringify(JSON.parse(text), (key, value) => {
    if (key === "stack" && typeof value === "string") return value.split("\n")[0];
    return typeof value === "string" && value.length > 1000 ? `${value[0]} x ${value.length}` : value;
  });
}

// A value as events write it.
function shown(value, peer, path = "$", seen = new Map()) {
  if (value === undefined) return { js: "undefined" };
  if (typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0))) {
    return { js: Object.is(value, -0) ? "-0" : String(value) };
  }
  if (typeof value === "function") return { js: "function", capId: peer.capId(value) };
  if (value instanceof Error) return { js: "Error", name: value.name, message: value.message };
  if (value === null || typeof value !== "object") return value;
  if (seen.has(value)) return { js: "ref", path: seen.get(value) };
  seen.set(value, path);
  if (Array.isArray(value)) return value.map((element, i) => shown(element, peer, `${path}[${i}]`, seen));
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, shown(member, peer, `${path}.${key}`, seen)]));
}

function thrown(error) {
  return error instanceof Error ? { name: error.name, message: error.message } : { thrown: error };
}

// V8 words its syntax errors a little differently from version to version.
function sameThrow(got, want, what) {
  if (want.name === "SyntaxError") equal(got?.name, want.name, what);
  else equal(got, want, what);
}

// The recorded ids and ours: one for one. Those of the other side are the same.
class Ids {
  #ours = new Map();
  #recorded = new Map();

  pair(recorded, ours) {
    if (!this.#ours.has(recorded) && !this.#recorded.has(ours)) {
      this.#ours.set(recorded, ours);
      this.#recorded.set(ours, recorded);
    }
    return this.#ours.get(recorded) === ours && this.#recorded.get(ours) === recorded;
  }

  // A recorded text of the other side with our ids.
  toOurs(text) {
    for (const id of text.match(ID) ?? []) if (!this.#ours.has(id)) this.pair(id, id);
    return text.replace(ID, (id) => this.#ours.get(id));
  }

  // Compares our text with the recorded one.
  same(ours, recorded, what) {
    const [mine, theirs] = [ours.match(ID) ?? [], recorded.match(ID) ?? []];
    const paired = mine.length === theirs.length && theirs.every((id, i) => this.pair(id, mine[i]));
    if (!paired || ours !== recorded.replace(ID, (id) => this.#ours.get(id))) {
      fail(`${what}:\n     got ${ours}\nexpected ${recorded}`);
    }
  }
}

// ---------------------------------------------------------------------------------------------- one replay

// Things in the order they came, to be taken one by one.
class Queue {
  items = [];

  async take(what) {
    for (const end = Date.now() + PATIENCE; this.items.length === 0; await nextTurn()) {
      if (Date.now() > end) fail(`${what} did not come`);
    }
    return this.items.shift();
  }
}

class FakeSocket extends EventEmitter {
  destroyed = false;

  constructor(sent) {
    super();
    this.write = (text) => sent.push(text);
  }

  destroy() {
    this.destroyed = true;
  }
}

let unhandled; // where rejections go that nobody took
process.on("unhandledRejection", (error) => unhandled(error));

async function replay(header, lines, side) {
  const ids = new Ids();
  const sent = new Queue(); // texts
  const seen = new Queue(); // events
  const throws = [];
  const open = new Map(); // label -> abandon
  const overTcp = header.transport.startsWith("tcp");
  const other = side === "a" ? "b" : "a";

  // The arguments of programs: the peer, its connection, and means to note what happens as the recording does.
  const t = {
    Peer,
    capId: lines.find((line) => line.event === "note" && line.capId)?.capId,
    results: (call) => lines.filter((line) => line.event === "result" && line.call === call).map(({ value }) => value),
    index: () => t.remote.requestIndex(),
    expose: (f) => ids.pair(t.capId, t.peer.capId(f)),
    event: ({ event, ...rest }) => void seen.items.push(JSON.stringify({ event, side, ...rest })),
    attempt(event, run) {
      try {
        run();
      } catch (error) {
        t.event({ ...event, error: thrown(error) });
      }
    },
    async until(condition) {
      while (!condition()) await nextTurn();
    },
    // Goes on when the call is settled, or the recording says that it never was.
    call(label, run) {
      return new Promise((goOn) => {
        open.set(label, goOn);
        const settled = (outcome) => {
          open.delete(label);
          t.event({ ...outcome, call: label });
        };
        run().then(
          (value) => {
            settled({ event: "result", value: shown(value, t.peer) });
            goOn(value);
          },
          (reason) => {
            settled({ event: "rejected", reason: shown(reason, t.peer) });
            goOn();
          },
        );
      });
    },
  };

  const program = programs[header.scenario](t);
  t.peer = new Peer(side === "b" ? program.index : program.clientIndex);
  const socket = new FakeSocket(sent.items);
  t.remote = overTcp
    ? overStream(t.peer, socket, (error) => throws.push(thrown(error)))
    : t.peer.connect((message) => sent.items.push(JSON.stringify(message)));
  unhandled = (error) => t.event({ event: "unhandledRejection", error: thrown(error) });
  let programError;
  (side === "a" ? program.client : program.server)?.().catch((error) => (programError = error));

  async function receive(text) {
    try {
      t.remote.receive(JSON.parse(text));
    } catch (error) {
      throws.push(thrown(error));
    }
    await settle();
  }

  // Lets microtasks and immediates that are due run.
  async function settle() {
    for (let i = 0; i < 3; i++) await nextTurn();
    if (programError) throw programError;
  }

  let bytes = Buffer.alloc(0); // not received yet
  const travelling = (text) => (bytes = Buffer.concat([bytes, Buffer.from(text)]));

  async function event(line) {
    switch (line.event) {
      case "receive-throw":
        isTrue(throws.length > 0, "the peer did not throw");
        sameThrow(throws.shift(), line.error, "what the peer threw");
        break;
      case "remote-stream-error":
        sameThrow(throws.shift(), line.error, "what the stream's reader threw");
        isTrue(socket.destroyed, "the stream was not destroyed");
        break;
      case "never-settled":
        await settle();
        isTrue(open.has(line.call), `${line.call} was settled, or was not called`);
        open.get(line.call)();
        break;
      case "chunk-received":
        socket.emit("data", bytes.subarray(0, line.bytes));
        bytes = bytes.subarray(line.bytes);
        await settle();
        break;
      case "result":
      case "rejected":
      case "throws":
      case "callback-args":
      case "listener":
      case "note":
      case "construct-throw":
      case "unhandledRejection": {
        const { note, ...rest } = line;
        const what = `${line.event} ${line.call ?? ""}`;
        const [got, want] = [JSON.parse(await seen.take(what)), { ...rest, side }];
        // The order of an event's members does not matter.
        const order = (it) => JSON.stringify(Object.fromEntries(Object.keys(it).sort().map((key) => [key, it[key]])));
        ids.same(plain(order(got)), plain(order(want)), what);
        break;
      }
      default:
        if (!["socket-close", "socket-error", "chunk-sent"].includes(line.event)) fail(`unknown event ${line.event}`);
    }
  }

  for (const [i, line] of lines.entries()) {
    try {
      if (line.dir !== undefined) {
        const text = line.raw ?? JSON.stringify(line.msg);
        if (line.dir.startsWith(side)) {
          ids.same(plain(await sent.take(text)), plain(text), "message");
          if ("msg_bytes" in line) continue;
        } else if (overTcp) {
          const stretched = text.replace(/"(.) x (\d+)"/g, (_, c, n) => JSON.stringify(c.repeat(n)));
          travelling(ids.toOurs(stretched));
        } else {
          await receive(ids.toOurs(text));
        }
      } else if (line.event === "chunk-sent" && line.side === other && header.a.startsWith("hand-written")) {
        bytes = Buffer.alloc(0); // each is received as it was sent, or not at all
        travelling(ids.toOurs(line.text));
      } else if (isOurs(line, side)) {
        await event(line);
      }
    } catch (error) {
      throw new Error(`line ${i + 2}: ${error?.message ?? error}`);
    }
  }
  await settle();
  equal(sent.items, [], "messages that were not recorded");
  equal(seen.items, [], "events that were not recorded");
  equal(throws, [], "what the peer threw and the real one did not");
}

// Which side an event without a side is about. Of the notes only those that a program makes.
function isOurs(line, side) {
  switch (line.event) {
    case "note":
      return side === "a" && NOTES.some((name) => name in line);
    case "unhandledRejection":
      return side === "b";
    case "construct-throw":
      return side === "a";
    default:
      return line.side === side;
  }
}
const NOTES = ["client_registered", "got_same_function_back", "same_capId", "same_function_object", "x_is_y"];

// ---------------------------------------------------------------------------------------------- all of them

const wanted = process.argv.slice(2);
const files = readdirSync(FOLDER).filter((file) => file.endsWith(".jsonl"));
isTrue(files.length > 0, "there are no recordings");
for (const name of [...Object.keys(programs), ...Object.keys(notMet)]) {
  isTrue(files.includes(`${name}.jsonl`), `there is no recording ${name}`);
}

let passed = 0;
let failed = 0;
for (const file of files) {
  const [header, ...lines] = readFileSync(new URL(file, FOLDER), "utf8").trim().split("\n").map((line) => JSON.parse(line));
  const { scenario } = header;
  if (wanted.length > 0 && !wanted.includes(scenario)) continue;
  if (scenario in notMet) {
    console.log(`not met: ${scenario} (${notMet[scenario]})`);
    continue;
  }
  for (const side of header.a.startsWith("hand-written") ? ["b"] : ["a", "b"]) {
    try {
      if (!(scenario in programs)) fail("has no program");
      await replay(header, lines, side);
      passed++;
    } catch (error) {
      failed++;
      console.log(`FAILED ${scenario} as ${side}: ${error.message}`);
    }
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
