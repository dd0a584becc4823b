// The checks of tour_client.mjs, in the order they run. That file says what a check gets.
//
// Over TCP a peer can take one message at a time only, so each call and each callback is awaited before the next.

import { setTimeout as sleep } from "node:timers/promises";
import { equal, fail, isTrue, within } from "../expect.mjs";
import { checkList, silence } from "../running.mjs";
import { addSharedChecks } from "../shared_checks.mjs";

export const { checks, check } = checkList();

const WS = { transport: "ws" };
const RUST = { server: "rust" };
const CAPNODE = { server: "capnode" };

function echoes(name, ...values) {
  check(`echo: ${name}`, async ({ index }) => {
    for (const value of values) equal(await index.echo(value), value);
  });
}

// The reason of a rejection that came as an `error` message.
async function failure(promise, what = "call") {
  const outcome = await promise.then((value) => ({ value }), (reason) => ({ reason }));
  if (!("reason" in outcome)) fail(`${what}: got a result, expected an error`);
  const { reason } = outcome;
  if (reason instanceof Error) throw reason; // ours, not the server's
  equal(reason.type, "error", `${what}: type`);
  equal(typeof reason.methodId, "string", `${what}: kind of methodId`);
  return reason;
}

addSharedChecks(check, ({ index }) => index, async (promise) => (await failure(promise)).value.message, {
  lost: (call) => void call.catch(() => {}),
  many: WS,
  keepsMessages: RUST,
});

const functions = (object) => Object.keys(object).filter((key) => typeof object[key] === "function");

// ---------------------------------------------------------------------------------------------- index

check("index: has the functions of the tour", async ({ index }) => {
  const names = functions(index);
  for (const name of ["transform", "counter", "on", "fail", "authenticate", "echo"]) {
    isTrue(names.includes(name), `no function ${name} among ${names}`);
  }
});

check("index: asked for twice", async ({ index, remote }) => {
  const again = await remote.requestIndex();
  equal(functions(again).sort(), functions(index).sort());
  equal(await again.transform("beep"), "BOOP");
  equal(await index.transform("beep"), "BOOP");
});

check("index: names the same ids each time, on every connection", async ({ index, peer, remote, connect }) => {
  const again = await remote.requestIndex();
  const other = await connect();
  for (const name of functions(index)) {
    equal(peer.capId(again[name]), peer.capId(index[name]));
    equal(other.peer.capId(other.index[name]), peer.capId(index[name]));
  }
}, CAPNODE);

// ---------------------------------------------------------------------------------------------- transform

check("transform: long text", async ({ index, transport }) => {
  const n = transport === "ws" ? 200_000 : 8_000; // a stream's reader needs it in one chunk
  equal(await index.transform(`b${"e".repeat(n)}p`), "BOOP");
  equal(await index.transform("xy".repeat(n / 2)), "XY".repeat(n / 2));
});

// ---------------------------------------------------------------------------------------------- counter

check("counter: has nothing but its functions", async ({ index }) => {
  const counter = await index.counter();
  equal(Object.keys(counter).sort(), ["next", "reset"]);
});

// ---------------------------------------------------------------------------------------------- on

check("on: a callback that answers at once, with something", async ({ index }) => {
  const seen = [];
  equal(await index.on("é🙂", (...args) => ({ answers: seen.push(args) })), undefined);
  equal(seen, Array(3).fill(["é🙂", "data"]));
});

check("on: the same callback again", async ({ index }) => {
  const seen = [];
  const callback = async (event) => void seen.push(event);
  await index.on("a", callback);
  await index.on("b", callback);
  equal(seen.join(""), "aaabbb");
});

// ---------------------------------------------------------------------------------------------- fail

check("fail: rejects with a message", async ({ index }) => {
  const { value } = await failure(index.fail());
  equal(value.message, "intentional failure");
  isTrue(["string", "undefined"].includes(typeof value.stack), `the stack is a ${typeof value.stack}`);
});

check("fail: again and again", async ({ index }) => {
  for (let i = 0; i < 5; i++) equal((await failure(index.fail())).value.message, "intentional failure");
});

// ---------------------------------------------------------------------------------------------- authenticate

check("authenticate: two users at a time", async ({ index }) => {
  const [a, b] = [await index.authenticate("a"), await index.authenticate("b")];
  const [ofA, ofB] = [await a.profile(), await b.profile()];
  equal([await ofB.name(), await ofA.name()], ["user of b", "user of a"]);
});

// ---------------------------------------------------------------------------------------------- values

check("echo: nothing", async ({ index }) => equal(await index.echo(), undefined));
check("echo: undefined in an object is no member", async ({ index }) => {
  equal(await index.echo({ a: undefined, b: 1 }), { b: 1 });
});
echoes("nested values", [1, [2, [3, [], {}]]], { a: { b: { c: [{ d: "e" }] } } }, [[[]], [[1]], ["x", { k: [true] }]]);
echoes("many members", Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`key${i}`, [i]])));
echoes("odd keys", { 2: "two", 10: "ten", constructor: "c", toString: "t", hasOwnProperty: 1, é: 3, "a b": 4, "@": 5, $: 6, "\\": 7 });
echoes("data that looks like the wire", { type: 0, id: 0 }, { links: [], value: 1 }, [{ type: 1, id: 0 }, { type: 2, id: 1 }], "0123456789abcdef0123");

check("echo: null cannot be sent, and the connection goes on", async ({ index }) => {
  for (const value of [null, [null], { a: null }]) {
    await index.echo(value).then(
      () => fail("null was sent"),
      (error) => equal(error.message, "serializeObject was passed a object"),
    );
  }
});

// ---------------------------------------------------------------------------------------------- identity

check("echo: an object that contains itself", async ({ index }) => {
  const o = { name: "o" };
  o.self = o;
  const returned = await index.echo(o);
  equal(returned.name, "o");
  isTrue(returned.self === returned, "the circle is not closed");
});

check("echo: circles through arrays and other objects", async ({ index }) => {
  const parent = { name: "parent", kids: [] };
  parent.kids.push({ parent }, { parent, siblings: parent.kids });
  delete parent.kids[1].siblings; // an array that contains itself cannot be written
  const { it } = await index.echo({ it: parent });
  equal(it.kids.length, 2);
  isTrue(it.kids.every((kid) => kid.parent === it), "the circles are not closed");
});

// ---------------------------------------------------------------------------------------------- functions

check("echo: functions and shared objects in one value", async ({ index }) => {
  const shared = { f: () => "shared" };
  shared.self = shared;
  const { x, y, g } = await index.echo({ x: shared, g: () => "g", y: [shared] });
  isTrue(x === y[0] && x.self === x, "the object is no longer one");
  equal([await x.f(), await g()], ["shared", "g"]);
});

check("a function is sent many times", async ({ index }) => {
  let calls = 0;
  const f = () => ++calls;
  for (let i = 1; i <= 5; i++) equal(await (await index.echo(f))(), i);
});

check("a function of the server comes home", async ({ index }) => {
  const counter = await index.counter();
  const { f, list } = await index.echo({ f: counter.next, list: [counter.reset] });
  equal([await counter.next(), await f(), await counter.next()], [1, 2, 3]);
  await list[0]();
  equal(await f(), 1);
});

check("a function of the server comes home as a callback", async ({ index }) => {
  const counter = await index.counter();
  await index.on("tick", counter.next);
  equal(await counter.next(), 4);
});

check("a function of the server goes back and forth", async ({ index }) => {
  let { next } = await index.counter();
  for (let i = 1; i <= 4; i++) {
    next = await index.echo(next);
    equal(await next(), i);
  }
});

check("undefined comes and goes through functions", async ({ index }) => {
  const seen = [];
  const f = await index.echo((...args) => void seen.push(args));
  equal(await f(), undefined);
  equal(await f({ a: undefined }), undefined);
  equal(seen, [[], [{}]]);
});

check("what a kept callback rejects with is an error", async ({ index }) => {
  const f = await index.echo(async () => {
    throw new Error("of the client");
  });
  await failure(f());
  await failure(f(), "again");
});

// ---------------------------------------------------------------------------------------------- ids and dealloc

check("dealloc: a function of the server", async ({ index, peer }) => {
  const counter = await index.counter();
  equal(await counter.next(), 1);
  equal(await peer.dealloc(counter.reset), undefined);
  equal(await counter.next(), 2);
});

check("dealloc: a callback's proxy", async ({ index, peer }) => {
  const f = () => "called";
  const proxy = await index.echo(f);
  equal(await proxy(), "called");
  equal(await peer.dealloc(proxy), undefined);
  equal(await (await index.echo(f))(), "called"); // and it can be lent again
});

check("dealloc: twice, and of what is unknown", async ({ index, peer, remote }) => {
  const { next } = await index.counter();
  equal(await peer.dealloc(next), undefined);
  equal(await peer.dealloc(next), undefined);
  equal(await peer.dealloc(remote.reconstruct("00000000000000000000")), undefined);
});

check("dealloc: a call after it is an error", async ({ index, peer }) => {
  const { next } = await index.counter();
  await peer.dealloc(next);
  await failure(next());
}, RUST);

check("dealloc: a call after it is not answered", async ({ index, peer }) => {
  const { next } = await index.counter();
  await peer.dealloc(next);
  await silence(next(), "the call");
}, { ...CAPNODE, ...WS });

check("reconstruct: a function by its id", async ({ index, peer, remote }) => {
  const { next } = await index.counter();
  equal(await next(), 1);
  equal(await remote.reconstruct(peer.capId(next))(), 2);
});

check("reconstruct: ids are known on every connection", async ({ index, peer, connect }) => {
  const { next } = await index.counter();
  equal(await next(), 1);
  equal(await (await connect()).remote.reconstruct(peer.capId(next))(), 2);
}, CAPNODE);

check("reconstruct: an unknown id is an error", async ({ remote }) => {
  const { value } = await failure(remote.reconstruct("00000000000000000000")());
  equal(typeof value.message, "string", "kind of message");
  await failure(remote.reconstruct("constructor")(1, 2));
}, RUST);

check("reconstruct: an unknown id is not answered", async ({ remote }) => {
  await silence(remote.reconstruct("00000000000000000000")(), "the call");
  await silence(remote.reconstruct("constructor")(), "the call");
}, { ...CAPNODE, ...WS });

// ---------------------------------------------------------------------------------------------- faults of the serializer

check("a function twice in one value, and more after it", async ({ index }) => {
  const [f, g] = [(x) => `f${x}`, (x) => `g${x}`];
  const value = await index.echo({ on: f, addListener: f, off: g, list: [f, { n: 1 }], data: { k: [g] } });
  equal([await value.on(1), await value.addListener(2), await value.off(3)], ["f1", "f2", "g3"]);
  equal([await value.list[0](4), await value.data.k[0](5)], ["f4", "g5"]);
  equal(value.list[1], { n: 1 });
}, RUST);

check("a function twice among arguments", async ({ index }) => {
  const f = () => "f";
  const both = await index.echo(async (g) => g());
  equal(await both(f, f), "f");
}, RUST);

check("a function twice in one value is lost", async ({ index }) => {
  const f = () => {};
  await silence(index.echo({ x: f, y: f }), "the call");
  await silence(index.echo(f, f), "the call");
}, { ...CAPNODE, ...WS });

check("a server's function twice in one value", async ({ index }) => {
  const { next } = await index.counter();
  const { x, y } = await index.echo({ x: next, y: next });
  equal([await x(), await y()], [1, 2]);
}, RUST);

check("what JSON writes as null is answered, and nothing of it is null", async ({ index }) => {
  for (const value of [NaN, Infinity, -Infinity]) equal(await index.echo(value), undefined, String(value));
  equal(await index.echo({ a: NaN, b: 1 }).then(({ a, b }) => [a, b]), [undefined, 1]);
  equal(await index.echo([undefined, 1, NaN]), [undefined, 1, undefined]);
}, RUST);

check("what JSON writes as null is not answered", async ({ index }) => {
  for (const value of [NaN, [Infinity], [undefined]]) await silence(index.echo(value), "the call", 60);
}, { ...CAPNODE, ...WS });

// ---------------------------------------------------------------------------------------------- many at once

// ---------------------------------------------------------------------------------------------- bare messages

const INDEX = '{"type":"index","methodId":"m1"}';

async function rawIndex(wire) {
  wire.send(INDEX);
  const { type, methodId, value } = await wire.receive();
  equal([type, methodId, value.value.type], ["return", "m1", 0]);
  const root = value.links[value.value.id];
  return Object.fromEntries(Object.entries(root).map(([name, { id }]) => [name, value.links[id]]));
}

check("messages: any request id is given back as it is", async ({ raw }) => {
  const wire = await raw();
  const { transform } = await rawIndex(wire);
  for (const replyId of ["r", "é🙂", 7, "0123456789abcdef0123456789abcdef"]) {
    wire.send(JSON.stringify({ type: "invocation", methodId: transform, replyId, arguments: { links: [["beep"]], value: { type: 2, id: 0 } } }));
    equal(await wire.receive(), { type: "return", methodId: replyId, value: { links: [], value: "BOOP" } });
  }
});

check("messages: other orders, forward pointers, white space and what is not needed", async ({ raw }) => {
  const wire = await raw();
  const { transform, echo } = await rawIndex(wire);
  wire.send(` {"arguments":{"value":{"id":1,"type":2,"more":0},"links":["unused",["bee"]]},"more":[],"replyId":"r1",\n"methodId":"${transform}","type":"invocation"}\n`);
  equal((await wire.receive()).value, { links: [], value: "BOO" });
  wire.send(`{"type":"invocation","methodId":"${echo}","replyId":"r2","arguments":{"links":[[{"type":0,"id":1}],{"k":{"type":2,"id":2}},[1]],"value":{"type":2,"id":0}}}`);
  const { links, value } = (await wire.receive()).value;
  equal([value.type, links[value.id].k.type, links[links[value.id].k.id]], [0, 2, [1]]);
  wire.send(`{"type":"invocation","methodId":"${echo}","replyId":"r3"}`);
  const nothing = await wire.receive();
  equal([nothing.methodId, nothing.value?.value], ["r3", undefined]);
});

check("messages: a callback's failure without a stack, and an answer without a value", async ({ raw }) => {
  const wire = await raw();
  const { on } = await rawIndex(wire);
  const lend = (replyId, id) =>
    wire.send(`{"type":"invocation","methodId":"${on}","replyId":"${replyId}","arguments":{"links":["${id}",["e",{"type":1,"id":0}]],"value":{"type":2,"id":1}}}`);
  lend("r1", "my-callback");
  const first = await wire.receive();
  equal([first.type, first.methodId], ["invocation", "my-callback"]);
  wire.send(`{"type":"error","methodId":"${first.replyId}","value":{"message":"m"}}`);
  const failed = await wire.receive();
  equal([failed.type, failed.methodId], ["error", "r1"]);
  lend("r2", "my-callback-2");
  for (let i = 0; i < 3; i++) {
    const { methodId, replyId, arguments: args } = await wire.receive();
    equal(methodId, "my-callback-2");
    equal(args, { links: [["e", "data"]], value: { type: 2, id: 0 } });
    wire.send(`{"type":"return","methodId":"${replyId}"}`);
  }
  const done = await wire.receive();
  equal([done.type, done.methodId, done.value?.value], ["return", "r2", undefined]);
});

check("messages: what is not understood ends nothing", async ({ raw }) => {
  const wire = await raw();
  // A server of several languages learns from the first message which one it is.
  await rawIndex(wire);
  for (const text of [
    '{"type":"nope"}',
    "{}",
    "[]",
    "null",
    "0",
    '{"type":"return","methodId":"nobody","value":{"links":[],"value":1}}',
    '{"type":"error","methodId":"nobody","value":{"message":"m"}}',
    '{"type":"return"}',
  ]) {
    wire.send(text);
  }
  const { transform } = await rawIndex(wire);
  equal(typeof transform, "string");
}, WS);

check("messages: several in a chunk, and in parts", async ({ raw }) => {
  const wire = await raw();
  const text = '{"type":"index","methodId":"é🙂"}';
  const bytes = Buffer.from(text);
  for (const at of [1, 17, bytes.length - 6, bytes.length - 4]) {
    wire.send(bytes.subarray(0, at));
    await sleep(20);
    wire.send(bytes.subarray(at));
    equal((await wire.receive()).methodId, "é🙂", `split at ${at}`);
  }
  wire.send(`${INDEX}\n `);
  await wire.receive();
  // Two at once: the first answer is of an unknown id, so that it is short; the answers may come in one chunk.
  wire.send('{"type":"dealloc","methodId":"x","replyId":"d1"}{"type":"nope"}\n');
  equal((await wire.receive()).methodId, "d1");
}, { ...RUST, transport: "tcp" });

check("messages: two in a chunk end the connection", async ({ connect }) => {
  const other = await connect();
  other.isOver = true;
  other.socket.write(`${INDEX}${INDEX}`);
  await within(other.closed, "the connection to end");
}, { ...CAPNODE, transport: "tcp" });
