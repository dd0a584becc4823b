// The checks of tour_client.mjs, in the order they run. That file says what a check gets.
//
// A reference to an object of the server is a promise that is fulfilled with itself, so it is never awaited:
// `value(promise)` is for results that are no reference, `arrived(promise)` for those that may be one.

import Q from "q";
import { equal, fail, isTrue } from "../expect.mjs";
import { checkList } from "../running.mjs";
import { addSharedChecks } from "../shared_checks.mjs";

export const { checks, check } = checkList();

const NPM = { server: "npm" };
const RUST = { server: "rust" };

// The value of a Q promise in a box, which `await` leaves alone.
export function boxed(promise) {
  return new Promise((resolve, reject) => promise.then((it) => resolve({ it }), reject));
}

export async function value(promise) {
  const { it } = await boxed(promise);
  if (Q.isPromise(it)) fail("got a reference, expected a value");
  return it;
}

const arrived = async (promise) => void (await boxed(promise));

// The reason of a rejection, which has to have a message.
async function failure(promise, what = "call") {
  const outcome = await boxed(promise).then(({ it }) => ({ it }), (reason) => ({ reason }));
  if (!("reason" in outcome)) fail(`${what}: got ${Q.isPromise(outcome.it) ? "a reference" : JSON.stringify(outcome.it)}, expected an error`);
  equal(typeof outcome.reason?.message, "string", `${what}: kind of message`);
  return outcome.reason;
}

const values = (...promises) => Promise.all(promises.map(value));

function echoes(name, ...them) {
  check(`echo: ${name}`, async ({ tour }) => {
    for (const it of them) equal(await value(tour.invoke("echo", it)), it);
  });
}

// An object of the server as its methods, each of which gives a promise of a value, or of another object.
const methods = (object) =>
  new Proxy({}, {
    get: (_, name) => {
      if (name === "then") return undefined; // it is no promise
      return async (...args) => {
        const { it } = await boxed(object.invoke(name, ...args));
        return Q.isPromise(it) ? methods(it) : it;
      };
    },
  });

const messageOf = async (promise) => (await failure(promise)).message;

addSharedChecks(check, ({ tour }) => methods(tour), messageOf, {
  lost: async (call) => isTrue((await messageOf(call)).startsWith("Connection closed"), "the call that was not answered"),
});

class Box {
  label = "a box";

  open() {
    return `opened ${this.label}`;
  }
}

// ---------------------------------------------------------------------------------------------- transform

check("transform: 200 KB of text", async ({ tour }) => {
  equal(await value(tour.invoke("transform", `b${"e".repeat(200_000)}p`)), "BOOP");
  equal(await value(tour.invoke("transform", "xy".repeat(100_000))), "XY".repeat(100_000));
});

// ---------------------------------------------------------------------------------------------- operations

check("post: under each of its names", async ({ tour }) => {
  const them = [
    tour.invoke("transform", "bee"),
    tour.post("transform", ["bee"]),
    tour.send("transform", "bee"),
    tour.mapply("transform", ["bee"]),
    tour.mcall("transform", "bee"),
  ];
  equal(await values(...them), Array(5).fill("BOO"));
});

check("get: a method is a function", async ({ tour }) => {
  const transform = await value(tour.get("transform"));
  equal(typeof transform, "function");
  equal(await value(transform("beep")), "BOOP");
});

check("apply: a member, under each of its names", async ({ tour }) => {
  const transform = tour.get("transform");
  equal(await values(transform.fapply(["bee"]), transform.fcall("moo"), transform.fbind("queue")()), ["BOO", "MOO", "QOO"]);
});

check("keys: of results", async ({ tour }) => {
  equal(await value(tour.invoke("echo", { b: 1, a: 2 }).keys()), ["b", "a"]);
  equal(await value(tour.invoke("echo", [7, 8]).keys()), ["0", "1"]);
  equal(await value(tour.invoke("authenticate", "t").keys()), ["profile"]);
});

check("keys: of the tour", async ({ tour, server }) => {
  const keys = await value(tour.keys()).catch((reason) => (server === "npm" ? fail(reason.message) : undefined));
  if (keys === undefined) return; // not every server lists them
  for (const name of ["transform", "counter", "echo"]) isTrue(keys.includes(name), `${name} is not among ${keys}`);
});

check("get: parts of results", async ({ tour }) => {
  equal(await value(tour.invoke("echo", { deep: { y: [1, { z: 2 }] } }).get("deep").get("y").get(1).get("z")), 2);
  equal(await value(tour.invoke("echo", { a: 1 }).get("missing")), undefined);
});

check("get: a missing member is undefined or refused", async ({ tour, server }) => {
  await boxed(tour.get("missing")).then(
    ({ it }) => equal(it, undefined),
    (reason) => (server === "npm" ? fail(reason.message) : equal(typeof reason.message, "string")),
  );
});

check("post: a missing member is refused", async ({ tour }) => {
  await failure(tour.invoke("missing"));
  await failure(tour.invoke("missing", 1, () => {}));
});

check("apply: an object that is no function refuses", async ({ tour }) => {
  await failure(tour.fcall());
});

check("an operation that does not exist is refused", async ({ tour }) => {
  await failure(tour.dispatch("bogus", [1]));
});

check("set and delete are answered", async ({ tour }) => {
  // Not every server lets its members be written; it then says so.
  for (const call of [() => tour.set("w", 5), () => tour.delete("w")]) {
    await boxed(call()).then(
      ({ it }) => equal(it, undefined),
      (reason) => equal(typeof reason.message, "string"),
    );
  }
});

check("set, get, keys and delete on the tour", async ({ tour }) => {
  equal(await value(tour.set("w", { r: [1] })), undefined);
  equal(await value(tour.get("w")), { r: [1] });
  isTrue((await value(tour.keys())).includes("w"), "the new member is no key");
  equal(await value(tour.delete("w")), undefined);
  equal(await value(tour.get("w")), undefined);
}, NPM);

check("set, get, keys and delete on a result", async ({ tour }) => {
  const counter = tour.invoke("counter");
  equal(await value(counter.set("count", 40)), undefined);
  equal(await value(counter.invoke("next")), 41);
  equal(await value(counter.get("count")), 41);
  equal(await value(counter.keys()), ["count"]);
  equal(await value(counter.del("count")), undefined);
  equal(await value(counter.invoke("next")), NaN);
}, NPM);

// ---------------------------------------------------------------------------------------------- counter, authenticate

check("counter: called before it is there", async ({ tour }) => {
  const counter = tour.invoke("counter");
  equal(await values(counter.invoke("next"), counter.invoke("next"), counter.invoke("reset"), counter.invoke("next")), [1, 2, undefined, 1]);
});

check("authenticate: two users at a time", async ({ tour }) => {
  const [a, b] = [tour.invoke("authenticate", "a"), tour.invoke("authenticate", "b")];
  equal(await values(b.invoke("profile").invoke("name"), a.invoke("profile").invoke("name")), ["user of b", "user of a"]);
});

check("a chain that fails in the middle", async ({ tour }) => {
  await failure(tour.invoke("counter").invoke("missing").invoke("next"));
  const reason = await failure(tour.invoke("fail").invoke("next").get("x"));
  equal(reason.message, "intentional failure");
});

// ---------------------------------------------------------------------------------------------- on, fail

check("on: a callback that answers with something", async ({ tour }) => {
  const seen = [];
  for (const answer of [{ a: [1] }, () => "f", new Box(), Q.delay("late", 5)]) {
    equal(await value(tour.invoke("on", "é🙂", (event) => (seen.push(event), answer))), undefined);
  }
  equal(seen, Array(12).fill("é🙂"));
});

check("on: a callback that throws at once ends it with its message", async ({ tour }) => {
  const throws = () => fail("no more");
  const { message } = await failure(tour.invoke("on", "tick", throws));
  isTrue(message.includes("no more"), `the message is ${message}`);
});

check("fail: rejects with a message", async ({ tour }) => {
  for (let i = 0; i < 3; i++) equal((await failure(tour.invoke("fail"))).message, "intentional failure");
});

check("fail: the reason has a stack", async ({ tour }) => {
  const { stack } = await failure(tour.invoke("fail"));
  isTrue(stack.startsWith("Error: intentional failure\n"), `the stack is ${stack}`);
}, NPM);

// ---------------------------------------------------------------------------------------------- values

check("echo: nothing", async ({ tour }) => {
  equal(await value(tour.invoke("echo")), undefined);
  equal(await value(tour.post("echo")), undefined, "without arguments at all");
});

echoes("undefined", undefined);
echoes("null", null);
echoes("NaN and the infinities", NaN, Infinity, -Infinity);
echoes("special values inside", { u: undefined, n: NaN, l: [Infinity, -Infinity, undefined, null] }, [undefined], [[NaN]]);
echoes("nested values", [1, [2, [3, [], {}]]], { a: { b: { c: [{ d: null }] } } });
echoes("keys that are escaped", { "@": 1, "!": 2, "%": 3, $: 4, "/": 5, "\\": 6 }, { "@@": 1, "a@b!c": 2, "\\@": 3, "//": 4, "a\\/b": 5 });
echoes("values that look like the wire", { "@": "x", type: "function" }, { "!": "reason" }, { "%": "NaN" }, [{ $: "" }], "undefined", "@");
echoes("odd keys", { "": 0, 2: "two", 10: "ten", toString: "t", hasOwnProperty: 1, é: 3, "a b": 4 });

check("echo: an object with a member named constructor is no literal any more", async ({ tour }) => {
  // The real peer looks at `constructor` to tell literals, and sends all else by reference.
  // In a Rust program this name is reserved, so the object could not come back through one.
  const returned = tour.invoke("echo", { constructor: "c", a: 1 });
  equal(await value(returned.get("a")), 1);
});

check("echo: an error becomes its members", async ({ tour }) => {
  const error = Object.assign(new TypeError("mine"), { code: "E1", info: { list: [1] } });
  const { message, code, info } = await value(tour.invoke("echo", error));
  equal([message, code, info], ["mine", "E1", { list: [1] }]);
});

// ---------------------------------------------------------------------------------------------- identity

check("echo: an object below an escaped key, twice", async ({ tour }) => {
  const o = { a: 1 };
  const returned = await value(tour.invoke("echo", { "@/!": { "%": o }, later: o }));
  equal(returned.later, { a: 1 });
  isTrue(returned["@/!"]["%"] === returned.later, "two objects came back");
});

check("echo: values that contain themselves", async ({ tour }) => {
  const o = { name: "o", kids: [] };
  o.self = o;
  o.kids.push({ parent: o }, o.kids);
  const returned = await value(tour.invoke("echo", o));
  equal(returned.name, "o");
  isTrue(returned.self === returned && returned.kids[0].parent === returned, "the object's circles are not closed");
  isTrue(returned.kids[1] === returned.kids, "the array's circle is not closed");
});

// ---------------------------------------------------------------------------------------------- functions

check("functions answer late", async ({ tour }) => {
  const late = await value(tour.invoke("echo", (x) => Q.delay(x, 20)));
  const native = await value(tour.invoke("echo", async (x) => x));
  equal(await values(late(1), native(2)), [1, 2]);
});

check("a function of the server comes home", async ({ tour }) => {
  const profile = await value(tour.invoke("authenticate", "t").get("profile"));
  const returned = await value(tour.invoke("echo", { list: [profile] }));
  equal(await value(returned.list[0]().invoke("name")), "user of t");
});

check("a function of the server comes home as a callback", async ({ tour }) => {
  const profile = await value(tour.invoke("authenticate", "t").get("profile"));
  equal(await value(tour.invoke("on", "tick", profile)), undefined);
});

check("what a kept callback rejects with keeps its members", async ({ tour }) => {
  const f = await value(tour.invoke("echo", () => Q.reject(Object.assign(new Error("m"), { code: "E1", info: { a: [1] } }))));
  const { message, code, info } = await failure(f());
  equal([message, code, info], ["m", "E1", { a: [1] }]);
}, NPM);

check("a function twice in one value is undefined the second time", async ({ tour }) => {
  const f = (x) => `f${x}`;
  const { x, y } = await value(tour.invoke("echo", { x: f, y: f }));
  equal([await value(x(1)), y], ["f1", undefined]);
}, NPM);

// ---------------------------------------------------------------------------------------------- references

check("an object of the client goes by reference and back", async ({ tour }) => {
  const returned = tour.invoke("echo", new Box());
  equal(await values(returned.invoke("open"), returned.get("label"), returned.keys()), ["opened a box", "a box", ["label"]]);
});

check("an object of the client inside a value", async ({ tour }) => {
  const { list } = await value(tour.invoke("echo", { list: [new Box(), "x"] }));
  equal(list[1], "x");
  equal(await value(Q(list[0]).invoke("open")), "opened a box");
});

check("an object of the client is written from afar", async ({ tour }) => {
  const box = new Box();
  const far = tour.invoke("echo", box);
  equal(await value(far.set("label", "my box")), undefined);
  equal(box.label, "my box");
  equal(await value(far.delete("label")), undefined);
  equal(Object.keys(box), []);
});

check("an object of the server comes home", async ({ tour }) => {
  const counter = tour.invoke("counter");
  const { it } = await boxed(counter);
  const returned = tour.invoke("echo", { it }).get("it");
  equal([await value(returned.invoke("next")), await value(counter.invoke("next"))], [1, 2]);
  const again = tour.invoke("echo", it);
  equal(await value(again.invoke("next")), 3);
});

check("promises as values", async ({ tour }) => {
  const { now, late } = await value(tour.invoke("echo", { now: Q({ x: 1 }), late: Q.delay({ x: [2] }, 20) }));
  equal(await values(Q(now).get("x"), Q(late).get("x").get(0)), [1, 2]);
});

check("a promise as the whole value", async ({ tour }) => {
  equal(await value(tour.invoke("echo", Q.delay({ x: 1 }, 20)).get("x")), 1);
  const bad = tour.invoke("echo", Q.reject(Object.assign(new Error("a bad promise"))));
  const { message } = await failure(bad.get("x"));
  isTrue(message.includes("a bad promise"), `the message is ${message}`);
});

check("a pending call as an argument", async ({ tour }) => {
  const counter = tour.invoke("counter"); // not there yet
  const returned = tour.invoke("echo", { counter }).get("counter");
  equal([await value(returned.invoke("next")), await value(counter.invoke("next"))], [1, 2]);
});

check("a native promise of the client can be called on", async ({ tour }) => {
  const returned = tour.invoke("echo", { f: (x) => Promise.resolve(x) });
  equal(await value(returned.invoke("f", "late")), "late");
});

// ---------------------------------------------------------------------------------------------- progress

check("progress", async ({ tour, server }) => {
  const seen = [];
  const outcome = await boxed(tour.invoke("work").progress((it) => void seen.push(it))).catch((reason) => ({ reason }));
  if ("reason" in outcome && server !== "npm") {
    equal(typeof outcome.reason.message, "string"); // there is no work to do here
    return;
  }
  equal([outcome.it, seen], ["done", [10, 50, 90]]);
});

check("progress of two calls", async ({ tour }) => {
  const seen = [[], []];
  const done = seen.map((list) => tour.invoke("work").progress((it) => void list.push(it)));
  equal(await values(...done), ["done", "done"]);
  equal(seen, [[10, 50, 90], [10, 50, 90]]);
}, NPM);

check("progress of a callback reaches the one who called it", async ({ tour }) => {
  const f = await value(
    tour.invoke("echo", () => {
      const { promise, notify, resolve } = Q.defer();
      setTimeout(notify, 5, { percent: 50 });
      setTimeout(resolve, 10, "done");
      return promise;
    }),
  );
  const seen = [];
  equal(await value(f().progress((it) => void seen.push(it))), "done");
  equal(seen, [{ percent: 50 }]);
}, NPM);

// ---------------------------------------------------------------------------------------------- many at once

// ---------------------------------------------------------------------------------------------- bare messages

const send = (from, op, ...args) => JSON.stringify({ type: "send", to: "", from, op, args });

check("messages: any id is given back as it is", async ({ raw }) => {
  const wire = await raw();
  for (const id of ["x", "é🙂", "0"]) {
    wire.send(send(id, "post", "transform", ["beep"]));
    equal(await wire.receive(), { type: "resolve", to: id, resolution: "BOOP" });
  }
});

check("messages: special values and escaped keys", async ({ raw }) => {
  const wire = await raw();
  const it = { "\\@": { "%": "undefined" }, n: [{ "%": "NaN" }, { "%": "+Infinity" }, { "%": "-Infinity" }, null], "a\\/b": 1 };
  wire.send(send("x", "post", "echo", [it]));
  equal(await wire.receive(), { type: "resolve", to: "x", resolution: it });
});

check("messages: paths start at the arguments, and at the result", async ({ raw }) => {
  const wire = await raw();
  wire.send(send("x", "post", "echo", [{ o: { a: 1 }, again: { $: "/1/0/o" }, self: { $: "/1/0" } }]));
  equal((await wire.receive()).resolution, { o: { a: 1 }, again: { $: "/o" }, self: { $: "" } });
});

check("messages: a post without a name calls the object itself", async ({ raw }) => {
  const wire = await raw();
  wire.send(send("g", "get", "transform"));
  const { resolution } = await wire.receive();
  for (const name of [null, { "%": "undefined" }]) {
    wire.send(JSON.stringify({ type: "send", to: resolution["@"], from: "p", op: "post", args: [name, ["bee"]] }));
    equal(await wire.receive(), { type: "resolve", to: "p", resolution: "BOO" });
  }
});

check("messages: a path to a function is that function", async ({ raw }) => {
  const wire = await raw();
  wire.send(send("x", "post", "echo", [{ f: { "@": "mine", type: "function" }, g: { $: "/1/0/f" } }]));
  const { resolution } = await wire.receive();
  for (const { "@": id, type } of [resolution.f, resolution.g]) {
    equal(type, "function");
    wire.send(JSON.stringify({ type: "send", to: id, from: "a", op: "apply", args: [{ "%": "undefined" }, [1]] }));
    const call = await wire.receive();
    equal([call.type, call.to, call.op, call.args], ["send", "mine", "apply", [{ "%": "undefined" }, [1]]]);
    wire.send(JSON.stringify({ type: "resolve", to: call.from, resolution: "called" }));
    equal(await wire.receive(), { type: "resolve", to: "a", resolution: "called" });
  }
}, RUST);

check("messages: a rejection is one whatever the reason, and goes on as one that JavaScript takes for one", async ({ raw }) => {
  const wire = await raw();
  for (const reason of [0, "", false, null, { "%": "undefined" }, "text", { message: "m" }]) {
    wire.send(send("x", "post", "on", ["e", { "@": "mine", type: "function" }]));
    const { from } = await wire.receive();
    wire.send(JSON.stringify({ type: "resolve", to: from, resolution: { "!": reason } }));
    const { to, resolution } = await wire.receive();
    equal([to, Boolean(resolution?.["!"])], ["x", true], JSON.stringify(reason));
  }
}, RUST);

check("messages: an answer may lack its value, a call its arguments", async ({ raw }) => {
  const wire = await raw();
  wire.send(send("x", "post", "on", ["e", { "@": "mine", type: "function" }]));
  for (let i = 0; i < 3; i++) {
    const { from, args } = await wire.receive();
    equal(args[1], ["e", "data"]);
    wire.send(JSON.stringify({ type: "resolve", to: from }));
  }
  equal(await wire.receive(), { type: "resolve", to: "x", resolution: { "%": "undefined" } });
  wire.send(send("y", "post", "echo"));
  equal(await wire.receive(), { type: "resolve", to: "y", resolution: { "%": "undefined" } });
});

check("messages: `when` waits for the value", async ({ raw }) => {
  const wire = await raw();
  wire.send(send("c", "post", "counter", []));
  const { resolution } = await wire.receive();
  const id = resolution["@"] ?? resolution.next["@"];
  equal([typeof id, ["object", "function"].includes((resolution.next ?? resolution).type)], ["string", true]);
  wire.send(JSON.stringify({ type: "send", to: id, from: "w", op: "when", args: [] }));
  const { type, to } = await wire.receive();
  equal([type, to], ["resolve", "w"]);
});

check("messages: what is not understood ends nothing", async ({ raw }) => {
  const wire = await raw();
  for (const message of [
    // A server of several languages learns from the first message which one it is.
    { type: "resolve", to: "nobody", resolution: 1 },
    { type: "nope", to: "" },
    { type: "notify", to: "nobody", resolution: 1 },
    { type: "send", to: "nobody", from: "lost", op: "get", args: ["x"] },
    {},
  ]) {
    wire.send(JSON.stringify(message));
  }
  wire.send(send("x", "post", "transform", ["bee"]));
  let answer = await wire.receive();
  // A server may say that the object is not known, where the real one says nothing.
  if (answer.to === "lost") {
    isTrue("!" in answer.resolution, "a rejection");
    answer = await wire.receive();
  }
  equal(answer, { type: "resolve", to: "x", resolution: "BOO" });
});

check("messages: references are strings, and never twice the same", async ({ raw }) => {
  const wire = await raw();
  const ids = new Set();
  for (let i = 0; i < 3; i++) {
    wire.send(send(`x${i}`, "get", "transform"));
    const { resolution } = await wire.receive();
    equal([resolution.type, typeof resolution["@"]], ["function", "string"]);
    ids.add(resolution["@"]);
    wire.send(JSON.stringify({ type: "send", to: resolution["@"], from: "y", op: "apply", args: [{ "%": "undefined" }, ["bee"]] }));
    equal((await wire.receive()).resolution, "BOO");
  }
  equal(ids.size, 3);
}, NPM);
