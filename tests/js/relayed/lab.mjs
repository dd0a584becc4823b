// The objects that the two programs offer each other.

import { setImmediate as nextTurn } from "node:timers/promises";
import { RpcPromise, RpcTarget } from "../capnweb.mjs";

// Notes the calls of the objects of one side. Calls of one object have an order, those of two have none.
export class Notes {
  log = [];
  counters = [];
  alive = 0; // counters that somebody holds
  kept;
}

export class Counter extends RpcTarget {
  #notes;
  #log = [];

  constructor(notes) {
    super();
    this.#notes = notes;
    notes.alive++;
    notes.counters.push(this.#log);
  }

  next() {
    return this.#log.push("next");
  }

  get label() {
    return "a counter";
  }

  another() {
    return new Counter(this.#notes);
  }

  [Symbol.dispose]() {
    this.#notes.alive--;
  }
}

// A promise of what `make` gives after some turns of the event loop.
export function promise(turns, make) {
  const later = async () => {
    for (let turn = 0; turn < turns; turn++) await nextTurn();
    return make();
  };
  return new RpcPromise(later());
}

// A stream of chunks, which then fails or ends.
export function streamOf(chunks, fails) {
  const rest = chunks[Symbol.iterator]();
  return new ReadableStream({
    pull(controller) {
      const { value, done } = rest.next();
      if (!done) controller.enqueue(value);
      else if (fails) controller.error(fails);
      else controller.close();
    },
  });
}

export class Lab extends RpcTarget {
  #notes;

  constructor(notes) {
    super();
    this.#notes = notes;
  }

  get name() {
    return "lab";
  }

  get digits() {
    return [1, 2, 3];
  }

  get tools() {
    const exclaim = (text) => `${text}!`;
    return { double: (number) => number * 2, deep: { seven: 7, exclaim, list: [7, exclaim] } };
  }

  note(number) {
    this.#notes.log.push(number);
    return number;
  }

  add(a, b) {
    this.#notes.log.push(`add ${a} ${b}`);
    return a + b;
  }

  make() {
    return new Counter(this.#notes);
  }

  several() {
    const [one, two, three] = Array.from({ length: 3 }, () => new Counter(this.#notes));
    return { one, deep: { two }, list: [three], three: 3 };
  }

  adder(by) {
    return (number) => number + by;
  }

  echo(value) {
    return value;
  }

  // An echo of references. npm's server disposes of its arguments when a call ends, and cannot duplicate its own objects.
  back({ it }) {
    return { deep: [it.dup()] };
  }

  // Calls begin in their order. When they end depends on how messages are spread over turns of the event loop.
  async later(turns, number) {
    this.#notes.log.push(`later ${number}`);
    for (let turn = 0; turn < turns; turn++) await nextTurn();
    return number;
  }

  // Promises inside a value, of something that is data, an object, or an error.
  promised(turns, number) {
    const [data, object] = [promise(turns, () => ({ number })), promise(turns, () => new Counter(this.#notes))];
    return { data, object, plain: number };
  }

  promisedFailure(turns, message) {
    return { plain: 1, deep: [promise(turns, () => { throw new TypeError(message); })] };
  }

  // Returns a promise for the function's result inside a value.
  promiseOf(f) {
    return { answer: f() };
  }

  fail(message, properties) {
    throw Object.assign(new RangeError(message), properties);
  }

  async failLater(message) {
    await nextTurn();
    throw new TypeError(message);
  }

  async call(f, ...args) {
    const answer = await f(...args);
    this.#notes.log.push("called");
    return answer;
  }

  async callTwice(f, number) {
    return Promise.all([f(number), f(number + 1)]);
  }

  // The function gets an object of this side, and may use it as long as it runs.
  async lend(f) {
    return f(new Counter(this.#notes));
  }

  // Returns the function's result inside a value.
  async wrapped(f) {
    return { answer: await f() };
  }

  async use(counter) {
    return [await counter.next(), await counter.next()];
  }

  async useInside({ counter, times }) {
    let last = 0;
    for (let time = 0; time < times; time++) last = await counter.next();
    return last;
  }

  keep(f) {
    this.#notes.kept?.[Symbol.dispose]();
    this.#notes.kept = f.dup();
  }

  async callKept(number) {
    return this.#notes.kept === undefined ? "nothing kept" : await this.#notes.kept(number);
  }

  dropKept() {
    this.#notes.kept?.[Symbol.dispose]();
    this.#notes.kept = undefined;
  }

  // The newest version alone has streams and maps.

  // A stream of what `make` gives for 0 … count - 1, and then perhaps an error.
  numbers(count, fails) {
    return streamOf(Array(count).keys(), fails && new TypeError("source broke"));
  }

  counters(count) {
    return streamOf(Array.from({ length: count }, () => new Counter(this.#notes)));
  }

  // At the end, what the reader had enough for.
  async endless() {
    let resolve, at = 0;
    const cancelled = new Promise((settle) => (resolve = settle));
    const stream = new ReadableStream({ pull: (controller) => controller.enqueue(at++), cancel: (why) => resolve(String(why?.message ?? why)) });
    return { stream, ended: () => cancelled };
  }

  async collect(stream) {
    const chunks = [];
    try {
      for await (const chunk of stream) chunks.push(chunk);
    } catch (error) {
      return { chunks, error };
    }
    return chunks;
  }

  // npm does not take the streams for such that Node makes out of pipes.
  twice(stream) {
    const reader = stream.getReader();
    return new ReadableStream({
      async pull(controller) {
        const { value, done } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value * 2);
      },
      cancel: (why) => reader.cancel(why),
    });
  }

  async callEach(stream, number) {
    const seen = [];
    for await (const f of stream) seen.push(await f(number));
    return seen;
  }

  // A stream to write to, which notes its chunks, and fails at one of them.
  sink(failsAt) {
    const notes = this.#notes;
    return new WritableStream({
      write(chunk) {
        if (chunk === failsAt) throw new RangeError(`no ${chunk}`);
        notes.log.push(`chunk ${chunk}`);
      },
      close: () => void notes.log.push("closed"),
      abort: (why) => void notes.log.push(`aborted ${why.message}`),
    });
  }

  async fill(writable, count) {
    const writer = writable.getWriter();
    for (let at = 0; at < count; at++) await writer.write(at);
    await writer.close();
  }

  textOf(body) {
    return body.text();
  }

  typeOf(blob) {
    return blob.type;
  }

  blob(text) {
    return new Blob([text], { type: "text/plain" });
  }

  respond(text, status) {
    return new Response(text, { status, headers: { a: `${status}` } });
  }

  list(count) {
    return [...Array(count).keys()];
  }

  objects(count) {
    return Array.from({ length: count }, () => new Counter(this.#notes));
  }

  // A value of this name that the relay cannot pass on.
  give(what) {
    return unsupported(what);
  }
}

// Values that the relay refuses, by their names: errors whose message is no string.
export const UNSUPPORTED = ["none", "number", "list"];

export function unsupported(what) {
  const message = { none: null, number: 5, list: ["x"] }[what];
  return Object.assign(new Error("x"), { message });
}
