// The programs of the recordings in tests/transcripts/capnode, one for each scenario: what the two sides offer, and
// what they call. They are ours, written so that the messages come out as recorded.
//
// `index` is what side b offers and `clientIndex` what side a does; `client` and `server` are run by side a and b.
// `t` is told about in recordings.test.mjs.

import { setTimeout as sleep } from "node:timers/promises";

// Scenarios that are not met, and why.
export const notMet = {
  "tcp-process-dies": "the end of a process without an error listener; this peer's stream reports the error instead",
};

const label = (name, ...args) => `${name}(${args.map((arg) => JSON.stringify(arg)).join(",")})`;
const echo = (x) => x;

function transforms(...texts) {
  return (t) => ({
    index: { transform: async (s) => s.replace(/[aeiou]{2,}/, "oo").toUpperCase() },
    async client() {
      const { transform } = await t.index();
      for (const text of texts) await t.call(label("transform", text), () => transform(text));
    },
  });
}

function primitives(...args) {
  return (t) => ({
    index: {
      all: async (...all) => all,
      first: async (first) => first,
      sync: (first) => first,
      none: async () => {},
      count: async (...all) => all.length,
    },
    async client() {
      const index = await t.index();
      await t.call("all(...args)", () => index.all(...args));
      for (const arg of args) await t.call(label("first", arg), () => index.first(arg));
      await t.call("sync(first)", () => index.sync(args[0]));
      await t.call("none()", () => index.none());
      await t.call("count()", () => index.count());
      await t.call("count(undefined)", () => index.count(undefined));
      await t.call("count(1,undefined,2)", () => index.count(1, undefined, 2));
    },
  });
}

function bidirectional(mark) {
  return (t) => {
    let asked = false;
    return {
      index: {
        who() {
          asked = true;
          return `server${mark}`;
        },
      },
      clientIndex: { who: () => `client${mark}`, sum: (...all) => all.reduce((a, b) => a + b) },
      async client() {
        const { who } = await t.index();
        await t.call("server.who()", () => who());
      },
      async server() {
        const index = await t.index();
        await t.until(() => asked);
        await t.call("client.who()", () => index.who());
        await t.call("client.sum(1,2,3)", () => index.sum(1, 2, 3));
      },
    };
  };
}

function later(...delays) {
  return (t) => ({
    index: { later: (ms) => sleep(ms).then(() => `after ${ms}`) },
    async client() {
      const index = await t.index();
      await Promise.all(delays.map((ms) => t.call(label("later", ms), () => index.later(ms))));
    },
  });
}

// A client that asks for the index and says what it got.
const readsIndex = (t, index, more = async () => {}) => ({
  index,
  async client() {
    await more(await t.call("index", () => t.remote.requestIndex()));
  },
});

// Messages written by hand to a peer with this index.
const injected = (index) => () => ({ index });

// Calls of functions of the index, one after another: [label, (index) => promise].
const calls = (index, ...steps) => (t) => ({
  index: typeof index === "function" ? index(t) : index,
  async client() {
    const remote = await t.index();
    for (const [name, step] of steps) await t.call(name, () => step(remote));
  },
});

const fails = (error) => async () => {
  throw error;
};

class Instance {
  own = 1;
}
Instance.prototype.inherited = 2;

const nested = [[1, [2, [3, []]]], [], [[[]]], ["x", { k: [1] }]];
const circular = (object, key) => {
  object[key] = object;
  return object;
};

export const programs = {
  "transform-example": transforms("beep", "hello", "queue"),
  "transform-example-2": transforms("aeiou", "Bookkeeper", ""),
  "tcp-example": transforms("beep", "hello"),
  "call-primitives": primitives("beep", 3, -1.5, true, false, 0, ""),
  "call-primitives-2": primitives('\n\t"\\', 1e-7, 2 ** 32, false, -273.15, "end"),
  bidirectional: bidirectional("p"),
  "bidirectional-2": bidirectional("h"),
  "concurrent-out-of-order": later(30, 5, 15),
  "concurrent-out-of-order-2": later(1, 25, 10, 2),

  "callback-arg": (t) => ({
    index: {
      async subscribe(callback) {
        setImmediate(callback, "foo");
        return "OKAY!";
      },
      callNow: async (callback) => callback("foo"),
    },
    async client() {
      const index = await t.index();
      const seen = [];
      await t.call("subscribe(cb)", () => index.subscribe((x) => (seen.push(x), "ack")));
      await t.until(() => seen.length === 1);
      await t.call("callNow(cb)", () => index.callNow((x) => (seen.push(x), "from-cb")));
      t.event({ event: "callback-args", value: seen });
    },
  }),

  "callback-throws": calls(
    {
      run: (callback) =>
        callback().then(
          () => "fine",
          ({ type, value }) => ({ caught: { type, message: value.message } }),
        ),
    },
    ["run(async throwing cb)", ({ run }) => run(fails(new Error("cb failed")))],
    [
      "run(sync throwing cb)",
      ({ run }) =>
        run(() => {
          throw new Error("cb failed");
        }),
    ],
  ),

  "circular-array": calls(
    { echo, ret: async () => circular([1], 1) },
    ["echo(a) where a[1]===a", (index) => index.echo(circular([1], 1))],
    ["ret()", ({ ret }) => ret()],
  ),
  "circular-object": calls(
    { echo, check: async (o) => o.self === o },
    ["check(o)", ({ check }) => check(circular({ name: "root" }, "self"))],
    ["echo(o)", (index) => index.echo(circular({ name: "root" }, "self"))],
  ),
  "circular-via-array": calls({ echo }, [
    "echo(o) where o.list=[o,1]",
    (index) => {
      const o = { name: "o" };
      o.list = [o, 1];
      return index.echo(o);
    },
  ]),

  "dealloc-callback": (t) => {
    let kept;
    return {
      index: {
        async keep(callback) {
          kept = callback;
          return kept("first");
        },
        again: async () => kept("second"),
        async drop() {
          await t.peer.dealloc(kept);
          return "dropped";
        },
      },
      async client() {
        const index = await t.index();
        await t.call("keep(cb)", () => index.keep((x) => `cb:${x}`));
        t.event({ event: "note", client_registered: t.peer.registered });
        await t.call("again()", () => index.again());
        await t.call("drop()", () => index.drop());
        t.event({ event: "note", client_registered: t.peer.registered });
        await t.call("drop() again", () => index.drop());
        await t.call("again() after dealloc", () => index.again());
      },
    };
  },

  "dealloc-index-function": (t) => ({
    index: { a: async () => "a!", b: async () => "b!" },
    async client() {
      const { a, b } = await t.index();
      await t.call("a()", () => a());
      await t.call("a.dealloc()", () => t.peer.dealloc(a));
      await t.call("a() after dealloc", () => a());
      await t.call("index again", () => t.remote.requestIndex());
      await t.call("other()", () => b());
    },
  }),

  "empty-containers": calls(
    { echo },
    ["echo({})", (index) => index.echo({})],
    ["echo([])", (index) => index.echo([])],
    ["echo([{},[]])", (index) => index.echo([{}, []])],
    // eslint-disable-next-line no-sparse-arrays
    ["echo(sparse [1,,3])", (index) => index.echo([1, , 3])],
  ),

  "error-async": calls(
    { fail: fails(new Error("it broke")), failTyped: fails(new TypeError("it broke")), failEmpty: fails(new Error()) },
    ["fail()", ({ fail }) => fail()],
    ["failTyped()", ({ failTyped }) => failTyped()],
    ["failEmpty()", ({ failEmpty }) => failEmpty()],
  ),
  "error-non-error-reason": calls(
    { str: fails("text"), num: fails(42), obj: fails({ message: "plain string", stack: "none", more: 1 }) },
    ["str()", ({ str }) => str()],
    ["num()", ({ num }) => num()],
    ["obj()", ({ obj }) => obj()],
  ),
  "error-sync-throw": calls(
    {
      boom() {
        throw new Error("sync boom");
      },
      ok: async () => "still alive",
    },
    ["boom()", ({ boom }) => boom()],
    ["ok()", ({ ok }) => ok()],
  ),
  "error-undefined-reason": calls(
    { undef: fails(undefined), nul: fails(null) },
    ["undef()", ({ undef }) => undef()],
    ["nul()", ({ nul }) => nul()],
  ),

  "event-emitter": (t) => ({
    index: {
      on(event, callback) {
        callback(event, "hello!");
        callback(event, "again");
        callback(event, 3);
      },
    },
    async client() {
      const index = await t.index();
      const seen = [];
      await t.call("on(ev,cb)", () => index.on("data", (...args) => void seen.push(args)));
      t.event({ event: "callback-args", value: seen });
    },
  }),
  "event-emitter-object-arg": (t) => ({
    index: { receiveEvents: async (emitter) => emitter.on("data", (value) => t.event({ event: "listener", value })) },
    async client() {
      const index = await t.index();
      const emitter = {
        kind: "emitter",
        async on(event, listener) {
          await listener("foo");
          await t.peer.dealloc(listener);
        },
      };
      await t.call("receiveEvents(emitter)", () => index.receiveEvents(emitter));
    },
  }),

  "exotic-values": calls(
    { echo },
    ["echo(Date)", (index) => index.echo(new Date(0))],
    ["echo(RegExp)", (index) => index.echo(/x/)],
    ["echo(Map)", (index) => index.echo(new Map([[1, 2]]))],
    ["echo(Uint8Array)", (index) => index.echo(Uint8Array.of(1, 2))],
    ["echo(class instance)", (index) => index.echo(new Instance())],
    ["echo(Promise)", (index) => index.echo(Promise.resolve(1))],
    ["echo(Error)", (index) => index.echo(new Error("not sent"))],
    ["echo(boxed String)", (index) => index.echo(new String("ab"))],
    ["echo(bigint)", (index) => index.echo(1n)],
    ["echo(symbol)", (index) => index.echo(Symbol("s"))],
  ),

  "falsy-returns": calls(
    { zero: async () => 0, empty: async () => "", no: async () => false, undef: async () => {}, syncZero: () => 0 },
    ["zero()", ({ zero }) => zero()],
    ["empty()", ({ empty }) => empty()],
    ["no()", ({ no }) => no()],
    ["undef()", ({ undef }) => undef()],
    ["syncZero()", ({ syncZero }) => syncZero()],
  ),

  "function-roundtrip": (t) => ({
    index: { own: async () => "own", give: async (f) => f, isOwn: async () => false },
    async client() {
      const index = await t.index();
      const callback = (x) => `cb${x}`;
      const returned = await t.call("give(cb)", () => index.give(callback));
      t.event({ event: "note", got_same_function_back: returned === callback });
      await t.call("returned(1)", () => returned(1));
    },
  }),

  "index-absent": (t) => readsIndex(t, undefined),
  "index-is-function": (t) =>
    readsIndex(t, async (s) => `Hello!${s}`, (index) => t.call('index(" you")', () => index(" you"))),
  "index-is-primitive": (t) => readsIndex(t, "just a string"),
  "index-is-primitive-2": (t) => readsIndex(t, 12.5),
  "index-nested": (t) =>
    readsIndex(
      t,
      {
        foo: "bar",
        num: 42,
        yes: true,
        no: false,
        list: [1, "two", false],
        ping: async () => "pong",
        nested: { a: { b: { c: "x", fn: async (v) => v } }, fns: [async () => 1, async () => 2] },
      },
      async (index) => {
        await t.call("ping()", () => index.ping());
        await t.call("nested.a.b.fn(v)", () => index.nested.a.b.fn("bar"));
        await t.call("nested.fns[1]()", () => index.nested.fns[1]());
      },
    ),
  "index-twice": (t) =>
    readsIndex(t, { f: async () => {}, o: { g: async () => {} } }, async (first) => {
      const second = await t.call("index", () => t.remote.requestIndex());
      t.event({
        event: "note",
        same_capId: t.peer.capId(first.f) === t.peer.capId(second.f),
        same_function: first.f === second.f,
      });
    }),

  "inject-bad-messages": injected({ f: async () => {} }),
  "inject-unknown-method": injected({ f: async () => {} }),
  "inject-duplicate-return": injected({ run: async (callback) => callback("q") }),
  "inject-error-forms": injected({
    run: async (callback) => callback("q").catch((reason) => ({ rejected_with: JSON.stringify(reason) })),
  }),
  "inject-link-orders": injected({ show: async (...args) => JSON.stringify(args) }),
  "inject-link-orders-2": injected({ show: async (...args) => JSON.stringify(args) }),

  "lone-surrogates": calls(
    { echo, codes: async (s) => Array.from({ length: s.length }, (_, i) => s.charCodeAt(i)) },
    ...["\ud800", "a\udc00b", "\udc00\ud800"].flatMap((s) => [
      ["echo(s)", (index) => index.echo(s)],
      ["codes(s)", (index) => index.codes(s)],
    ]),
  ),
  unicode: (t) => ({
    index: { echo, len: async (s) => s.length },
    async client() {
      const index = await t.index();
      for (const s of t.results("echo(s)")) {
        await t.call("echo(s)", () => index.echo(s));
        await t.call("len(s)", () => index.len(s));
      }
    },
  }),
  numbers: calls(
    { echo, str: async (n) => String(n) },
    ...[2 ** 53 - 1, 2 ** 53, 1e21, 123456789012345678901, Number.MAX_VALUE, 5e-324, 0.1, 1 / 3].flatMap((n) => [
      [`echo(${n})`, (index) => index.echo(n)],
      [`str(${n})`, (index) => index.str(n)],
    ]),
  ),
  "negative-zero": calls(
    { nz: async () => -0, echo: async (x) => Object.is(x, -0) },
    ["nz()", ({ nz }) => nz()],
    ["echo(-0) is -0", (index) => index.echo(-0)],
  ),
  "nan-infinity": calls(
    { nan: async () => NaN, inf: async () => ({ x: Infinity }), ninf: async () => [-Infinity], echo },
    ["nan()", ({ nan }) => nan()],
    ["inf()", ({ inf }) => inf()],
    ["ninf()", ({ ninf }) => ninf()],
    ["echo(NaN)", (index) => index.echo(NaN)],
  ),
  "nested-arrays": calls(
    { echo, join: async (...args) => JSON.stringify(args) },
    ["echo(a)", (index) => index.echo(nested)],
    ["join(...a)", ({ join }) => join(...nested)],
  ),
  "null-values": (t) => ({
    index: { asyncNull: async () => null, syncNull: () => null, inside: async () => ({ a: null }), echo },
    async client() {
      const index = await t.index();
      await t.call("asyncNull()", () => index.asyncNull());
      await t.call("syncNull()", () => index.syncNull());
      await t.call("inside()", () => index.inside());
      await t.call("echo(null)", () => index.echo(null));
      await t.call("echo({a:null})", () => index.echo({ a: null }));
      t.attempt({ event: "construct-throw", what: "index containing null" }, () => new t.Peer({ a: null }));
    },
  }),
  "odd-keys": (t) => {
    const odd = JSON.parse(
      '{"2":"two","10":"ten","constructor":"c","toString":"t","type":0,"id":1,"links":[],"value":2,"":"dropped",' +
        '"__proto__":"dropped","b":1,"a":2,"é":3,"!EK":4,"CF:x":"CF:y"}',
    );
    return calls(
      { echo, keys: async (o) => Object.keys(o) },
      ["keys(o)", ({ keys }) => keys(odd)],
      ["echo(o)", (index) => index.echo(odd)],
    )(t);
  },
  "undefined-values": calls(
    { echo, ret: async () => ({ a: undefined, b: 1, c: [undefined, 2, undefined] }) },
    ["echo({a:undefined,b:[undefined]})", (index) => index.echo({ a: undefined, b: [undefined, 1] })],
    ["ret()", ({ ret }) => ret()],
  ),

  "passing-functions-back-and-forth": (t) => ({
    index: {
      greet: async (heard) => ({
        value: "very well, and you?",
        heard,
        reply: async (callback) => ({ inner: async (x) => callback(`inner:${x}`) }),
      }),
    },
    async client() {
      const { greet } = await t.index();
      const { reply } = await t.call("greet()", () => greet("how do you do?"));
      const { inner } = await t.call("reply(cb)", () => reply((x) => `client got ${x}`));
      await t.call('inner("z")', () => inner("z"));
    },
  }),
  "returned-object-with-functions": (t) => ({
    index: {
      async counter() {
        let count = 0;
        return { next: async () => ++count, reset: async () => void (count = 0), label: "c0" };
      },
    },
    async client() {
      const { counter } = await t.index();
      const first = await t.call("counter()", () => counter());
      for (const name of ["next", "next", "reset", "next"]) await t.call(`${name}()`, () => first[name]());
      const second = await t.call("counter()", () => counter());
      await t.call("c2.next()", () => second.next());
    },
  }),
  reconstruct: (t) => ({
    server: async () => t.expose(async (suffix = "") => `bam${suffix}`),
    async client() {
      const reconstructed = t.remote.reconstruct(t.capId);
      await t.call("reconstructed()", () => reconstructed());
      await t.call('reconstructed("!")', () => reconstructed("!"));
      t.attempt({ event: "throws", call: "reconstruct(undefined)" }, () => t.remote.reconstruct(undefined));
      await t.call("reconstructed.dealloc()", () => t.peer.dealloc(reconstructed));
    },
  }),

  "same-function-twice-in-args": (t) => {
    const f = () => {};
    return calls(
      { two: async (x, y) => x === y, obj: async ({ x, y }) => x === y },
      ["two(f,f)", ({ two }) => two(f, f)],
      ["obj({x:f,y:f})", ({ obj }) => obj({ x: f, y: f })],
    )(t);
  },
  "same-function-twice-in-index": (t) => {
    const f = async (x) => `f${x}`;
    return readsIndex(t, { on: f, addListener: f, off: async (x) => `g${x}` }, async (index) => {
      for (const name of ["on", "addListener", "off"]) await t.call(`${name}(7)`, () => index[name](7));
    });
  },
  "same-function-twice-in-return": (t) => {
    const f = async (x) => `f${x}`;
    return {
      index: {
        get: async () => ({ a: f, b: f, after: { hello: "world" }, list: [1, 2] }),
        twoOnly: async () => ({ a: f, b: f }),
      },
      async client() {
        const index = await t.index();
        const { a, b } = await t.call("twoOnly()", () => index.twoOnly());
        await t.call("twoOnly().a(1)", () => a(1));
        await t.call("twoOnly().b(2)", () => b(2));
        t.event({ event: "note", same_function_object: a === b });
        await t.call("get()", () => index.get());
      },
    };
  },
  "same-object-twice": (t) => ({
    index: {
      same: async (x, y) => x === y,
      async ret() {
        const [o, list] = [{ a: 1 }, [1, 2]];
        return { x: o, y: o, arr1: list, arr2: list };
      },
    },
    async client() {
      const index = await t.index();
      const o = { a: 1 };
      await t.call("same(o,o)", () => index.same(o, o));
      await t.call("same(o,copy)", () => index.same(o, { ...o }));
      const { x, y, arr1, arr2 } = await t.call("ret()", () => index.ret());
      t.event({ event: "note", x_is_y: x === y, arr1_is_arr2: arr1 === arr2 });
    },
  }),

  "tcp-burst-callbacks": (t) => ({
    index: {
      on(event, callback) {
        for (let i = 0; i < 3; i++) callback(event, i);
        return "done";
      },
    },
    async client() {
      const index = await t.index();
      const seen = [];
      await t.call('on("data",cb)', () => index.on("data", (...args) => void seen.push(args)));
      t.event({ event: "callback-args", value: seen });
    },
  }),
  "tcp-burst-calls": (t) => ({
    index: { echo },
    async client() {
      const index = await t.index();
      await Promise.all([0, 1, 2].map((i) => t.call(`echo(${i})`, () => index.echo(i))));
    },
  }),
  "tcp-disconnect-pending": calls(
    { hang: () => new Promise(() => {}) },
    ["hang() across a disconnect", ({ hang }) => hang()],
    ["hang() after the disconnect", ({ hang }) => hang()],
  ),
  "tcp-large-message": calls(
    { len: async (s) => s.length, big: async (n) => "y".repeat(n) },
    ["big(60000)", ({ big }) => big(60_000)],
    ["big(200000)", ({ big }) => big(200_000)],
  ),
  "tcp-one-message-two-chunks": injected({ f: async () => {} }),
  "tcp-trailing-whitespace": injected({ f: async () => {} }),
  "tcp-two-messages-one-chunk": injected({ f: async () => {} }),
};
