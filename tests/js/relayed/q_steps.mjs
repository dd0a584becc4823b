// The objects of the two programs of q-connection, and the steps of programs.
//
// A reference is a promise that is fulfilled with itself, so it is never awaited: `value(promise)` is for results that
// are no reference. No function that gives one is async.

import Q from "q";
import { plainValue } from "./drawing.mjs";

class Counter {
  count = 0; // own members can be read and written from afar
  #log = [];
  #notes;

  constructor(notes) {
    this.#notes = notes;
    notes.counters.push(this.#log);
  }

  next() {
    this.#log.push("next");
    return ++this.count;
  }

  another() {
    return new Counter(this.#notes);
  }
}

function turns(count) {
  const { promise, resolve } = Q.defer();
  const turn = (left) => (left === 0 ? resolve() : setImmediate(turn, left - 1));
  turn(count);
  return promise;
}

// The functions get references as promises, and do with them what they would with promises of their own.
export function makeLab(notes) {
  const told = (line, answer) => (notes.log.push(line), answer);
  return {
    name: "lab",
    tools: { double: (number) => number * 2, deep: { list: [7, (text) => `${text}!`] } },
    note: (number) => told(`note ${number}`, number),
    getA: (it) => told("get", it.get("a")),
    make: () => new Counter(notes),
    several: () => ({ one: new Counter(notes), list: [new Counter(notes), 3] }),
    adder: (by) => (number) => number + by,
    echo: (it) => it,
    later: (count, number) => told(`later ${number}`, turns(count).then(() => number)),
    fail(message, properties) {
      throw Object.assign(new RangeError(message), properties);
    },
    failLater: (message) => turns(1).then(() => {
      throw new TypeError(message);
    }),
    call: (f, ...args) => Q.fapply(f, args).then((answer) => told("called", answer)),
    callTwice: (f, number) => Q.all([Q.fcall(f, number), Q.fcall(f, number + 1)]),
    lend: (f) => Q.fcall(f, new Counter(notes)),
    use: (counter) => Q.all([counter.invoke("next"), counter.invoke("next")]),
    useInside: ({ counter, times }) => Q.all([...Array(times)].map(() => counter.invoke("next"))),
    keep: (f) => void (notes.kept = f),
    callKept: (number) => (notes.kept === undefined ? "nothing kept" : Q.fcall(notes.kept, number)),
    progress(count) {
      const { promise, notify, resolve } = Q.defer();
      const step = (at) => setImmediate(() => (at === count ? resolve("done") : (notify(at), step(at + 1))));
      step(0);
      return promise;
    },
  };
}

// The value of a Q promise in a box, which `await` leaves alone.
const boxed = (promise) => new Promise((resolve, reject) => Q(promise).then((it) => resolve({ it }), reject));

async function value(promise) {
  const { it } = await boxed(promise);
  if (Q.isPromise(it)) throw new Error("got a reference, expected a value");
  return it;
}

const values = (promises) => Promise.all(promises.map(value));

// Returns the value as text. A number stands for a value that occurs twice or contains itself. Stacks are left out.
function show(value, seen = new Map()) {
  if (Q.isPromise(value)) return "reference";
  if (typeof value === "function") return "function";
  if (typeof value === "string") return JSON.stringify(value);
  if (Object.is(value, -0)) return "-0";
  if (Object(value) !== value) return String(value);
  if (seen.has(value)) return `#${seen.get(value)}`;
  seen.set(value, seen.size);
  if (Array.isArray(value)) return `[${value.map((member) => show(member, seen)).join(",")}]`;
  const members = [];
  if (value instanceof Error) members.push(`message:${show(value.message)}`);
  for (const [key, member] of Object.entries(value)) if (key !== "stack") members.push(`${JSON.stringify(key)}:${show(member, seen)}`);
  return `{${members.join(",")}}`;
}

export async function outcome(step) {
  try {
    return `resolved ${show(await step())}`;
  } catch (error) {
    if (error?.timedOut) throw error;
    return `rejected ${show(error)}`;
  }
}

const KINDS = [
  (draw) => [NaN, Infinity, -Infinity][draw(3)],
  (draw) => ({ [["@", "!", "%", "$", "/", "\\", "a@b!", "/a/b", "\\@"][draw(9)]]: draw(10) }),
  (draw) => new TypeError(`error ${draw(9)}`),
];

function valueOf(draw) {
  const it = plainValue(draw, KINDS);
  switch (draw(6)) {
    case 0: return [it, { again: it }];
    case 1: {
      const cycle = { it, list: [1] };
      cycle.list.push(cycle.list, cycle);
      return { cycle };
    }
    default: return it;
  }
}

// The package does not decode what a call is rejected with, so `undefined` in it is something else when it arrives.
const sayable = (draw) => JSON.parse(JSON.stringify(plainValue(draw)) ?? "null");

const counted = (me, by) => (number) => (me.notes.log.push(`callback ${number}`), number + by);

export const STEPS = {
  note: ({ other }, draw) => value(other.invoke("note", draw(1000))),
  property: ({ other }) => value(other.get("name")),
  propertyInProperty: ({ other }) => value(other.get("tools").get("deep").get("list").get(0)),
  functionInProperty: ({ other }, draw) => value(other.get("tools").invoke("double", draw(50))),
  functionDeepInProperty: ({ other }) => value(other.get("tools").get("deep").get("list").get(1).fcall("a")),
  propertyAll: async ({ other }, draw) => {
    const tools = await value(other.get("tools"));
    return [show(tools), await value(tools.double(draw(9))), await value(tools.deep.list[1]("b"))];
  },
  missing: ({ other }) => value(other.get("missing")),
  callMissing: async ({ other }) => {
    await boxed(other.invoke("missing", 1)).then(() => { throw new Error("it was called"); }, () => {});
  },
  notCallable: async ({ other }) => {
    await boxed(other.invoke("name")).then(() => { throw new Error("it was called"); }, () => {});
  },
  keys: ({ other }) => value(other.get("tools").keys()),
  keysOfResult: ({ other }) => value(other.invoke("echo", { b: 1, a: [2] }).keys()),
  memberOfResult: ({ other }, draw) => value(other.invoke("echo", { deep: { y: [1, { z: draw(9) }] } }).get("deep").get("y").get(1).get("z")),
  set: async ({ other }, draw) => {
    const counter = other.invoke("make");
    return values([counter.set("count", draw(100)), counter.invoke("next"), counter.get("count")]);
  },
  remove: async ({ other }) => {
    const counter = other.invoke("make");
    return values([counter.delete("count"), counter.get("count"), counter.invoke("next")]);
  },
  fail: ({ other }, draw) => value(other.invoke("fail", `failure ${draw(10)}`, { code: draw(5), deep: sayable(draw) })),
  failLater: ({ other }, draw) => value(other.invoke("failLater", `failure ${draw(10)}`)),
  below: ({ other }, draw) => value(other.invoke("fail", `failure ${draw(10)}`, {}).get("one").invoke("next")),
  echo: ({ other }, draw) => value(other.invoke("echo", valueOf(draw))),
  echoSeveral: ({ other }, draw) => value(other.invoke("call", (...all) => all, valueOf(draw), valueOf(draw))),
  later: ({ other }, draw) => value(other.invoke("later", draw(4), draw(1000))),
  burst: ({ other }, draw) => values([...Array(2 + draw(10))].map(() => other.invoke("note", draw(1000)))),
  mixed: ({ other }, draw) => {
    return values([other.invoke("later", draw(3), 1), other.invoke("note", draw(99)), other.invoke("later", draw(3), 2), other.invoke("note", 3)]);
  },
  progress: async ({ other }, draw) => {
    const heard = [];
    const done = await value(other.invoke("progress", draw(5)).progress((at) => void heard.push(at)));
    return [done, heard];
  },

  chain: ({ other }) => {
    const counter = other.invoke("make");
    return values([counter.invoke("next"), counter.invoke("next"), counter.get("count")]);
  },
  chainOfObjects: ({ other }) => {
    const first = other.invoke("make");
    const second = first.invoke("another");
    const third = second.invoke("another");
    return values([third.invoke("next"), second.invoke("next"), third.invoke("next"), first.get("count")]);
  },
  member: ({ other }) => value(other.invoke("several").get("one").invoke("next")),
  memberOfList: ({ other }) => value(other.invoke("several").get("list").get(0).invoke("next")),
  functionResult: ({ other }, draw) => {
    const adder = other.invoke("adder", draw(100));
    return values([adder.fcall(1), adder.fcall(2)]);
  },
  order: async ({ other }, draw) => {
    const counter = other.invoke("make");
    return values([other.invoke("note", draw(9)), counter.invoke("next"), other.invoke("note", draw(9)), counter.invoke("next")]);
  },
  acrossResolution: async ({ other }, draw) => {
    const counter = other.invoke("make");
    const early = [counter.invoke("next"), counter.invoke("next")];
    await value(turns(draw(6)));
    return values([...early, counter.invoke("next"), counter.invoke("next")]);
  },

  // Only a call tells what a promise of the other side resolves to.
  promiseOfTheirs: ({ other }, draw) => value(other.invoke("getA", other.invoke("echo", { a: draw(9) }))),
  promiseOfTheirsInside: ({ other }, draw) => value(other.invoke("echo", [other.invoke("echo", { a: draw(9) })]).get(0).get("a")),
  promiseOfTheirsThatFails: ({ other }) => value(other.invoke("getA", other.invoke("failLater", "inner"))),
  promiseOfOurs: ({ other }, draw) => value(other.invoke("getA", turns(draw(4)).then(() => ({ a: 5 })))),
  promiseOfOursThatFails: ({ other }, draw) => value(other.invoke("getA", turns(draw(4)).then(() => { throw new Error("ours"); }))),
  promiseOfOursBack: ({ other }, draw) => value(other.invoke("echo", { deep: turns(draw(4)).then(() => ({ a: 5 })) }).get("deep").get("a")),
  promiseOfObject: ({ other }) => {
    const counter = other.invoke("make");
    return values([other.invoke("use", counter), other.invoke("use", counter)]);
  },
  promiseOfObjectInside: ({ other }, draw) => value(other.invoke("useInside", { counter: other.invoke("make"), times: draw(4) })),

  held: async ({ other }) => {
    const { it: counter } = await boxed(other.invoke("make"));
    return values([counter.invoke("next"), counter.invoke("next")]);
  },
  severalHeld: async ({ other }) => {
    const { one, list: [first, three] } = await value(other.invoke("several"));
    return values([first.invoke("next"), one.invoke("next"), one.invoke("next"), three]);
  },
  home: async ({ other }) => {
    const { it: counter } = await boxed(other.invoke("make"));
    return [await value(counter.invoke("next")), await value(other.invoke("use", counter)), await value(counter.invoke("next"))];
  },
  thereAndBack: async ({ other }) => {
    const { it: counter } = await boxed(other.invoke("make"));
    const { deep: [again] } = await value(other.invoke("echo", { deep: [counter] }));
    return [await value(again.invoke("next")), await value(counter.invoke("next"))];
  },
  ownBack: async (me, draw) => {
    const { deep: [f] } = await value(me.other.invoke("echo", { deep: [counted(me, draw(9))] }));
    return value(Q.fcall(f, draw(9)));
  },
  ownObjectBack: async (me) => {
    const [counter] = await value(me.other.invoke("echo", [new Counter(me.notes)]));
    return values([counter.invoke("next"), counter.get("count")]);
  },

  lendObject: (me) => value(me.other.invoke("use", new Counter(me.notes))),
  callback: (me, draw) => value(me.other.invoke("call", counted(me, draw(100)), draw(100))),
  callbackTwice: ({ other }, draw) => value(other.invoke("callTwice", (number) => number * 2, draw(100))),
  callbackFails: ({ other }, draw) => {
    const error = Object.assign(new TypeError(`callback ${draw(9)}`), { code: draw(9) });
    return value(other.invoke("call", () => { throw error; }));
  },
  callbackCallsBack: ({ other }, draw) => value(other.invoke("call", (number) => other.invoke("note", number), draw(100))),
  callbackNested: ({ other }, draw) => {
    return value(other.invoke("call", (number) => other.invoke("call", (inner) => inner + 1, number), draw(100)));
  },
  callbackValue: ({ other }, draw) => {
    const answer = valueOf(draw);
    return value(other.invoke("call", () => answer));
  },
  callbackGetsObject: ({ other }) => value(other.invoke("lend", (counter) => Q.all([counter.invoke("next"), counter.get("count")]))),
  callbackSendsHome: ({ other }) => value(other.invoke("lend", (counter) => other.invoke("use", counter))),
  keep: (me, draw) => value(me.other.invoke("keep", counted(me, draw(100)))),
  callKept: ({ other }, draw) => value(other.invoke("callKept", draw(100))),
};
