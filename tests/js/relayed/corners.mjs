// A program of npm's capnweb, and two others that it knows through a relay only: a result of one is an
// argument for the other, also while it is a promise.
//
//   node corners.mjs RELAY [--only CHECK] [--capnweb VERSION]
//
// RELAY is a WebSocket of the relay, which connects twice to PORT of this process, and has an index of `a` and `b`, what it
// finds there, and `here`, a tour of its own.
//
// Prints `ok NAME` or `FAILED NAME: why` for each check, and last `N passed, M failed`.

import { WebSocket } from "ws";
import { isDeepStrictEqual } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { newest, RpcSession, WebSocketTransport } from "../capnweb.mjs";
import { equal, within } from "../expect.mjs";
import { Counter, Lab, Notes, promise } from "./lab.mjs";
import { opened, options, positionals, server } from "./programs.mjs";

globalThis.WebSocket = WebSocket; // Node 20 has none of its own

const notes = [new Notes(), new Notes(), new Notes()]; // ours, a's, b's
const sessions = [];
const asked = [0, 0]; // what the relay has asked a and b for
let captured = 0; // npm's capnweb never gives back what a map has captured, also without a relay
server.on("connection", (socket) => {
  const side = sessions.length;
  socket.on("message", (frame) => (asked[side] += /^\["(push|stream)"/.test(frame)));
  sessions.push(new RpcSession(new WebSocketTransport(socket), new Lab(notes[sessions.length + 1])));
});
const near = new RpcSession(new WebSocketTransport(await opened(positionals[0])));
const root = near.getRemoteMain();
const { a, b, here } = root;

// Uses a stub or result, and disposes of it.
async function using(given, use) {
  const stub = given instanceof Promise ? await given : given;
  try {
    return await use(stub);
  } finally {
    stub[Symbol.dispose]();
  }
}
const there = async (call) => await call;

// Returns a map of the digits of a, each added to by the capture, and what a and b were asked for meanwhile.
const mapped = (capture) =>
  using(there(a), (a) =>
    using(there(capture), async (capture) => {
      const before = [...asked];
      captured++;
      const sums = a.digits.map((digit) => capture.add(digit, 4));
      return using(there(sums), (sums) => [[...sums], asked.map((count, side) => count - before[side])]);
    }),
  );

// Each check has its expected result.
const CHECKS = {
  anObject: [() => using(there(a.make()), (counter) => b.use(counter)), [1, 2]],
  anObjectInside: [() => using(there(a.make()), (counter) => b.useInside({ counter, times: 2 })), 2],
  aPromise: [() => using(a.make(), (counter) => b.use(counter)), [1, 2]],
  aPromiseInside: [() => using(a.make(), (counter) => b.useInside({ counter, times: 2 })), 2],
  aMemberOfAPromise: [() => using(a.several(), (several) => b.use(several.deep.two)), [1, 2]],
  aPromiseOfAFunction: [() => using(a.adder(3), (adder) => b.call(adder, 4)), 7],
  aFunctionInAProperty: [() => b.call(a.tools.double, 4), 8],
  aPromiseOfAValue: [() => using(a.note(3), (number) => b.add(number, 4)), 7],
  aPromiseOfAValueInside: [() => using(a.note(3), (number) => b.echo([number, a.name])), [3, "lab"]],
  aPromiseThatFails: [() => using(a.failLater("x"), (failing) => b.echo([failing]).catch((error) => error.message)), "x"],
  anIndex: [() => b.call((index) => index.note(5), a), 5],
  anIndexInside: [() => b.call(({ index }) => index.a.note(5), { index: root }), 5],
  thereAndBack: [() => using(there(a.make()), (it) => using(there(b.back({ it })), async ({ deep: [again] }) => [await again.next(), await it.next()])), [1, 2]],
  aPromiseThereAndBack: [() => using(a.make(), (it) => using(there(b.back({ it })), async ({ deep: [again] }) => [await again.next(), await it.next()])), [1, 2]],
  anotherOfBoth: [() => using(there(b.wrapped(() => a.make())), ({ answer }) => answer.next()), 1],
  ours: [() => b.use(new Counter(notes[0])), [1, 2]],
  anObjectOfTheRelay: [() => using(there(here.counter()), (counter) => b.use(counter)), [1, 2]],
  aPromiseOfTheRelay: [() => using(here.counter(), (counter) => b.use(counter)), [1, 2]],
  aPromiseToTheRelay: [() => using(a.make(), (counter) => using(there(here.echo([counter])), ([again]) => again.next())), 1],
  aFunctionThatIsKept: [
    () => using(a.adder(1), async (adder) => (await b.keep(adder), await b.callKept(4))).finally(() => b.dropKept()),
    5,
  ],
};
if (newest) {
  Object.assign(CHECKS, {
    aMapAtOne: [() => mapped(a), [[5, 6, 7], [1, 0]]],
    aMapAtBoth: [() => mapped(b), [[5, 6, 7], [1, 3]]],
    aPromiseOfOurs: [() => using(promise(2, () => new Counter(notes[0])), (own) => b.use(own)), [1, 2]],
    aPromiseInAResult: [() => using(there(a.promised(2, 7)), ({ object }) => b.use(object)), [1, 2]],
    aPromiseInAPromise: [() => using(a.promised(2, 7), async ({ data, object }) => [await b.use(object), await b.echo(data)]), [[1, 2], { number: 7 }]],
  });
}

// Returns the numbers of references that each side holds.
const held = () => {
  const [{ imports, exports }, ...others] = [near, ...sessions].map((session) => session.getStats());
  return [{ imports: imports - captured, exports }, ...others, ...notes.map(({ alive }) => alive)];
};

await within(Promise.all([a.name, b.name]), "both");
const nothing = [...Array(3).fill({ imports: 1, exports: 1 }), 0, 0, 0]; // but the indexes
let [passed, failed] = [0, 0];
process.on("unhandledRejection", () => {}); // of promises that nobody awaits
for (const [name, [check, want]] of Object.entries(CHECKS)) {
  if (options.only !== undefined && options.only !== name) continue;
  try {
    equal(await within(check(), name), want);
    for (let turn = 0; turn < 400 && !isDeepStrictEqual(held(), nothing); turn++) await sleep(5);
    equal(held(), nothing, "what is held afterwards");
    passed++;
    console.log(`ok ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED ${name}: ${error?.message ?? error}`);
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
