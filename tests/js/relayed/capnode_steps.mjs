// The indexes of the two peers of Capnode, and the steps of programs.

import { setImmediate as nextTurn } from "node:timers/promises";

const turns = async (count) => {
  for (let turn = 0; turn < count; turn++) await nextTurn();
};

function makeCounter(notes) {
  const log = [];
  notes.counters.push(log);
  return { next: async () => log.push("next"), another: async () => makeCounter(notes), label: "a counter" };
}

// A function of the other side is rejected with the message that said so, which is no error.
function passOn(reason) {
  throw reason.type === "error" ? new Error(reason.value.message) : reason;
}

// All functions are async, because an error thrown synchronously is never answered.
export function makeLab(notes) {
  return {
    name: "lab",
    tools: { double: async (number) => number * 2, deep: { list: [7, async (text) => `${text}!`] } },
    async note(number) {
      notes.log.push(`note ${number}`);
      return number;
    },
    make: async () => makeCounter(notes),
    several: async () => ({ one: makeCounter(notes), list: [makeCounter(notes), 3] }),
    adder: async (by) => async (number) => number + by,
    echo: async (it) => it,
    async later(count, number) {
      notes.log.push(`later ${number}`);
      await turns(count);
      return number;
    },
    async fail(message) {
      throw new RangeError(message);
    },
    async call(f, ...args) {
      const answer = await f(...args).catch(passOn);
      notes.log.push("called");
      return answer;
    },
    callTwice: async (f, number) => Promise.all([f(number), f(number + 1)]),
    lend: async (f) => f(makeCounter(notes)),
    use: async (counter) => [await counter.next(), await counter.next(), counter.label],
    async keep(f) {
      notes.kept = f;
    },
    callKept: async (number) => (notes.kept === undefined ? "nothing kept" : notes.kept(number)),
  };
}

// Returns the value as text. A number stands for a value that occurs twice or contains itself. Stacks, and the side that
// an error came from, are left out.
function show(value, seen = new Map()) {
  if (typeof value === "string") return JSON.stringify(value);
  if (Object(value) !== value) return String(value);
  if (seen.has(value)) return `#${seen.get(value)}`;
  seen.set(value, seen.size);
  if (typeof value === "function") return "function";
  if (Array.isArray(value)) return `[${value.map((member) => show(member, seen)).join(",")}]`;
  return `{${Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}:${show(member, seen)}`).join(",")}}`;
}

export async function outcome(step) {
  try {
    return `resolved ${show(await step())}`;
  } catch (reason) {
    if (reason?.type !== "error") throw reason; // no message of the other side
    return `rejected ${show(reason.value.message)}`;
  }
}

const KEYS = ["a", "ключ", "constructor", "then", "0", "a.b", "type", "id", "links"];

// Values that the language can express: no null, no NaN, and no undefined in a list.
function plain(draw, depth = 0) {
  switch (draw(depth > 2 ? 4 : 6)) {
    case 0: return draw(2) === 1;
    case 1: return [0, 2 ** 53, -(2 ** 63), 5e-324, 1e300, draw(1000) / 7][draw(6)];
    case 2: return `é\u{1f600}\n"\\ ${draw(100)}`;
    case 3: return draw(1000) - 500;
    case 4: return Array.from({ length: draw(4) }, () => plain(draw, depth + 1));
    default: return Object.fromEntries(Array.from({ length: draw(4) }, () => [KEYS[draw(KEYS.length)], plain(draw, depth + 1)]));
  }
}

function valueOf(draw) {
  const it = plain(draw);
  switch (draw(6)) {
    case 0: return [it, { again: it, nothing: undefined }];
    case 1: {
      const cycle = { it, deep: {} };
      cycle.deep.home = cycle;
      return { cycle };
    }
    default: return it;
  }
}

const counted = (me, by) => async (number) => (me.notes.log.push(`callback ${number}`), number + by);

export const STEPS = {
  note: ({ other }, draw) => other.note(draw(1000)),
  property: async ({ other }) => [other.name, other.tools.deep.list[0]],
  functionInProperty: ({ other }, draw) => other.tools.double(draw(50)),
  functionDeepInProperty: ({ other }) => other.tools.deep.list[1]("a"),
  index: async ({ remote }, draw) => {
    const index = await remote.requestIndex();
    return [index, await index.note(draw(100))];
  },
  fail: ({ other }, draw) => other.fail(`failure ${draw(10)}`),
  echo: ({ other }, draw) => other.echo(valueOf(draw)),
  echoSeveral: ({ other }, draw) => other.call(async (...all) => all, valueOf(draw), valueOf(draw)),
  later: ({ other }, draw) => other.later(draw(4), draw(1000)),
  burst: ({ other }, draw) => Promise.all(Array.from({ length: 2 + draw(10) }, () => other.note(draw(1000)))),
  mixed: ({ other }, draw) => Promise.all([other.later(draw(3), 1), other.note(draw(99)), other.later(draw(3), 2), other.note(3)]),

  made: async ({ other }) => {
    const counter = await other.make();
    return [await counter.next(), counter.label, ...(await Promise.all([counter.next(), counter.next()]))];
  },
  another: async ({ other }) => {
    const first = await other.make();
    const second = await first.another();
    return [await second.next(), await first.next(), await second.next()];
  },
  several: async ({ other }) => {
    const { one, list: [first, three] } = await other.several();
    return [await first.next(), await one.next(), await one.next(), three];
  },
  functionResult: async ({ other }, draw) => {
    const adder = await other.adder(draw(100));
    return [await adder(1), await adder(2)];
  },
  home: async ({ other }) => {
    const counter = await other.make();
    return [await counter.next(), await other.use(counter), await counter.next()];
  },
  thereAndBack: async ({ other }) => {
    const counter = await other.make();
    const { deep: [again] } = await other.echo({ deep: [counter] });
    return [await again.next(), await counter.next(), again.label];
  },
  ownBack: async (me, draw) => (await me.other.echo({ f: counted(me, draw(9)) })).f(draw(9)),

  lend: (me) => me.other.use(makeCounter(me.notes)),
  callback: (me, draw) => me.other.call(counted(me, draw(100)), draw(100)),
  callbackTwice: ({ other }, draw) => other.callTwice(async (number) => number * 2, draw(100)),
  callbackFails: ({ other }, draw) => other.call(async () => {
    throw new TypeError(`callback ${draw(9)}`);
  }),
  callbackCallsBack: ({ other }, draw) => other.call((number) => other.note(number), draw(100)),
  callbackNested: ({ other }, draw) => other.call((number) => other.call(async (inner) => inner + 1, number), draw(100)),
  callbackValue: ({ other }, draw) => {
    const answer = valueOf(draw);
    return other.call(async () => answer);
  },
  callbackGetsObject: ({ other }) => other.lend(async (counter) => [await counter.next(), counter.label, await counter.next()]),
  callbackSendsHome: ({ other }) => other.lend((counter) => other.use(counter)),
  callbackGivesObject: async (me) => {
    const counter = await me.other.call(async () => makeCounter(me.notes));
    return [await counter.next(), await counter.next()];
  },
  keep: (me, draw) => me.other.keep(counted(me, draw(100))),
  callKept: ({ other }, draw) => other.callKept(draw(100)),
  dealloc: async ({ other, peer }) => {
    const counter = await other.make();
    const first = await counter.next();
    return [first, await peer.dealloc(counter.another), await counter.next()];
  },
};
