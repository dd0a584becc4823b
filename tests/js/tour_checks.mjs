// The checks of tour_client.mjs, in the order they run.
//
// A check gets `api` (the server's index, a session of its own), `connect()` for further sessions and `raw()` for
// a bare WebSocket. It disposes of every result that holds a reference of ours: the server has to give back what it
// was lent, and what it keeps counts as a leak.
//
// References that come back to us: npm's server returns ours as `["import", id]`, and npm's client cannot await that
// as a whole result. So they are either inside a value, or are used before they are there (pipelined).

import { RpcPromise, RpcTarget } from "./capnweb.mjs";
import { deferred, dispose, equal, fail, isTrue, rejected, watched, within } from "./expect.mjs";

export const checks = [];

function check(name, body, { needs } = {}) {
  if (checks.some((other) => other.name === name)) throw new Error(`two checks are named ${name}`);
  checks.push({ name, needs, body });
}

// One check that sends values through echo and compares what comes back.
function echoes(name, ...values) {
  check(`echo: ${name}`, async ({ api }) => {
    for (const value of values) equal(await api.echo(value), value);
  });
}

// ---------------------------------------------------------------------------------------------- plain values

check("transform: plain text", async ({ api }) => {
  const table = {
    beep: "BOOP",
    "": "",
    hello: "HELLO",
    queue: "QOO",
    "beep beep": "BOOP BEEP",
    aeiou: "OO",
    BEEP: "BEEP",
    "bAiE a e": "BAIE A E",
  };
  for (const [text, expected] of Object.entries(table)) equal(await api.transform(text), expected, text);
});

check("transform: other letters", async ({ api }) => {
  equal(await api.transform("straße"), "STRASSE");
  equal(await api.transform("größee"), "GRÖSSOO");
  equal(await api.transform("éé → ee 🙂"), "ÉÉ → OO 🙂");
});

check("transform: 200 KB of text", async ({ api }) => {
  equal(await api.transform(`b${"e".repeat(200_000)}p`), "BOOP");
  equal(await api.transform("xy".repeat(100_000)), "XY".repeat(100_000));
});

check("echo: nothing", async ({ api }) => {
  equal(await api.echo(), undefined);
});

echoes("undefined", undefined);
echoes("null", null);
echoes("booleans", true, false);
echoes("numbers", 0, 1, -1, 0.1, -2.5, 1e21, -1e-7, 5e-324, 2 ** 53 - 1, -(2 ** 53) + 1, Number.MAX_VALUE, Number.EPSILON);
echoes("numbers past 2^53 stay numbers", 2 ** 53, 2 ** 60, 2 ** 63, 2 ** 64, -(2 ** 63), 1e300);
echoes("NaN", NaN);
echoes("infinities", Infinity, -Infinity);
echoes("text", "", "a", "true", "null", "12", '"\\/', "\0\x01\x1f\x7f", "\n\r\t\b\f", "\u2028\u2029\ufeff", "<&>");
echoes("text of all planes", "äöü", "日本語", "🙂👩‍👩‍👧‍👦", "e\u0301", "\u{10ffff}", "\ufffd\uffff");

check("echo: negative zero becomes zero", async ({ api }) => {
  equal(await api.echo(-0), 0);
  equal(await api.echo([-0]), [0]);
});

check("echo: 200 KB of text", async ({ api }) => {
  const text = Array.from({ length: 25_000 }, (_, i) => `${i} é🙂"`).join("");
  isTrue(text.length > 200_000, "the text is too short");
  isTrue((await api.echo(text)) === text, "the text changed");
});

check("echo: a lone surrogate does not end the session", async ({ api }) => {
  // No server has to keep it, and the session has to go on (which is seen after each check).
  for (const text of ["\ud800", "a\udc00b", "\ude00\ud83d"]) {
    const returned = await api.echo(text).catch((error) => (error instanceof Error ? text : fail(`rejected with ${error}`)));
    isTrue(returned === text || returned === text.toWellFormed(), `got ${JSON.stringify(returned)}`);
    equal(await api.echo("still here"), "still here");
  }
});

echoes("bigints", 0n, 1n, -1n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 64n, 2n ** 64n - 1n, -(2n ** 64n), 2n ** 200n + 7n);
echoes("dates", new Date(0), new Date(-1), new Date(1_700_000_000_123), new Date(8.64e15), new Date(-8.64e15));

check("echo: an invalid date", async ({ api }) => {
  const date = await api.echo(new Date(NaN));
  isTrue(date instanceof Date, `got ${date}`);
  equal(date.getTime(), NaN);
});

// ---------------------------------------------------------------------------------------------- bytes

function bytes(value) {
  const view = value instanceof ArrayBuffer ? new Uint8Array(value) : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return Buffer.from(view).toString("hex");
}

async function sameBytes(api, value) {
  const returned = await api.echo(value);
  isTrue(returned?.constructor === value.constructor, `got a ${returned?.constructor?.name}, expected a ${value.constructor.name}`);
  equal(bytes(returned), bytes(value), value.constructor.name);
}

check("echo: Uint8Array", async ({ api }) => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  for (const value of [new Uint8Array(), Uint8Array.of(0), Uint8Array.of(251, 255), Uint8Array.of(1, 2, 3), all, all.subarray(250)]) {
    const returned = await api.echo(value);
    // On Node it arrives as a Buffer, which is a Uint8Array.
    isTrue(returned instanceof Uint8Array, `got ${returned}`);
    equal(bytes(returned), bytes(value));
  }
});

check("echo: 256 KB of bytes", async ({ api }) => {
  const value = Uint8Array.from({ length: 1 << 18 }, (_, i) => (i * 31) ^ (i >> 8));
  const returned = await api.echo(value);
  isTrue(Buffer.from(value).equals(returned), "the bytes changed");
});

check("echo: ArrayBuffer", async ({ api }) => {
  await sameBytes(api, new ArrayBuffer(0));
  await sameBytes(api, Uint8Array.of(9, 8, 7).buffer);
});

check("echo: DataView", async ({ api }) => {
  await sameBytes(api, new DataView(Uint8Array.of(1, 2, 3, 4, 5).buffer, 1, 3));
});

check("echo: typed arrays", async ({ api }) => {
  await sameBytes(api, Int8Array.of(-128, 0, 127));
  await sameBytes(api, Uint8ClampedArray.of(0, 128, 255));
  await sameBytes(api, Int16Array.of(-32768, 1, 32767));
  await sameBytes(api, Uint16Array.of(0, 1, 65535));
  await sameBytes(api, Int32Array.of(-(2 ** 31), 1, 2 ** 31 - 1));
  await sameBytes(api, Uint32Array.of(0, 1, 2 ** 32 - 1));
  await sameBytes(api, BigInt64Array.of(-(2n ** 63n), 1n, 2n ** 63n - 1n));
  await sameBytes(api, BigUint64Array.of(0n, 1n, 2n ** 64n - 1n));
  await sameBytes(api, Float32Array.of(-0, 1.5, NaN, Infinity));
  await sameBytes(api, Float64Array.of(-0, 0.1, NaN, -Infinity, 5e-324));
  await sameBytes(api, new Float64Array());
});

check("echo: a typed array that is part of a buffer", async ({ api }) => {
  await sameBytes(api, new Uint16Array(Uint16Array.of(1, 2, 3, 4).buffer, 2, 2));
});

// ---------------------------------------------------------------------------------------------- other classes

check("echo: URL", async ({ api }) => {
  for (const href of ["https://example.com/", "https://user@example.com:8443/a%20b?c=d#e", "data:text/plain,x"]) {
    const url = await api.echo(new URL(href));
    isTrue(url instanceof URL, `got ${url}`);
    equal(url.href, href);
  }
});

check("echo: Headers", async ({ api }) => {
  for (const sent of [[], [["A", "1"], ["b", "2"], ["a", "3"]], [["Set-Cookie", "x=1"], ["set-cookie", "y=2"]]]) {
    const headers = await api.echo(new Headers(sent));
    isTrue(headers instanceof Headers, `got ${headers}`);
    equal([...headers], [...new Headers(sent)]);
  }
});

function sameError(got, want) {
  isTrue(got instanceof Error, `got ${got}, expected an Error`);
  isTrue(got.constructor === want.constructor, `got a ${got.constructor.name}, expected a ${want.constructor.name}`);
  equal(got.name, want.name, "name");
  equal(got.message, want.message, "message");
}

check("echo: errors of every class", async ({ api }) => {
  for (const type of [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]) {
    const error = new type(`a ${type.name}`);
    sameError(await api.echo(error), error);
  }
  const nameless = await api.echo(new Error(""));
  equal(nameless.message, "");
});

check("echo: an error of an unknown class", async ({ api }) => {
  const error = Object.assign(new Error("mine"), { name: "MyError" });
  const returned = await api.echo(error);
  // npm's receiver makes an Error of it; whether the name survives at the server does not show here.
  sameError(returned, new Error("mine"));
});

check("echo: an error with properties and a cause", async ({ api }) => {
  const error = Object.assign(new TypeError("outer", { cause: new RangeError("inner") }), {
    code: "E_TEST",
    detail: { list: [1, undefined, 2n], when: new Date(5) },
  });
  const returned = await api.echo(error);
  sameError(returned, error);
  equal(returned.code, "E_TEST");
  equal(returned.detail, error.detail);
  sameError(returned.cause, error.cause);
});

check("echo: an error whose cause is no error", async ({ api }) => {
  equal((await api.echo(new Error("x", { cause: "text" }))).cause, "text");
  equal((await api.echo(new Error("x", { cause: { code: 7 } }))).cause, { code: 7 });
});

check("echo: AggregateError", async ({ api }) => {
  const error = new AggregateError([new TypeError("one"), "two", 3], "several");
  const returned = await api.echo(error);
  sameError(returned, error);
  sameError(returned.errors[0], error.errors[0]);
  equal(returned.errors.slice(1), ["two", 3]);
});

// ---------------------------------------------------------------------------------------------- structure

echoes("empty array and object", [], {});
echoes("arrays", [1], [[]], [[], []], [[[]]], [[1, [2, [3]]]], [null, undefined, NaN, "x"], [["a"]]);
echoes("objects", { a: 1 }, { a: { b: { c: [] } } }, { list: [{ x: 1 }, {}] });
echoes("undefined members stay", { a: undefined, b: null }, [undefined], { list: [undefined, { x: undefined }] });
echoes("values of every kind inside a value", {
  list: [undefined, null, NaN, Infinity, -Infinity, 2n ** 70n, new Date(1), true, "text", 1.5, []],
  inner: { when: new Date(2), big: -5n, nothing: undefined, list: [[1n], [new Date(3)]] },
});

check("echo: objects of other classes inside a value", async ({ api }) => {
  const value = await api.echo({
    list: [Uint8Array.of(1, 2), Int16Array.of(-1), new URL("https://example.com/a")],
    inner: { error: new RangeError("within", { cause: [1n] }), headers: new Headers({ a: "1" }), none: [[]] },
  });
  equal(bytes(value.list[0]), "0102");
  equal(value.list[1], Int16Array.of(-1));
  equal(value.list[2]?.href, "https://example.com/a"); // two URLs count as deeply equal, whatever they are
  sameError(value.inner.error, new RangeError("within"));
  equal(value.inner.error.cause, [1n]);
  equal([...value.inner.headers], [["a", "1"]]);
  equal(value.inner.none, [[]]);
});

echoes("odd keys", {
  "": 1, " ": 2, "a.b": 3, "0": 4, "10": 5, "-1": 6, "é🙂": 7, "\0": 8, "\n": 9, '"': 10, "\\": 11, "[]": 12, $: 13,
  "@": 14, "%": 15, "!": 16, "/": 17, length: 18, then: 19, next: 20, "undefined": 21, links: 22, type: 23, capnode: 24,
});

// Plain data that reads like the special forms of a wire language has to stay data.
echoes(
  "arrays that look like special forms",
  ["undefined"], ["export", -1], ["import", 0], ["promise", -1], ["pipeline", 0, ["fail"], []], ["error", "Error", "x"],
  ["bigint", "1"], ["date", 0], ["bytes", "AQID"], ["inf"], ["nan"], ["url", "x"], ["remap", 0, [], [], []], [["undefined"]],
  ["push", 1], ["abort", "x"],
);
echoes(
  "objects that look like special forms",
  { "@": "x", type: "function" }, { "%": "undefined" }, { $: "" }, { "!": "reason" }, { type: 0, id: 0 },
  { links: [], value: { type: 1, id: 0 } }, { export: -1 }, { $serde: 1 }, { "$capnode::ref": 1 },
);

check("echo: keys of Object.prototype are dropped", async ({ api }) => {
  // By npm on either side: the receiver evaluates and drops them.
  equal(await api.echo({ constructor: 1, toString: 2, hasOwnProperty: [3], toJSON: { a: 4 }, kept: 5 }), { kept: 5 });
});

check("echo: 100 levels", async ({ api }) => {
  let arrays = "core";
  let objects = "core";
  for (let i = 0; i < 100; i++) {
    arrays = [arrays];
    objects = { in: objects };
  }
  equal(await api.echo(arrays), arrays);
  equal(await api.echo(objects), objects);
});

check("echo: 10,000 elements and keys", async ({ api }) => {
  const list = Array.from({ length: 10_000 }, (_, i) => (i % 3 === 0 ? { i } : i));
  equal(await api.echo(list), list);
  const object = Object.fromEntries(list.map((_, i) => [`key ${i}`, i]));
  equal(await api.echo(object), object);
});

check("echo: what is there twice arrives twice", async ({ api }) => {
  const shared = { n: 1 };
  equal(await api.echo({ a: shared, b: [shared, shared] }), { a: { n: 1 }, b: [{ n: 1 }, { n: 1 }] });
});

check("additional arguments are ignored", async ({ api }) => {
  equal(await api.transform("beep", "more", 2n, { a: [undefined] }), "BOOP");
  equal(await api.echo("first", "second"), "first");
  const counter = await api.counter("ignored");
  equal(await counter.next(1, 2, 3), 1);
  dispose(counter);
});

check("an additional argument that is a function is given back", async ({ api }) => {
  const extra = watched(() => fail("it was called"));
  equal(await api.transform("beep", extra.target, [extra.target]), "BOOP");
  await within(extra.gone, "the release of the function");
});

// ---------------------------------------------------------------------------------------------- errors

check("fail: is rejected with its error", async ({ api }) => {
  const error = await rejected(api.fail(), Error, "intentional failure");
  equal(error.name, "Error");
});

check("fail: not awaited harms nothing", async ({ api }) => {
  const calls = Array.from({ length: 10 }, () => api.fail());
  equal(await api.transform("beep"), "BOOP");
  dispose(...calls);
});

check("fail: among calls that succeed", async ({ api }) => {
  const calls = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? api.fail() : api.echo(i)));
  const outcomes = await Promise.allSettled(calls);
  outcomes.forEach((outcome, i) => {
    if (i % 3 === 0) equal(outcome.reason?.message, "intentional failure", `call ${i}`);
    else equal(outcome.value, i, `call ${i}`);
  });
});

check("fail: runs down a pipelined chain", async ({ api }) => {
  const failed = api.fail();
  await rejected(failed.some.member, Error, "intentional failure");
  await rejected(failed.next(), Error, "intentional failure");
  await rejected(failed.profile().name(), Error, "intentional failure");
  await rejected(failed, Error, "intentional failure");
  dispose(failed);
});

check("fail: as a pipelined argument fails the call", async ({ api }) => {
  await rejected(api.transform(api.fail()), Error, "intentional failure");
  await rejected(api.echo({ list: [1, api.fail()] }), Error, "intentional failure");
});

check("a missing method is a TypeError", async ({ api }) => {
  await rejected(api.nosuch(), TypeError, "'nosuch' is not a function.");
  await rejected(api.nosuch("with", ["arguments"]), TypeError, "'nosuch' is not a function.");
});

check("a missing method of an object is a TypeError", async ({ api }) => {
  const counter = await api.counter();
  await rejected(counter.nosuch(), TypeError, "'nosuch' is not a function.");
  await rejected(counter.transform("beep"), TypeError, "'transform' is not a function.");
  await rejected(api.counter().nosuch(), TypeError, "'nosuch' is not a function.", "pipelined");
  equal(await counter.next(), 1);
  dispose(counter);
});

check("a missing method gives its arguments back", async ({ api }) => {
  const callback = watched(() => fail("it was called"));
  await rejected(api.nosuch(callback.target), TypeError, "'nosuch' is not a function.");
  await within(callback.gone, "the release of the function");
});

check("a missing property is undefined", async ({ api }) => {
  equal(await api.nosuch, undefined);
  const counter = await api.counter();
  equal(await counter.nosuch, undefined);
  equal(await api.counter().nosuch, undefined);
  dispose(counter);
});

check("a property of a missing property is a TypeError", async ({ api }) => {
  await rejected(api.nosuch.deeper, TypeError, /./);
  await rejected(api.nosuch.deeper(), TypeError, /./);
});

check("the index itself is no function", async ({ api }) => {
  await rejected(api("beep"), TypeError, "'' is not a function.");
});

check("properties of a plain result, pipelined", async ({ api }) => {
  const result = api.echo({ a: { b: 5 }, list: ["x", "y"] });
  equal(await result.a.b, 5);
  equal(await result.a, { b: 5 });
  equal(await result.list, ["x", "y"]);
  equal(await result.nosuch, undefined);
  await rejected(result.a.b(), TypeError, /is not a function/);
  dispose(result);
});

// ---------------------------------------------------------------------------------------------- objects of the server

check("counter: counts and resets", async ({ api }) => {
  const counter = await api.counter();
  equal([await counter.next(), await counter.next(), await counter.next()], [1, 2, 3]);
  equal(await counter.reset(), undefined);
  equal([await counter.next(), await counter.next()], [1, 2]);
  dispose(counter);
});

check("counter: each is its own", async ({ api }) => {
  const [a, b] = [await api.counter(), await api.counter()];
  equal([await a.next(), await a.next(), await b.next(), await a.next()], [1, 2, 1, 3]);
  dispose(a, b);
});

check("counter: pipelined", async ({ api }) => {
  const counter = api.counter();
  equal(await counter.next(), 1);
  equal(await counter.next(), 2);
  equal(await counter.reset(), undefined);
  equal(await counter.next(), 1);
  dispose(counter);
});

check("counter: pipelined in one expression", async ({ api }) => {
  equal(await api.counter().next(), 1);
  equal(await api.counter().reset(), undefined);
});

check("authenticate: step by step", async ({ api }) => {
  const user = await api.authenticate("ann");
  const profile = await user.profile();
  equal(await profile.name(), "user of ann");
  dispose(profile, user);
});

check("authenticate: pipelined", async ({ api }) => {
  equal(await api.authenticate("ann").profile().name(), "user of ann");
  equal(await api.authenticate("").profile().name(), "user of ");
  equal(await api.authenticate("🙂").profile().name(), "user of 🙂");
});

check("authenticate: one step used several times", async ({ api }) => {
  const user = api.authenticate("ann");
  const profile = user.profile();
  equal(await Promise.all([profile.name(), user.profile().name(), profile.name()]), Array(3).fill("user of ann"));
  dispose(profile, user);
});

check("a pipelined result as an argument", async ({ api }) => {
  equal(await api.transform(api.authenticate("beep").profile().name()), "USER OF BOOP");
  equal(await api.transform(api.transform("queue")), "QOO");
  equal(await api.echo({ who: api.authenticate("ann").profile().name(), list: [api.counter().next(), 5] }), {
    who: "user of ann",
    list: [1, 5],
  });
});

check("a promise of ours as an argument", async ({ api }) => {
  const text = new RpcPromise(Promise.resolve("beep"));
  equal(await api.transform(text), "BOOP");
  equal(await api.echo({ list: [text] }), { list: ["beep"] });
  dispose(text);
});

check("a promise of ours that resolves later holds up its call only", async ({ api }) => {
  const later = deferred();
  const text = new RpcPromise(later.promise);
  let answered = false;
  const call = api.transform(text).then((value) => {
    answered = true;
    return value;
  });
  equal(await api.echo(1), 1);
  equal(answered, false, "answered before its argument was there");
  later.resolve("beep");
  equal(await call, "BOOP");
  dispose(text);
});

check("a promise of ours that fails fails its call", async ({ api }) => {
  const text = new RpcPromise(Promise.reject(new RangeError("no text today")));
  await rejected(api.transform(text), RangeError, "no text today");
  dispose(text);
});

// ---------------------------------------------------------------------------------------------- callbacks

check("on: calls back three times", async ({ api }) => {
  const calls = [];
  const answer = await api.on("tick", (...args) => {
    calls.push(args);
  });
  equal(answer, undefined);
  equal(calls, Array(3).fill(["tick", "data"]));
});

check("on: each call waits for the answer to the one before", async ({ api }) => {
  const log = [];
  await api.on("tick", async () => {
    log.push("in");
    await api.transform("x");
    log.push("out");
  });
  log.push("answer");
  equal(log, ["in", "out", "in", "out", "in", "out", "answer"]);
});

check("on: a callback may call the server", async ({ api }) => {
  const counter = await api.counter();
  const results = [];
  await api.on("tick", async (event) => {
    results.push(await api.transform(`bee ${event}`), await counter.next());
  });
  equal(results, ["BOO TICK", 1, "BOO TICK", 2, "BOO TICK", 3]);
  dispose(counter);
});

check("on: inside a callback of on", async ({ api }) => {
  const log = [];
  await api.on("outer", async (outer) => {
    log.push(outer);
    await api.on("inner", (inner) => {
      log.push(inner);
    });
  });
  equal(log, Array(3).fill(["outer", "inner", "inner", "inner"]).flat());
});

check("on: other calls go on while a callback is waiting", async ({ api }) => {
  const entered = deferred();
  const go = deferred();
  const call = api.on("slow", async () => {
    entered.resolve();
    await go.promise;
  });
  const outcome = call.then(); // asks for the answer now
  await within(entered.promise, "the callback");
  equal(await api.transform("beep"), "BOOP");
  equal(await api.authenticate("ann").profile().name(), "user of ann");
  go.resolve();
  equal(await outcome, undefined);
});

check("on: what the callback answers does not matter", async ({ api }) => {
  equal(await api.on("number", () => 5), undefined);
  equal(await api.on("text", async () => "text"), undefined);
  equal(await api.on("null", () => null), undefined);
  const inner = watched(() => 1);
  equal(await api.on("value", () => ({ list: [1n, new Date(1)], inner: inner.target })), undefined);
  await within(inner.gone, "the release of a function in an answer that nobody reads");
});

check("on: a callback that fails ends it", async ({ api }) => {
  let calls = 0;
  const failing = () => {
    calls++;
    throw new Error("callback refused");
  };
  await rejected(api.on("tick", failing), Error, /callback refused/);
  equal(calls, 1, "calls");
});

check("on: a callback that fails at its second call", async ({ api }) => {
  let calls = 0;
  const failing = async () => {
    if (++calls === 2) throw new Error("enough");
  };
  await rejected(api.on("tick", failing), Error, /enough/);
  equal(calls, 2, "calls");
});

check("on: a callback that throws no error", async ({ api }) => {
  let calls = 0;
  let outcome = "fulfilled";
  const failing = () => {
    calls++;
    return Promise.reject("just text");
  };
  await api.on("tick", failing).catch(() => (outcome = "rejected"));
  equal([outcome, calls], ["rejected", 1]);
});

check("on: gives the callback back when it is done", async ({ api }) => {
  const callback = watched(() => {});
  await api.on("tick", callback.target);
  await within(callback.gone, "the release of the callback");
  await api.echo(1);
  equal(callback.times, 1, "times given back");
});

check("on: gives the callback back when it failed", async ({ api }) => {
  const callback = watched(() => Promise.reject(new Error("no")));
  await rejected(api.on("tick", callback.target), Error, /no/);
  await within(callback.gone, "the release of the callback");
  equal(callback.times, 1, "times given back");
});

check("on: twenty at a time", async ({ api }) => {
  const calls = Array.from({ length: 20 }, () => 0);
  await Promise.all(calls.map((_, i) => api.on(`event ${i}`, async (event) => {
    equal(event, `event ${i}`);
    await api.echo(i);
    calls[i]++;
  })));
  equal(calls, Array(20).fill(3));
});

check("on: not awaited, it runs all the same", async ({ api }) => {
  const third = deferred();
  let calls = 0;
  const call = api.on("tick", () => {
    if (++calls === 3) third.resolve();
  });
  await within(third.promise, "the third call");
  dispose(call);
});

check("on: disposed of while its callback is waiting", async ({ api }) => {
  const entered = deferred();
  const go = deferred();
  const callback = watched(async () => {
    entered.resolve();
    await go.promise;
  });
  const call = api.on("slow", callback.target);
  const outcome = rejected(call.then(), Error, "RPC was canceled because the RpcPromise was disposed.");
  await within(entered.promise, "the callback");
  dispose(call);
  await outcome;
  equal(await api.transform("beep"), "BOOP");
  go.resolve();
  // The server may go on calling or may have cancelled the call. Either way it gives the callback back.
  await within(callback.gone, "the release of the callback");
});

// ---------------------------------------------------------------------------------------------- callbacks kept

check("a kept callback can be called later, again and again", async ({ api }) => {
  const seen = [];
  const kept = api.echo((x) => {
    seen.push(x);
    return `got ${x}`;
  });
  equal(await kept("one"), "got one");
  equal(await api.transform("beep"), "BOOP");
  equal(await kept("two"), "got two");
  equal(await api.counter().next(), 1);
  equal(await kept("three"), "got three");
  equal(seen, ["one", "two", "three"]);
  dispose(kept);
});

check("a kept callback is given back when it is disposed of, not before", async ({ api }) => {
  const callback = watched(() => "here");
  const kept = api.echo(callback.target);
  equal(await kept(), "here");
  equal(await api.echo(1), 1);
  equal(await kept(), "here");
  equal(callback.times, 0, "times given back while kept");
  dispose(kept);
  await within(callback.gone, "the release of the callback");
  await api.echo(1);
  equal(callback.times, 1, "times given back");
});

check("a kept callback gets every kind of argument", async ({ api }) => {
  let got;
  const kept = api.echo((...args) => {
    got = args;
    return args.length;
  });
  const args = [undefined, null, NaN, -Infinity, 2n ** 80n, new Date(7), "text", [[]], { a: [undefined] }, ["export", 1]];
  equal(await kept(...args), args.length);
  equal(got, args);
  equal(await kept(), 0);
  equal(got, []);
  dispose(kept);
});

check("a kept callback answers with every kind of value", async ({ api }) => {
  const values = [undefined, null, NaN, -Infinity, 2n ** 80n, new Date(7), "text", [[]], { a: [undefined] }, ["export", 1]];
  const kept = api.echo((i) => values[i]);
  for (const [i, value] of values.entries()) equal(await kept(i), value);
  dispose(kept);
});

check("a kept callback that fails", async ({ api }) => {
  const kept = api.echo(() => {
    throw Object.assign(new TypeError("from the callback"), { code: 42 });
  });
  const error = await rejected(kept(), TypeError, "from the callback");
  equal(error.code, 42, "its property");
  const failed = kept();
  await rejected(failed.deeper(), TypeError, "from the callback");
  dispose(failed, kept);
});

check("a kept callback is called in order", async ({ api }) => {
  const seen = [];
  const kept = api.echo((i) => seen.push(i));
  const calls = Array.from({ length: 100 }, (_, i) => kept(i));
  equal(await Promise.all(calls), Array.from({ length: 100 }, (_, i) => i + 1));
  equal(seen, Array.from({ length: 100 }, (_, i) => i));
  dispose(kept);
});

check("a kept callback that gets a function", async ({ api }) => {
  const kept = api.echo(async (f) => `${await f("in")}!`);
  const f = watched((x) => x.toUpperCase());
  equal(await kept(f.target), "IN!");
  await within(f.gone, "the release of the function");
  dispose(kept);
});

check("a kept callback that answers with a function", async ({ api }) => {
  const inner = watched((x) => `inner ${x}`);
  const kept = api.echo(() => inner.target);
  const answer = kept();
  equal(await answer("a"), "inner a");
  equal(await answer("b"), "inner b");
  equal(inner.times, 0, "times given back while kept");
  dispose(answer, kept);
  await within(inner.gone, "the release of the function");
});

check("a kept callback that gets an object of the server", async ({ api }) => {
  const counter = api.counter();
  const kept = api.echo(async (c) => [await c.next(), await c.next()]);
  equal(await kept(counter), [1, 2]);
  equal(await kept(counter), [3, 4]);
  equal(await counter.next(), 5);
  dispose(kept, counter);
});

check("a kept callback that answers with an object of the server", async ({ api }) => {
  const counter = await api.counter();
  const kept = api.echo(() => counter.dup());
  const answer = kept();
  equal(await answer.next(), 1);
  equal(await counter.next(), 2);
  equal(await answer.next(), 3);
  dispose(answer, kept, counter);
});

class Box extends RpcTarget {
  #value = 0;

  get label() {
    return "a box";
  }

  put(value) {
    this.#value = value;
  }

  take() {
    return this.#value;
  }

  lid() {
    return new Lid();
  }
}

class Lid extends RpcTarget {
  open() {
    return "open";
  }
}

check("a kept object of ours: methods", async ({ api }) => {
  const box = api.echo(new Box());
  equal(await box.put({ gold: [1n] }), undefined);
  equal(await box.take(), { gold: [1n] });
  const lid = box.lid();
  equal(await lid.open(), "open");
  await rejected(box.nosuch(), TypeError, "'nosuch' is not a function.");
  dispose(lid, box);
});

check("a kept object of ours: properties", async ({ api }) => {
  const box = api.echo(new Box());
  equal(await box.label, "a box");
  equal(await box.nosuch, undefined);
  dispose(box);
});

check("a kept object of ours is given back once", async ({ api }) => {
  const box = watched(new Box());
  const kept = api.echo(box.target);
  equal(await kept.take(), 0);
  equal(box.times, 0, "times given back while kept");
  dispose(kept);
  await within(box.gone, "the release of the object");
  await api.echo(1);
  equal(box.times, 1, "times given back");
});

check("a kept plain object with functions, pipelined", async ({ api }) => {
  const kept = api.echo({ add: (a, b) => a + b, inner: { list: [], twice: (x) => 2 * x }, n: 5 });
  equal(await kept.add(2, 3), 5);
  equal(await kept.inner.twice(21), 42);
  equal(await kept.n, 5);
  dispose(kept);
});

// ---------------------------------------------------------------------------------------------- references in values

check("our function comes back in an object", async ({ api }) => {
  const f = watched((x) => x + 1);
  const value = await api.echo({ f: f.target, n: 1 });
  equal(Object.keys(value).sort(), ["f", "n"]);
  equal(await value.f(1), 2);
  equal(await value.f(5), 6);
  dispose(value);
  await within(f.gone, "the release of the function");
  equal(f.times, 1, "times given back");
});

check("our function comes back in an array", async ({ api }) => {
  const value = await api.echo([(x) => x + 1, "text", [(x) => x * 2]]);
  equal(value.length, 3);
  equal(await value[0](1), 2);
  equal(value[1], "text");
  equal(await value[2][0](21), 42);
  dispose(value);
});

check("our function comes back twice in a value", async ({ api }) => {
  const f = (x) => `f ${x}`;
  const value = await api.echo({ on: f, addListener: f, off: (x) => `g ${x}` });
  equal(await Promise.all([value.on(1), value.addListener(2), value.off(3)]), ["f 1", "f 2", "g 3"]);
  dispose(value);
});

check("our function comes back as the whole result", async ({ api }) => {
  // npm's client cannot await it when the server sends `["import", id]`; a server that sends an export can be called.
  let f;
  try {
    f = await api.echo((x) => `got ${x}`);
  } catch (error) {
    isTrue(error instanceof Error, `rejected with ${error}`);
    equal(error.message, "Tried to resolve a non-promise stub.");
  }
  if (f !== undefined) {
    equal(await f("x"), "got x");
    dispose(f);
  }
});

check("our function comes back as the whole result and can be awaited", async ({ api }) => {
  const callback = watched((x) => `got ${x}`);
  const f = await api.echo(callback.target);
  equal(await f("x"), "got x");
  equal(callback.times, 0, "times given back while held");
  dispose(f);
  await within(callback.gone, "the release of the function");
}, { needs: "strict-home" });

check("our object comes back in a value", async ({ api }) => {
  const box = new Box();
  const value = await api.echo({ deep: [{ box }] });
  await value.deep[0].box.put("gold");
  equal(box.take(), "gold");
  equal(await value.deep[0].box.take(), "gold");
  dispose(value);
});

check("an object of the server goes home in an object", async ({ api }) => {
  const counter = await api.counter();
  equal(await counter.next(), 1);
  const value = await api.echo({ counter, n: 1 });
  equal(await value.counter.next(), 2);
  equal(await counter.next(), 3);
  equal(await value.counter.reset(), undefined);
  equal(await counter.next(), 1);
  dispose(value, counter);
});

check("an object of the server goes home in an array", async ({ api }) => {
  const [a, b] = [await api.counter(), await api.counter()];
  const value = await api.echo([a, "text", [b, a]]);
  equal(await value[0].next(), 1);
  equal(await value[2][1].next(), 2);
  equal(await value[2][0].next(), 1);
  equal([await a.next(), await b.next()], [3, 2]);
  dispose(value, a, b);
});

check("an object of the server goes home alone", async ({ api }) => {
  const counter = await api.counter();
  const same = await api.echo(counter);
  equal([await same.next(), await counter.next(), await same.next()], [1, 2, 3]);
  dispose(same, counter);
});

check("an object of the server goes home, pipelined", async ({ api }) => {
  const counter = api.counter();
  const same = api.echo(counter);
  equal(await same.next(), 1);
  equal(await counter.next(), 2);
  equal(await api.echo(api.counter()).next(), 1);
  equal(await api.echo({ c: api.counter() }).c.next(), 1);
  dispose(same, counter);
});

check("an object of the server goes home again and again", async ({ api }) => {
  const counter = await api.counter();
  const copies = [counter];
  for (let i = 0; i < 10; i++) copies.push(await api.echo(copies[i]));
  for (const [i, copy] of copies.entries()) equal(await copy.next(), i + 1);
  dispose(...copies);
});

check("references of both sides in one value", async ({ api }) => {
  const counter = await api.counter();
  const value = await api.echo({ list: [() => "ours", counter, 5], inner: { box: new Box(), counter, when: new Date(1) } });
  equal(await value.list[0](), "ours");
  equal(await value.list[1].next(), 1);
  equal(value.list[2], 5);
  equal(await value.inner.box.label, "a box");
  equal(await value.inner.counter.next(), 2);
  equal(value.inner.when, new Date(1));
  dispose(value, counter);
});

check("an object of the server given to a kept callback", async ({ api }) => {
  // npm's server: "Can't dup an RpcTarget stub as a promise."
  const counter = await api.counter();
  const kept = api.echo(async (c) => c.next());
  equal(await kept(counter), 1);
  equal(await counter.next(), 2);
  dispose(kept, counter);
}, { needs: "strict-home" });

// ---------------------------------------------------------------------------------------------- disposal

check("a stub disposed of, and the server goes on", async ({ api }) => {
  const counter = await api.counter();
  equal(await counter.next(), 1);
  dispose(counter);
  dispose(counter); // twice is harmless
  equal(await api.transform("beep"), "BOOP");
  equal(await api.counter().next(), 1);
});

check("a duplicate outlives the original", async ({ api }) => {
  const counter = await api.counter();
  const copy = counter.dup();
  equal([await counter.next(), await copy.next()], [1, 2]);
  dispose(counter);
  equal(await api.echo(1), 1);
  equal(await copy.next(), 3);
  dispose(copy);
});

check("a copy from the server outlives the original, and the other way round", async ({ api }) => {
  const counter = await api.counter();
  const value = await api.echo({ counter });
  equal(await counter.next(), 1);
  dispose(counter);
  equal(await api.echo(1), 1);
  equal(await value.counter.next(), 2);
  const again = await api.echo({ counter: value.counter });
  dispose(again);
  equal(await value.counter.next(), 3);
  dispose(value);
});

check("a stub disposed of right after it was sent home", async ({ api }) => {
  const counter = await api.counter();
  equal(await counter.next(), 1);
  const call = api.echo({ counter });
  dispose(counter); // the release follows the call on the wire, and the answer is not here yet
  const value = await call;
  equal(await value.counter.next(), 2);
  dispose(value);
});

check("calls disposed of before their answers", async ({ api }) => {
  dispose(api.counter(), api.transform("beep"), api.echo({ f: () => 1 }), api.fail(), api.authenticate("x").profile());
  equal(await api.transform("beep"), "BOOP");
});

check("an awaited call disposed of before its answer", async ({ api }) => {
  const call = api.echo("late");
  const outcome = rejected(call.then(), Error, "RPC was canceled because the RpcPromise was disposed.");
  dispose(call); // sends the release right after the pull
  await outcome;
  equal(await api.echo("next"), "next");
});

check("an object whose call was disposed of before its answer", async ({ api }) => {
  const counter = api.counter();
  const next = counter.next();
  dispose(counter); // the call on it was sent before
  equal(await next, 1);
});

check("a result that holds references, not awaited and disposed of", async ({ api }) => {
  const f = watched(() => 1);
  const call = api.echo({ list: [f.target] });
  dispose(call);
  await within(f.gone, "the release of the function");
});

check("500 objects, each disposed of", async ({ api }) => {
  for (let round = 0; round < 10; round++) {
    const counters = await Promise.all(Array.from({ length: 50 }, () => api.counter()));
    equal(await Promise.all(counters.map((counter) => counter.next())), Array(50).fill(1));
    dispose(...counters);
  }
});

// ---------------------------------------------------------------------------------------------- concurrency and order

check("500 calls at once", async ({ api }) => {
  const answers = await Promise.all(Array.from({ length: 500 }, (_, i) => api.transform(`bee ${i}`)));
  equal(answers, Array.from({ length: 500 }, (_, i) => `BOO ${i}`));
});

check("calls of every kind at once", async ({ api }) => {
  const rounds = Array.from({ length: 20 }, async (_, i) => {
    const events = [];
    const outcomes = await Promise.allSettled([
      api.transform(`bee ${i}`),
      api.counter().next(),
      api.on(`e${i}`, (event) => void events.push(event)),
      api.fail(),
      api.authenticate(`${i}`).profile().name(),
      api.echo({ i, list: [BigInt(i), undefined] }),
    ]);
    equal(events, Array(3).fill(`e${i}`));
    equal(outcomes.map(({ status, value, reason }) => (status === "fulfilled" ? value : reason.message)), [
      `BOO ${i}`, 1, undefined, "intentional failure", `user of ${i}`, { i, list: [BigInt(i), undefined] },
    ]);
  });
  await Promise.all(rounds);
});

check("calls on one object keep their order", async ({ api }) => {
  const counter = await api.counter();
  const answers = await Promise.all(Array.from({ length: 200 }, () => counter.next()));
  equal(answers, Array.from({ length: 200 }, (_, i) => i + 1));
  dispose(counter);
});

check("calls on an object that is not there yet keep their order", async ({ api }) => {
  const counter = api.counter();
  const answers = await Promise.all(Array.from({ length: 200 }, () => counter.next()));
  equal(answers, Array.from({ length: 200 }, (_, i) => i + 1));
  dispose(counter);
});

check("different calls on one object keep their order", async ({ api }) => {
  const counter = await api.counter();
  equal(
    await Promise.all([counter.next(), counter.next(), counter.reset(), counter.next(), counter.reset(), counter.reset(), counter.next()]),
    [1, 2, undefined, 1, undefined, undefined, 1],
  );
  dispose(counter);
});

check("order holds while the object arrives", async ({ api }) => {
  const counter = api.counter();
  const early = Array.from({ length: 20 }, () => counter.next());
  const arrived = await counter;
  const late = Array.from({ length: 20 }, () => arrived.next());
  equal(await Promise.all([...early, ...late]), Array.from({ length: 40 }, (_, i) => i + 1));
  dispose(arrived, counter);
});

check("a big call and small ones keep their order", async ({ api }) => {
  const seen = [];
  const kept = api.echo((x) => seen.push(x.length));
  await Promise.all([kept("x".repeat(200_000)), kept("x"), kept("y".repeat(100_000)), kept("")]);
  equal(seen, [200_000, 1, 100_000, 0]);
  dispose(kept);
});

// ---------------------------------------------------------------------------------------------- sessions

check("map: a call for each element", async ({ api }) => {
  equal(await api.echo(["beep", "boat"]).map((text) => api.transform(text)), ["BOOP", "BOOT"]);
  equal(await api.echo([]).map((text) => api.transform(text)), []);
});

check("map: literals, and the element in several places", async ({ api }) => {
  equal(
    await api.echo([1, "a"]).map((x) => [x, { x, list: [x] }, "lit", null, undefined, 12n]),
    [[1, { x: 1, list: [1] }, "lit", null, undefined, 12n], ["a", { x: "a", list: ["a"] }, "lit", null, undefined, 12n]],
  );
  equal(await api.echo([1, 2, 3]).map(() => 5), [5, 5, 5]);
});

check("map: no list", async ({ api }) => {
  equal(await api.echo("beep").map((text) => api.transform(text)), "BOOP", "a single value");
  equal(await api.echo({ deep: ["beep"] }).map((x) => x.deep), ["beep"], "an object");
  equal(await api.echo(null).map((text) => api.transform(text)), null);
  equal(await api.echo(undefined).map((text) => api.transform(text)), undefined);
});

check("map: results are targets and arguments", async ({ api }) => {
  equal(await api.echo(["ann", "bob"]).map((token) => api.authenticate(token).profile().name()), ["user of ann", "user of bob"]);
  equal(
    await api.echo(["ann"]).map((token) => ({ upper: api.transform(api.authenticate(token).profile().name()), token })),
    [{ upper: "USER OF ANN", token: "ann" }],
  );
});

check("map: inside a map", async ({ api }) => {
  equal(
    await api.echo([["beep", "boat"], [], ["x"]]).map((list) => ({ list, all: list.map((text) => [api.transform(text), list.length]) })),
    [
      { list: ["beep", "boat"], all: [["BOOP", undefined], ["BOOT", undefined]] },
      { list: [], all: [] },
      { list: ["x"], all: [["X", undefined]] },
    ],
  );
});

check("map: calls in order on one object", async ({ api }) => {
  const counter = api.counter();
  equal(await api.echo(["a", "b", "c"]).map((name) => [name, counter.next()]), [["a", 1], ["b", 2], ["c", 3]]);
  dispose(counter);
});

check("map: the result is an argument, and mapped again", async ({ api }) => {
  equal(await api.echo({ deep: api.echo([1, 2]).map((x) => [x]) }), { deep: [[1], [2]] });
  equal(await api.echo(["beep"]).map((text) => api.transform(text)).map((text) => [text]), [["BOOP"]]);
});

check("map: a call that fails", async ({ api }) => {
  await rejected(api.echo([1, 2]).map(() => api.fail()), Error, "intentional failure");
  equal(await api.echo([1, 2]).map((x) => { api.fail(); return x; }), [1, 2], "a failure that nothing uses");
});

check("ten sessions at once", async ({ connect }) => {
  const sessions = await Promise.all(Array.from({ length: 10 }, connect));
  const counters = await Promise.all(sessions.map(({ api }) => api.counter()));
  for (let i = 1; i <= 3; i++) equal(await Promise.all(counters.map((counter) => counter.next())), Array(10).fill(i));
  dispose(...counters);
});

check("an object of one session is lent to another", async ({ api, connect }) => {
  const other = await connect();
  const counter = await api.counter();
  const value = await other.api.echo({ counter });
  equal(await value.counter.next(), 1);
  const kept = other.api.echo(counter); // each call on it goes to the other session's server and back
  equal(await kept.next(), 2);
  equal(await counter.next(), 3);
  dispose(value, kept, counter);
});

check("a session that ends leaves the others alone", async ({ api, connect }) => {
  const other = await connect();
  const counter = await other.api.counter();
  equal(await counter.next(), 1);
  const mine = await api.counter();
  equal(await mine.next(), 1);
  await other.close();
  equal(await mine.next(), 2);
  dispose(mine);
});

check("a session that ends while its callback is waiting", async ({ api, connect }) => {
  const other = await connect();
  const entered = deferred();
  const call = other.api.on("slow", () => {
    entered.resolve();
    return new Promise(() => {});
  });
  const outcome = rejected(call, Error, "RPC session was shut down by disposing the main stub");
  await within(entered.promise, "the callback");
  await other.close();
  await outcome;
  equal(await api.transform("beep"), "BOOP");
});

// ---------------------------------------------------------------------------------------------- bare frames

check("frames: a pull may come late, and an answer comes once", async ({ raw }) => {
  const wire = await raw();
  wire.send(["push", ["pipeline", 0, ["transform"], ["bee"]]], ["push", ["pipeline", 0, ["transform"], ["moo"]]], ["pull", 2]);
  equal(await wire.receive(), ["resolve", 2, "MOO"]);
  wire.send(["pull", 1], ["pull", 1], ["release", 2, 1]);
  equal(await wire.receive(), ["resolve", 1, "BOO"]);
  wire.send(["push", ["pipeline", 0, ["transform"], ["x"]]], ["pull", 3]);
  equal(await wire.receive(), ["resolve", 3, "X"]);
  wire.close();
});

check("frames: a stream is answered without a pull", async ({ raw }) => {
  const wire = await raw();
  wire.send(["stream", ["pipeline", 0, ["transform"], ["beep"]]]);
  equal(await wire.receive(), ["resolve", 1, "BOOP"]);
  wire.send(["stream", ["pipeline", 0, ["fail"], []]]);
  const [kind, id, reason] = await wire.receive();
  equal([kind, id, reason.slice(0, 3)], ["reject", 2, ["error", "Error", "intentional failure"]]);
  wire.send(["stream", ["pipeline", 0, ["counter"], []]]);
  const [, , exported] = await wire.receive();
  equal(exported?.[0], "export", "what counter() answers with");
  wire.send(["stream", ["pipeline", exported[1], ["next"], []]]);
  equal(await wire.receive(), ["resolve", 4, 1]);
  wire.send(["release", exported[1], 1], ["push", ["pipeline", 0, ["transform"], ["x"]]], ["pull", 5]);
  equal(await wire.receive(), ["resolve", 5, "X"]);
  wire.close();
});

check("frames: names on Object.prototype are no members", async ({ raw }) => {
  const wire = await raw();
  let id = 0;
  for (const name of ["constructor", "toString", "hasOwnProperty", "valueOf", "__proto__"]) {
    wire.send(["push", ["pipeline", 0, [name]]], ["pull", ++id]);
    equal(await wire.receive(), ["resolve", id, ["undefined"]], `reading ${name}`);
    wire.send(["push", ["pipeline", 0, [name], []]], ["pull", ++id]);
    equal((await wire.receive()).flat().slice(0, 4), ["reject", id, "error", "TypeError"], `calling ${name}`);
  }
  wire.close();
});

check("frames: white space, additional elements and answers to nothing are harmless", async ({ raw }) => {
  const wire = await raw();
  wire.send(' [ "push" , [ "pipeline" , 0 , [ "transform" ] , [ "beep" ] ] , "more" ] ', '["pull",1,"more"]');
  equal(await wire.receive(), ["resolve", 1, "BOOP"]);
  wire.send(["resolve", -77, "to nothing"], ["reject", 78, ["error", "Error", "to nothing"]], ["release", 1, 1, "more"]);
  wire.send(["push", ["pipeline", 0, ["transform"], ["x"]]], ["pull", 2]);
  equal(await wire.receive(), ["resolve", 2, "X"]);
  wire.close();
});

check("frames: a result used as an argument, as `import` and as `pipeline`", async ({ raw }) => {
  const wire = await raw();
  wire.send(["push", ["pipeline", 0, ["counter"], []]]);
  let id = 1;
  let count = 0;
  for (const form of ["import", "pipeline"]) {
    wire.send(["push", ["pipeline", 0, ["echo"], [{ counter: [form, 1] }]]]);
    wire.send(["push", ["pipeline", id + 1, ["counter", "next"], []]], ["pull", id + 2]);
    equal(await wire.receive(), ["resolve", id + 2, ++count], form);
    id += 2;
  }
  wire.close();
});

for (const [what, frame] of [
  ["that is no JSON", "nonsense"],
  ["of an unknown kind", ["nonsense", 1]],
  ["that releases what was never there", ["release", -50, 1]],
  ["with an unknown special form", ["push", ["pipeline", 0, ["echo"], [["nonsense", 1]]]]],
]) {
  check(`frames: one ${what} ends its session only`, async ({ api, raw }) => {
    const wire = await raw();
    wire.send(["push", ["pipeline", 0, ["transform"], ["beep"]]], ["pull", 1]);
    equal(await wire.receive(), ["resolve", 1, "BOOP"]);
    wire.send(frame);
    equal((await wire.receive())[0], "abort");
    equal(await within(wire.closed, "the server to close the WebSocket"), 3000, "the code it closed with");
    equal(await api.transform("beep"), "BOOP");
  });
}

// ---------------------------------------------------------------------------- calls that ask for what is not there

// npm's own server ends the session for each of these.
function failsAlone(name, body) {
  check(`one call fails: ${name}`, async (context) => {
    const { api } = context;
    const pending = api.transform("beep");
    await body(context);
    equal(await pending, "BOOP", "a call that was pending");
  }, { needs: "strict-calls" });
}

failsAlone("a promise that has settled, as an argument", async ({ api }) => {
  const settled = api.transform("beep");
  equal(await settled, "BOOP");
  await rejected(api.echo(settled), Error, /no such entry/);
  await rejected(api.echo([{ deep: settled.length }]), Error, /no such entry/);
});

failsAlone("a function beside such a promise is given back", async ({ api }) => {
  const settled = api.transform("beep");
  await settled;
  await rejected(api.echo([() => 1, settled, () => 2]), Error, /no such entry/);
});

failsAlone("an error whose message or name is no string", async ({ api }) => {
  for (const odd of [{ message: null }, { message: 5 }, { name: null }, { name: { a: 1 } }]) {
    await rejected(api.echo(Object.assign(new Error("x"), odd)), Error, /not supported/);
  }
});

failsAlone("a callback whose result is not supported", async ({ api }) => {
  await rejected(api.on("tick", () => Object.assign(new Error("x"), { message: null })), Error, /not supported/);
});

failsAlone("a callback that throws an error with such a property", async ({ api }) => {
  await rejected(
    api.on("tick", () => {
      throw Object.assign(new Error("thrown"), { response: new Response("text") });
    }),
    Error,
    /thrown/,
  );
  await rejected(
    api.on("tick", () => {
      throw Object.assign(new Error("x"), { message: null });
    }),
    Error,
    /null/,
  );
});

check("one call fails: what a frame names is not there", async ({ api, raw }) => {
  const wire = await raw();
  wire.send(["push", ["pipeline", 99, ["next"], []]], ["pull", 1]);
  equal((await wire.receive()).slice(0, 2), ["reject", 1], "a push of something unknown");
  wire.send(["stream", ["pipeline", 0, ["echo"], [["import", -7]]]]);
  equal((await wire.receive()).slice(0, 2), ["reject", 2], "an argument that is unknown");
  wire.send(["pull", 99]);
  equal((await wire.receive()).slice(0, 2), ["reject", 99], "a pull of something unknown");
  wire.send(["pipe"], ["stream", ["pipeline", 0, ["echo"], [["readable", 9]]]]);
  equal((await wire.receive()).slice(0, 2), ["reject", 4], "the read end of a pipe that is unknown");
  wire.send(["release", 3, 1], ["push", ["pipeline", 0, ["transform"], ["beep"]]], ["pull", 5]);
  equal(await wire.receive(), ["resolve", 5, "BOOP"]);
  wire.close();
  equal(await api.transform("beep"), "BOOP");
}, { needs: "strict-calls" });

// ------------------------------------------------------------------------------------------------------- streams

function streams(name, body) {
  check(`streams: ${name}`, body, { needs: "streams" });
}

// A stream of chunks, which says by `cancelled` for what it was cancelled.
function streamOf(chunks, { fails } = {}) {
  const { promise, resolve } = deferred();
  const rest = [...chunks];
  const stream = new ReadableStream({
    pull(controller) {
      if (rest.length > 0) controller.enqueue(rest.shift());
      else if (fails) controller.error(fails);
      else controller.close();
    },
    cancel: resolve,
  });
  return Object.assign(stream, { cancelled: promise });
}

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

streams("all chunks of a stream", async ({ api }) => {
  const chunks = ["a", 2, { three: [3] }, null, new Date(0), 12n];
  equal(await api.collect(streamOf(chunks)), chunks);
  equal(await api.collect(streamOf([])), []);
});

streams("numbers", async ({ api }) => {
  equal(await all(await api.numbers(0)), []);
  equal(await all(await api.numbers(1000)), [...Array(1000).keys()]);
});

streams("two at once, and calls beside them", async ({ api }) => {
  const [one, other, text] = await Promise.all([
    api.numbers(300).then(all),
    api.collect(streamOf(Array(300).fill("x"))),
    api.transform("beep"),
  ]);
  equal([one.length, other.length, text], [300, 300, "BOOP"]);
});

streams("bytes beyond any window", async ({ api }) => {
  const chunk = new Uint8Array(65_536).fill(7);
  const chunks = await api.collect(streamOf(Array(100).fill(chunk)));
  equal(chunks.length, 100);
  isTrue(chunks.every((got) => got.length === chunk.length && got[65_535] === 7), "a chunk changed");
});

streams("20,000 small chunks", async ({ api }) => {
  equal((await api.collect(streamOf(Array(20_000).keys()))).length, 20_000);
});

streams("a source that fails", async ({ api }) => {
  const failing = streamOf(["ok"], { fails: new TypeError("source broke") });
  await rejected(api.collect(failing), TypeError, /source broke/);
});

streams("a reader that has enough", async ({ api }) => {
  const reader = (await api.numbers(1_000_000)).getReader();
  equal((await reader.read()).value, 0);
  equal((await reader.read()).value, 1);
  await reader.cancel("had enough");
});

streams("there and back again", async ({ api }) => {
  const numbers = (await api.numbers(100)).getReader();
  // npm does not take the streams for such that Node makes out of pipes.
  const again = new ReadableStream({
    async pull(controller) {
      const { value, done } = await numbers.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
  equal(await api.collect(again), [...Array(100).keys()]);
  const { deep } = await api.echo({ deep: [streamOf(["x", "y"])] });
  equal(await all(deep[0]), ["x", "y"]);
});

streams("functions in chunks", async ({ api }) => {
  const [double] = await api.collect(streamOf([(number) => number * 2]));
  equal(await double(4), 8);
  dispose(double);
});

streams("a blob", async ({ api }) => {
  const blob = await api.echo(new Blob(["te", "xt"], { type: "text/plain" }));
  equal([blob.type, await blob.text()], ["text/plain", "text"]);
  const { deep } = await api.echo({ deep: [new Blob([new Uint8Array(300_000).fill(7)])] });
  const bytes = new Uint8Array(await deep[0].arrayBuffer());
  isTrue(bytes.length === 300_000 && bytes.every((byte) => byte === 7), "the blob changed");
});

streams("a request and a response without a body", async ({ api }) => {
  const request = await api.echo(new Request("http://localhost/a?b=1", { headers: { a: "b", c: "d" }, redirect: "manual" }));
  equal([request.url, request.method, request.redirect], ["http://localhost/a?b=1", "GET", "manual"]);
  equal([...request.headers], [["a", "b"], ["c", "d"]]);
  const response = await api.echo(new Response(null, { status: 204, statusText: "Nothing", headers: { x: "y" } }));
  equal([response.status, response.statusText, response.headers.get("x")], [204, "Nothing", "y"]);
});

// npm's server cannot send a body on: it does not take the streams for such that Node makes out of pipes. In a batch, no
// body can be acknowledged.
check("a request and a response with a body", async ({ api }) => {
  const request = await api.echo(new Request("http://localhost/", { method: "POST", body: "a body" }));
  equal([request.method, await request.text()], ["POST", "a body"]);
  const { deep } = await api.echo({ deep: [new Response("text", { status: 404 })] });
  equal([deep[0].status, await deep[0].text()], [404, "text"]);
}, { needs: "strict-home" });

streams("a chunk that is a stream", async ({ api }) => {
  const [inner] = await api.collect(streamOf([streamOf([1, 2, 3])]));
  equal(await all(inner), [1, 2, 3]);
});

streams("one that nobody reads", async ({ api }) => {
  const numbers = await api.numbers(5);
  equal(await api.transform("beep"), "BOOP");
  await numbers.cancel("not wanted");
});

// ---------------------------------------------------------------------------------------------- wrong arguments

// A server in JavaScript takes what comes, one in a typed language refuses it and says where.
for (const [what, method, ...args] of [
  ["a number for a text", "transform", 42],
  ["an object for a text", "transform", { text: "beep" }],
  ["a function for a text", "transform", () => "beep"],
  ["null for a text", "authenticate", null],
  ["too few arguments", "transform"],
  ["a missing callback", "on", "tick"],
  ["a text for a callback", "on", "tick", "not a function"],
  ["an event of the wrong type", "on", 5, () => {}],
]) {
  check(`${method}: ${what} is refused`, async ({ api }) => {
    await api[method](...args).then(
      (value) => fail(`got ${value}, expected a rejection`),
      (error) => {
        isTrue(error instanceof Error, `rejected with ${error}`);
        isTrue(new RegExp(`\\b${method}\\b`).test(error.message), `the message does not name the method: ${error.message}`);
      },
    );
  }, { needs: "strict-types" });
}
