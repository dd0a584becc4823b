// The checks that the tours of Capnode and Q share, by what their contexts have in common.

import { setTimeout as sleep } from "node:timers/promises";
import { deferred, equal, isTrue, within } from "./expect.mjs";

// q-connection brings `collections`, which replaces Array.from by one that takes neither a length nor a function.
export const times = (n, make) => [...Array(n).keys()].map(make);

// Adds the checks to a list. `on(context)` is the server's index, whose methods are called as they are in JavaScript, and
// `failure(promise)` gives the message of a rejection, or fails. `lost(call)` takes the call of a connection that was cut.
// `many` restricts checks with several messages on their way at once, and `keepsMessages` those of a server that passes on
// what a callback rejects with.
export function addSharedChecks(check, on, failure, { lost, many = {}, keepsMessages = {} }) {
  const shared = (name, body, only) => check(name, (context) => body(on(context), context), only);

  function echoes(name, ...values) {
    shared(`echo: ${name}`, async (index) => {
      for (const value of values) equal(await index.echo(value), value);
    });
  }

  shared("transform: plain text", async (index) => {
    const table = { beep: "BOOP", "": "", hello: "HELLO", queue: "QOO", "beep beep": "BOOP BEEP", aeiou: "OO", BEEP: "BEEP" };
    for (const [text, expected] of Object.entries(table)) equal(await index.transform(text), expected, text);
  });

  shared("transform: other letters", async (index) => {
    equal(await index.transform("straße"), "STRASSE");
    equal(await index.transform("éé → ee 🙂"), "ÉÉ → OO 🙂");
  });

  shared("transform: a number is refused", (index) => failure(index.transform(42)));

  shared("counter: counts and starts again", async (index) => {
    const { next, reset } = await index.counter();
    equal([await next(), await next(), await next()], [1, 2, 3]);
    equal(await reset(), undefined);
    equal(await next(), 1);
  });

  shared("counter: each has a count of its own", async (index) => {
    const [one, two] = [await index.counter(), await index.counter()];
    equal([await one.next(), await one.next(), await two.next(), await one.next()], [1, 2, 1, 3]);
    await two.reset();
    equal([await one.next(), await two.next()], [4, 1]);
  });

  shared("authenticate: objects in objects", async (index) => {
    for (const token of ["beep", "", "é🙂 \n\""]) {
      const profile = await (await index.authenticate(token)).profile();
      equal(await profile.name(), `user of ${token}`);
      equal(await profile.name(), `user of ${token}`, "called twice");
    }
  });

  shared("on: calls back three times", async (index) => {
    const seen = [];
    equal(await index.on("tick", async (...args) => void seen.push(args)), undefined);
    equal(seen, Array(3).fill(["tick", "data"]));
  });

  shared("on: one call after the answer to the other", async (index) => {
    let running = 0;
    const most = [];
    const callback = async () => {
      most.push(++running);
      await sleep(15);
      running--;
    };
    equal(await index.on("tick", callback), undefined);
    equal(most, [1, 1, 1]);
  });

  shared("on: a callback that fails ends it", async (index) => {
    let calls = 0;
    const failing = async () => {
      calls++;
      throw new Error("no more");
    };
    await failure(index.on("tick", failing));
    equal(calls, 1);
  });

  shared("on: a callback that calls the server", async (index) => {
    const seen = [];
    await index.on("queue", async (event) => void seen.push(await index.transform(event)));
    equal(seen, ["QOO", "QOO", "QOO"]);
  });

  echoes("booleans and what is falsy", true, false, 0, "");
  echoes("numbers", 1, -1, 0.1, -2.5, 1e21, -1e-7, 5e-324, 2 ** 53 - 1, -(2 ** 53) + 1, Number.MAX_VALUE);
  echoes("numbers past 2^53", 2 ** 53, 2 ** 60, 2 ** 63, 2 ** 64, -(2 ** 63), 123456789012345680000, 1e300);
  echoes("text", "a", "true", "null", "12", '"\\/', "\0\x01\x1f\x7f", "\n\r\t\b\f", "\u2028\u2029\ufeff", "<&>");
  echoes("text of all planes", "äöü", "日本語", "🙂👩‍👩‍👧‍👦", "e\u0301", "\u{10ffff}", "\ufffd\uffff");
  echoes("empty containers", {}, [], [[]], [{}, []], { a: {}, b: [] });

  shared("echo: negative zero becomes zero", async (index) => equal(await index.echo(-0), 0));

  shared("echo: a lone surrogate does not end the connection", async (index) => {
    for (const text of ["\ud800", "a\udc00b", "\ude00\ud83d"]) {
      const returned = await index.echo(text);
      isTrue(returned === text || returned === text.toWellFormed(), `got ${JSON.stringify(returned)}`);
    }
  });

  shared("echo: deep nesting", async (index) => {
    let value = "deep";
    for (let i = 0; i < 50; i++) value = i % 2 ? [value] : { value };
    equal(await index.echo(value), value);
  });

  shared("echo: 100 KB of small values", async (index) => {
    const value = times(3_000, (i) => ({ i, text: `${i}` }));
    equal(await index.echo(value), value);
  }, many);

  shared("echo: an object twice is one object", async (index) => {
    const o = { a: 1 };
    const { x, y, other } = await index.echo({ x: o, y: o, other: { a: 1 } });
    equal(x, { a: 1 });
    isTrue(x === y, "two objects came back");
    isTrue(x !== other, "what was equal came back as one");
  });

  shared("echo: an array twice is one array", async (index) => {
    const list = [1, [2]];
    const [x, { y }] = await index.echo([list, { y: list }]);
    equal(x, [1, [2]]);
    isTrue(x === y, "two arrays came back");
  });

  shared("echo: a function", async (index) => {
    const seen = [];
    const returned = await index.echo((...args) => (seen.push(args), args.length));
    equal(typeof returned, "function");
    equal([await returned(), await returned(1, "two", { three: [3] })], [0, 3]);
    equal(seen, [[], [1, "two", { three: [3] }]]);
  });

  shared("echo: functions in nested values", async (index) => {
    const { list, object, plain } = await index.echo({
      list: [() => "a", [() => "b"]],
      object: { f: (x) => x + 1, deep: { g: async () => "g" } },
      plain: [1, "x"],
    });
    equal([await list[0](), await list[1][0](), await object.f(1), await object.deep.g()], ["a", "b", 2, "g"]);
    equal(plain, [1, "x"]);
  });

  shared("a callback kept and called later", async (index) => {
    const seen = [];
    const kept = await index.echo((x) => `got ${seen.push(x)}`);
    await index.transform("beep");
    await sleep(20);
    equal(await kept("late"), "got 1");
    await failure(index.fail());
    equal(await kept("later"), "got 2");
    equal(seen, ["late", "later"]);
  });

  shared("functions get functions", async (index) => {
    const apply = await index.echo(async (f, x) => f(x));
    equal(await apply(async (x) => `inner ${x}`, "z"), "inner z");
  });

  shared("functions give functions", async (index) => {
    const adder = await index.echo((a) => ({ add: async (b) => a + b }));
    const { add } = await adder(40);
    equal(await add(2), 42);
  });

  shared("what a kept callback rejects with keeps its message", async (index) => {
    const f = await index.echo(async () => {
      throw new Error("of the client");
    });
    const message = await failure(f());
    isTrue(message.includes("of the client"), `the message is ${message}`);
  }, keepsMessages);

  shared("a function twice in one value", async (index) => {
    const f = (x) => `f${x}`;
    const { x, y, list } = await index.echo({ x: f, y: f, list: [f] });
    equal([await x(1), await y(2), await list[0](3)], ["f1", "f2", "f3"]);
  }, { server: "rust" });

  shared("200 calls at once", async (index) => {
    const answers = await Promise.all(times(200, (i) => index.transform(`bee ${i}`)));
    equal(answers, times(200, (i) => `BOO ${i}`));
  }, many);

  shared("calls of every kind at once", async (index) => {
    const round = async (i) => {
      const seen = [];
      const outcomes = await Promise.all([
        index.transform(`bee ${i}`),
        index.counter().then(({ next }) => next()),
        index.on(`e${i}`, (event) => void seen.push(event)),
        failure(index.fail()),
        index.authenticate(`${i}`).then((user) => user.profile()).then(({ name }) => name()),
        index.echo({ i, f: () => i }).then(({ f }) => f()),
      ]);
      equal(outcomes, [`BOO ${i}`, 1, undefined, "intentional failure", `user of ${i}`, i]);
      equal(seen, Array(3).fill(`e${i}`));
    };
    await Promise.all(times(10, round));
  }, many);

  shared("calls on one object keep their order", async (index) => {
    const { next } = await index.counter();
    equal(await Promise.all(times(100, () => next())), times(100, (i) => i + 1));
  }, many);

  shared("a slow callback holds up nothing else", async (index) => {
    const [gate, called] = [deferred(), deferred()];
    const call = index.on("slow", () => (called.resolve(), gate.promise));
    await within(called.promise, "the callback");
    equal(await index.transform("beep"), "BOOP");
    gate.resolve();
    equal(await call, undefined);
  }, many);

  shared("five connections at once", async (_, { connect }) => {
    const counters = [];
    for (let i = 0; i < 5; i++) counters.push(await on(await connect()).counter());
    for (let i = 1; i <= 3; i++) equal(await Promise.all(counters.map(({ next }) => next())), Array(5).fill(i));
  });

  shared("a connection that ends leaves the others alone", async (index, { connect }) => {
    const other = await connect();
    const { next } = await index.counter();
    equal(await (await on(other).counter()).next(), 1);
    const called = deferred();
    const end = lost(on(other).on("tick", () => (called.resolve(), new Promise(() => {}))));
    await within(called.promise, "the callback");
    other.isOver = true;
    (other.socket.terminate ?? other.socket.destroy).call(other.socket);
    await other.closed;
    await end;
    equal([await next(), await next()], [1, 2]);
  });
}
