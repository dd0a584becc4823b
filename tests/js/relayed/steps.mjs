// The steps of programs. Each gets `me`, who makes it, and `draw` for what is random in it. Its result or
// rejection is compared.

import { setImmediate as nextTurn } from "node:timers/promises";
import { newest, since } from "../capnweb.mjs";
import { plainValue } from "./drawing.mjs";
import { Counter, promise, streamOf, UNSUPPORTED, unsupported } from "./lab.mjs";
import { outcome } from "./outcome.mjs";

const KINDS = [
  (draw) => BigInt(draw(1000) - 500) ** 9n,
  (draw) => new Date(draw(1e9)),
  (draw) => new Uint8Array([draw(256), draw(256)]),
  (draw) => new TypeError(`error ${draw(10)}`),
  (draw) => [NaN, Infinity, -Infinity][draw(3)],
];
if (since(8)) {
  KINDS.push(
    () => new Date(NaN),
    (draw) => new Headers([["a", `${draw(9)}`]]),
    (draw) => Object.assign(new RangeError("with more"), { code: draw(9), deep: { list: [1n, undefined] } }),
  );
}
if (newest) {
  KINDS.push(
    (draw) => new URL(`https://example.com/${draw(100)}`),
    (draw) => new Float32Array([draw(100) / 8]),
    (draw) => new Uint8Array([draw(256)]).buffer,
    (draw) => new Error("outer", { cause: new TypeError(`inner ${draw(9)}`) }),
  );
}

const value = (draw) => plainValue(draw, KINDS);

// Disposes of a stub or result when it has been used. A promise is not waited for.
async function holding(stub, use) {
  try {
    return await use(stub);
  } finally {
    stub[Symbol.dispose]();
  }
}

const counted = (me, by) => (number) => {
  me.notes.log.push(`callback ${number}`);
  return number + by;
};

export const STEPS = {
  note: (me, draw) => me.other.note(draw(1000)),
  property: (me) => me.other.name,
  propertyInProperty: (me) => me.other.tools.deep.seven,
  functionInProperty: (me, draw) => me.other.tools.double(draw(50)),
  functionDeepInProperty: (me, draw) => me.other.tools.deep.exclaim(`${draw(50)}`),
  propertyAll: (me, draw) => holding(me.other.tools, async (tools) => {
    const got = await tools;
    return [got.deep.list[0], await got.double(draw(9)), await got.deep.list[1]("a")];
  }),
  missing: (me) => me.other.missing(1),
  missingBelow: (me) => me.other.tools.nothing(1),
  missingValue: (me) => me.other.tools.nothing,
  notCallable: (me) => me.other.name(),
  fail: (me, draw) => me.other.fail(`failure ${draw(10)}`, since(8) ? { code: draw(5), deep: value(draw) } : {}),
  failLater: (me, draw) => me.other.failLater(`failure ${draw(10)}`),
  below: (me, draw) => me.other.fail(`failure ${draw(10)}`, {}).one.next(),
  echo: (me, draw) => me.other.echo(value(draw)),
  later: (me, draw) => me.other.later(draw(4), draw(1000)),
  burst: (me, draw) => Promise.all(Array.from({ length: 2 + draw(10) }, () => me.other.note(draw(1000)))),
  mixed: (me, draw) => {
    const { other } = me;
    return Promise.all([other.later(draw(3), 1), other.note(draw(1000)), other.later(draw(3), 2), other.note(draw(1000))]);
  },

  // Calls and reads of results that are not there yet.
  chain: (me) => holding(me.other.make(), async (counter) => [await counter.next(), await counter.next(), await counter.label]),
  chainOfObjects: async (me) => {
    const first = me.other.make();
    const second = first.another();
    const third = second.another();
    const seen = await Promise.all([third.next(), second.next(), third.next(), first.label]);
    for (const counter of [second, first, third]) counter[Symbol.dispose]();
    return seen;
  },
  member: (me) => holding(me.other.several(), async (several) => several.one.next()),
  memberValue: (me) => holding(me.other.several(), async (several) => several.three),
  functionResult: (me, draw) => holding(me.other.adder(draw(100)), async (adder) => [await adder(1), await adder(2)]),
  awaitedTwice: (me) => holding(me.other.make(), async (counter) => [await (await counter).next(), await (await counter).next()]),
  order: async (me, draw) => {
    const before = me.other.note(draw(100));
    const counter = me.other.make();
    const steps = [counter.next(), counter.next(), me.other.note(draw(100)), counter.next()];
    const seen = await Promise.all([before, ...steps]);
    counter[Symbol.dispose]();
    return seen;
  },
  acrossResolution: (me, draw) => holding(me.other.make(), async (counter) => {
    const early = [counter.next(), counter.next()];
    for (let turn = draw(6); turn > 0; turn--) await nextTurn();
    return Promise.all([...early, counter.next(), counter.next()]);
  }),

  // Promises as arguments.
  pipelined: (me, draw) => me.other.add(me.other.add(draw(10), 1), me.other.later(draw(3), draw(10))),
  pipelinedInside: (me, draw) => me.other.echo({ a: [me.other.note(draw(9)), me.other.name], b: me.other.echo([value(draw)]) }),
  pipelinedProperty: (me, draw) => me.other.add(me.other.tools.deep.seven, draw(9)),
  pipelinedFailure: (me, draw) => me.other.add(1, me.other.fail("inner", since(8) ? { code: draw(5) } : {})),
  pipelinedFailureInside: (me, draw) => me.other.echo([me.other.failLater(`late ${draw(5)}`), 1]),
  promiseOfObject: (me) => holding(me.other.make(), async (counter) => [await me.other.use(counter), await counter.next()]),
  promiseOfObjectInside: (me, draw) => {
    const times = draw(4);
    return holding(me.other.make(), async (counter) => me.other.useInside({ counter, times }));
  },
  promiseOfMember: (me) => holding(me.other.several(), async (several) => [await me.other.use(several.deep.two), await several.one.next()]),
  promiseOfFunction: (me, draw) => holding(me.other.adder(draw(9)), async (adder) => me.other.call(adder, draw(9))),

  promiseOfCallback: async (me, draw) => holding(await me.other.promiseOf(() => draw(100)), async ({ answer }) => answer),
  promiseOfCallbacksObject: async (me) => {
    return holding(await me.other.promiseOf(() => new Counter(me.notes)), async ({ answer }) => [await answer.next(), await answer.next()]);
  },

  // Objects that are held, and that go home again.
  held: async (me, draw) => holding(await me.other.make(), async (counter) => {
    const seen = [];
    for (let time = draw(4); time >= 0; time--) seen.push(await counter.next());
    return seen;
  }),
  severalHeld: async (me) => holding(await me.other.several(), async (several) => {
    return [await several.list[0].next(), await several.one.next(), await several.deep.two.next(), several.three];
  }),
  doubled: async (me) => {
    const counter = await me.other.make();
    const again = counter.dup();
    const first = await counter.next();
    counter[Symbol.dispose]();
    return holding(again, async () => [first, await again.next()]);
  },
  home: async (me) => holding(await me.other.make(), async (counter) => {
    return [await counter.next(), await me.other.use(counter), await counter.next()];
  }),
  homeInside: async (me, draw) => holding(await me.other.make(), async (counter) => {
    return [await me.other.useInside({ counter, times: draw(4) }), await counter.next()];
  }),
  ownBack: async (me, draw) => holding(await me.other.back({ it: counted(me, draw(9)) }), async ({ deep }) => deep[0](draw(9))),
  ownObjectBack: async (me) => holding(await me.other.back({ it: new Counter(me.notes) }), async ({ deep: [counter] }) => counter.next()),
  backOfBack: async (me) => holding(await me.other.back({ it: new Counter(me.notes) }), async ({ deep: [counter] }) => {
    return holding(await me.other.back({ it: counter }), async ({ deep: [again] }) => [await again.next(), await counter.next()]);
  }),

  // Callbacks.
  lendObject: (me) => me.other.use(new Counter(me.notes)),
  callback: (me, draw) => me.other.call(counted(me, draw(100)), draw(100)),
  callbackTwice: (me, draw) => me.other.callTwice((number) => number * 2, draw(100)),
  callbackFails: (me, draw) => {
    const message = `callback ${draw(10)}`;
    return me.other.call(() => {
      throw new TypeError(message);
    });
  },
  callbackCallsBack: (me, draw) => me.other.call(async (number) => (await me.other.note(number)) + 1, draw(100)),
  callbackNested: (me, draw) => me.other.call((number) => me.other.call((inner) => inner + 1, number), draw(100)),
  callbackValue: (me, draw) => {
    const answer = value(draw);
    return me.other.call(() => answer);
  },
  callbackGetsObject: (me) => me.other.lend(async (counter) => [await counter.next(), await counter.label, await counter.next()]),
  callbackKeepsObject: async (me) => {
    let kept;
    await me.other.lend((counter) => void (kept = counter.dup()));
    return holding(kept, async () => [await kept.next(), await kept.next()]);
  },
  callbackSendsHome: (me) => me.other.lend((counter) => me.other.use(counter)),
  callbackGivesObject: async (me) => holding(await me.other.wrapped(() => new Counter(me.notes)), async ({ answer }) => answer.next()),
  callbackGivesFunction: async (me, draw) => {
    const by = draw(9);
    return holding(await me.other.wrapped(() => (number) => number + by), async ({ answer }) => answer(1));
  },
  // Inside a value: npm's client fails where the whole result is an object of the caller's.
  callbackGivesTheirs: async (me) => holding(await me.other.wrapped(async () => [await me.other.make()]), async ({ answer }) => answer[0].next()),
  keep: (me, draw) => me.other.keep(counted(me, draw(100))),
  keepTheirs: async (me) => holding(await me.other.adder(1), async (adder) => me.other.keep(adder)),
  callKept: (me, draw) => me.other.callKept(draw(100)),
  dropKept: (me) => me.other.dropKept(),

  // Calls that are cancelled.
  disposed: async (me, draw) => {
    const pending = me.other.make();
    if (draw(2) === 1) await nextTurn();
    pending[Symbol.dispose]();
    return me.other.note(draw(100));
  },
  disposedWithCalls: async (me, draw) => {
    const pending = me.other.make();
    const called = pending.next();
    pending[Symbol.dispose]();
    if (draw(2) === 1) return called;
    called[Symbol.dispose]();
    return me.other.note(draw(100));
  },
};

if (newest) {
  // Promises of one's own as arguments, and those of the other side inside results.
  Object.assign(STEPS, {
    ownPromise: (me, draw) => holding(promise(draw(4), () => 1), (own) => me.other.add(own, draw(9))),
    ownPromiseInside: (me, draw) => holding(promise(draw(4), () => [draw(9)]), (own) => me.other.echo({ a: [own] })),
    ownPromiseOfObject: (me, draw) => holding(promise(draw(4), () => new Counter(me.notes)), (own) => me.other.use(own)),
    ownPromiseFails: (me, draw) => {
      return holding(promise(draw(4), () => { throw new TypeError("mine"); }), (own) => me.other.add(1, own));
    },
    promised: async (me, draw) => holding(await me.other.promised(draw(4), draw(100)), async ({ data, object, plain }) => {
      return [plain, await data, await object.next(), await object.next()];
    }),
    promisedPipelined: (me, draw) => holding(me.other.promised(draw(4), draw(100)), async (result) => {
      return [await result.object.next(), await result.data.number, await result.plain];
    }),
    promisedGivenBack: async (me, draw) => (await me.other.promised(draw(4), draw(100)))[Symbol.dispose](),
    promisedFailure: (me, draw) => me.other.promisedFailure(draw(4), `late ${draw(9)}`),
    promisedHome: async (me, draw) => holding(await me.other.promised(draw(4), 1), async ({ object }) => {
      return [await me.other.use(object), await me.other.useInside({ counter: object, times: 2 })];
    }),
    callbackGivesPromise: (me, draw) => {
      const turns = draw(4);
      return me.other.call(() => ({ deep: [promise(turns, () => 5)] }));
    },
  });
}

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

async function some(stream, count) {
  const reader = stream.getReader();
  const seen = [];
  while (seen.length < count) seen.push((await reader.read()).value);
  await reader.cancel(new Error("had enough"));
  return seen;
}

if (newest) {
  Object.assign(STEPS, {
    numbers: async (me, draw) => all(await me.other.numbers(draw(200))),
    numbersFail: async (me, draw) => {
      const stream = await me.other.numbers(draw(20), true);
      return outcome(() => all(stream));
    },
    numbersSome: async (me, draw) => some(await me.other.numbers(1000), draw(5)),
    numbersBeside: async (me, draw) => {
      const [stream, seen] = await Promise.all([me.other.numbers(100), me.other.note(draw(100))]);
      return [await all(stream), seen, await me.other.note(draw(100))];
    },
    endlessEnds: (me, draw) => holding(me.other.endless(), async (got) => {
      const { stream, ended } = await got;
      return [await some(stream, draw(50)), await ended()];
    }),
    countersInChunks: async (me, draw) => {
      const counters = await all(await me.other.counters(draw(4)));
      return Promise.all(counters.map((counter) => holding(counter, async () => [await counter.next(), await counter.next()])));
    },
    collect: (me, draw) => {
      const chunks = Array.from({ length: draw(30) }, () => value(draw));
      return me.other.collect(streamOf(chunks));
    },
    collectBytes: async (me, draw) => {
      const chunks = Array.from({ length: draw(20) }, () => new Uint8Array(draw(40_000)).fill(draw(256)));
      const got = await me.other.collect(streamOf(chunks));
      return [got.length, got.every((chunk, at) => Buffer.compare(chunk, chunks[at]) === 0)];
    },
    // What has not been read is lost to an error, as in any stream.
    collectFails: async (me, draw) => (await me.other.collect(streamOf([draw(9)], new RangeError("mine")))).error,
    twice: async (me, draw) => all(await me.other.twice(streamOf(Array(draw(100)).keys()))),
    twiceSome: async (me, draw) => some(await me.other.twice(streamOf(Array(1000).keys())), draw(5)),
    functionsInChunks: (me, draw) => me.other.callEach(streamOf([counted(me, 1), counted(me, 2)]), draw(100)),
    sink: (me, draw) => holding(me.other.sink(), async (promised) => {
      const writer = (await promised).getWriter();
      for (let at = draw(30); at > 0; at--) await writer.write(at);
      await writer.close();
    }),
    // A close that is on its way fails with an error of its own, if it is quicker.
    sinkFails: async (me) => {
      const writer = (await me.other.sink(3)).getWriter();
      return outcome(async () => {
        for (let at = 0; at < 5000; at++) {
          await writer.write(at);
          await nextTurn();
        }
      });
    },
    sinkAborted: async (me, draw) => {
      const writer = (await me.other.sink()).getWriter();
      await writer.write(draw(9));
      await writer.abort(new TypeError("changed my mind"));
    },
    fill: async (me, draw) => {
      const seen = [];
      await me.other.fill(new WritableStream({ write: (chunk) => void seen.push(chunk), close: () => void seen.push("closed") }), draw(30));
      return seen;
    },
    blob: async (me, draw) => {
      const blob = await me.other.blob("é".repeat(draw(3000)));
      return [blob.type, await blob.text()];
    },
    blobUnread: async (me, draw) => (await me.other.blob("é".repeat(draw(3000)))).type,
    blobThere: (me, draw) => me.other.textOf(new Blob(["a".repeat(draw(3000))])),
    blobThereUnread: (me, draw) => me.other.typeOf(new Blob(["a".repeat(draw(3000))], { type: "a/b" })),
    request: (me, draw) => me.other.textOf(new Request("http://localhost/a", { method: "POST", body: "a".repeat(draw(3000)) })),
    response: async (me, draw) => {
      const response = await me.other.respond("é".repeat(draw(3000)), 200 + draw(3));
      return [response.status, [...response.headers].length > 0, await response.text()];
    },
    responseEmpty: async (me) => (await me.other.respond(null, 204)).status,
    responseUnread: async (me, draw) => {
      const response = await me.other.respond("a".repeat(draw(3000)), 201);
      await response.body.cancel();
      return response.status;
    },
    map: (me, draw) => {
      const by = draw(9);
      return me.other.list(draw(8)).map((x) => me.other.add(x, by));
    },
    mapPlain: (me, draw) => me.other.list(draw(4)).map((x) => [x, { x, list: [x] }, "literal", null, 12n]),
    mapNested: (me, draw) => me.other.list(draw(4)).map((x) => me.other.echo([x, x]).map((y) => me.other.add(y, x))),
    mapObjects: (me, draw) => me.other.objects(draw(4)).map((counter) => [counter.next(), counter.next(), counter.label]),
    mapCallback: (me, draw) => holding(me.other.adder(draw(9)), (adder) => me.other.list(draw(5)).map((x) => adder(x))),
    mapFails: (me, draw) => me.other.list(1 + draw(3)).map((x) => me.other.fail("each", { x: 1 })),
    mapOfNull: (me) => me.other.echo(null).map((x) => me.other.note(x)),
    mapOfOne: (me, draw) => me.other.echo(draw(100)).map((x) => me.other.note(x)),
  });
}

// A call that has to fail, whatever else it was made with, while another one goes on.
async function failsAlone(me, draw, call) {
  const beside = me.other.later(3, draw(100));
  const came = await outcome(call);
  if (!came.startsWith("rejected ")) throw new Error(`the call ${came}`);
  return beside;
}


const wrapped = (draw, what) => [what, [what], { deep: [1, what] }, [() => 1, what]][draw(4)];

// Each has a call that ends the session of npm's own server, or that this library does not support. It fails alone.
export const FAILING = {
  // A promise that has settled: npm's client has released it, and names it all the same.
  settled: async (me, draw) => {
    const promise = me.other.note(draw(100));
    await promise;
    return failsAlone(me, draw, () => me.other.echo(wrapped(draw, promise)));
  },
  settledObject: async (me, draw) => {
    const promise = me.other.several();
    (await promise)[Symbol.dispose]();
    return failsAlone(me, draw, () => me.other.use(promise.one));
  },
  settledToCallback: async (me, draw) => {
    const promise = me.other.note(draw(100));
    await promise;
    return failsAlone(me, draw, () => me.other.call((given) => given, promise));
  },
  nullMessage: (me, draw) => failsAlone(me, draw, () => me.other.echo(wrapped(draw, Object.assign(new Error("x"), { message: null })))),
};
if (since(8)) {
  const one = (draw) => UNSUPPORTED[draw(UNSUPPORTED.length)];
  Object.assign(FAILING, {
    argument: (me, draw) => failsAlone(me, draw, () => me.other.echo(wrapped(draw, unsupported(one(draw))))),
    result: (me, draw) => failsAlone(me, draw, () => me.other.give(one(draw))),
    pipelinedResult: (me, draw) => holding(me.other.give(one(draw)), (given) => failsAlone(me, draw, () => me.other.echo([given]))),
    callbackResult: (me, draw) => failsAlone(me, draw, () => me.other.call(() => wrapped(draw, unsupported(one(draw))))),
    errorsProperty: (me, draw) => failsAlone(me, draw, () => me.other.echo(Object.assign(new Error("x"), { more: unsupported(one(draw)) }))),
    callbackThrows: (me, draw) => failsAlone(me, draw, () => me.other.call(() => {
      throw Object.assign(new RangeError("thrown"), { more: wrapped(draw, unsupported(one(draw))) });
    })),
  });
}
