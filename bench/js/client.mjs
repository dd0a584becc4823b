// Makes one measurement, and prints it as a line of JSON: like bench-one.
//
//   node --expose-gc client.mjs SCENARIO SECONDS [HOST:PORT]
//
// Without an address the server is in this process, too.

import { newHttpBatchRpcSession, newWebSocketRpcSession } from "capnweb";
import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { CHUNK, listen } from "./service.mjs";

const [scenario, seconds, given] = process.argv.slice(2);
const time = Number(seconds) * 1000;
const alone = given === undefined; // then the processor time is that of both sides
let address = given ?? `127.0.0.1:${await listen()}`;

const STEPS = 8;
const DELAY = 20;
const WARM_UP = 2000; // by then V8 has compiled the hot code
const MIB = 1 << 20;

const now = () => performance.now();
const cpu = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

/** A line to the server with a delay of DELAY each way. */
async function delayed() {
  const port = Number(address.split(":")[1]);
  const late = (from, to) => from.on("data", (bytes) => setTimeout(() => to.write(bytes), DELAY));
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port, host: "127.0.0.1", noDelay: true });
    late(near, far);
    late(far, near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `127.0.0.1:${server.address().port}`;
}

/** Measures `run`, which returns the number of its calls. */
async function rate(run) {
  const [cpuBefore, before] = [cpu(), now()];
  const calls = await run();
  const elapsed = now() - before;
  return { value: (calls / elapsed) * 1000, calls, cpu_us: alone ? (cpu() - cpuBefore) / calls : null };
}

/** Calls `one` for the time, `inFlight` at a time, after a warm-up. */
async function steadily(inFlight, one) {
  let next = 0;
  const during = async (milliseconds) => {
    const [end, first] = [now() + milliseconds, next];
    const worker = async () => {
      while (now() < end) await one(next++);
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
    return next - first;
  };
  await during(WARM_UP);
  if (!alone) console.log("warm"); // the measurement of the server begins now
  return rate(() => during(time));
}

/** Reads a stream without end. Returns the function that waits and returns how many chunks came. */
function read(stream, check) {
  let next = 0;
  (async () => {
    for await (const chunk of stream) check(chunk, next++);
  })();
  return async (wait) => {
    const first = next;
    await wait;
    return next - first;
  };
}

const readBytes = async () =>
  read(await service.sendBytes(), (bytes, number) => {
    assert.equal(bytes.length, CHUNK);
    assert(bytes[0] === (number & 255) && bytes[CHUNK - 1] === (number & 255));
  });

const readNumbers = async () => read(await service.sendNumbers(), (value, number) => assert.equal(value, number));

/** Measures the chunks of a stream that arrive, after a warm-up. */
async function arrivals(during) {
  await during(sleep(WARM_UP));
  return rate(() => during(sleep(time)));
}

/** Makes a call each millisecond. Returns the sorted times in µs of the calls, each from when it was due. */
async function latencies(milliseconds) {
  const [start, calls] = [now(), []];
  for (let number = 0; number < milliseconds; number++) {
    const due = start + number;
    while (now() < due) await new Promise(setImmediate); // timers have whole milliseconds
    calls.push(service.add(number, 1).then((sum) => (assert.equal(sum, number + 1), (now() - due) * 1000)));
  }
  return (await Promise.all(calls)).sort((a, b) => a - b);
}

const quantile = (sorted, part) => sorted[Math.floor(sorted.length * part)];

const microseconds = ({ value, cpu_us }) => ({ value: 1e6 / value, cpu_us });

const sample = {
  id: 7,
  name: 'somebody with a "name"',
  active: true,
  balance: 1234.5,
  tags: ["red", "green", "blue", "yellow", "black", "white", "grey", "brown"],
  readings: Array.from({ length: 32 }, (_, n) => n * 31_337),
  addresses: [12_345, 67_890].map((zip) => ({ street: `${zip} Long Lane`, city: "Little Town", zip })),
  note: "What is written here is of no interest to anybody.\n".repeat(8),
};

async function makeObjects(count) {
  const objects = [];
  while (objects.length < count) {
    const many = Array.from({ length: Math.min(256, count - objects.length) }, (_, n) => service.object(objects.length + n));
    objects.push(...(await Promise.all(many)));
  }
  for (let id = 0; id < count; id += count / 10) assert.equal(await objects[id].id(), id);
  return objects;
}

const scenarios = {
  calls: (inFlight) =>
    steadily(inFlight, async (number) => assert.equal(await service.add(number, 1), number + 1)),

  "js-client": (inFlight) => scenarios.calls(inFlight),

  records() {
    const text = JSON.stringify(sample); // comparing text costs less than comparing members
    return steadily(64, async () => assert.equal(JSON.stringify(await service.echo(sample)), text));
  },

  async callbacks(inFlight) {
    const callBack = async (calls) => {
      assert.equal(await service.callBack((value) => value + 1, calls, inFlight), (calls * (calls + 1)) / 2);
      return calls;
    };
    for (const end = now() + WARM_UP; now() < end; ) await callBack(500);
    for (let calls = 500; ; ) {
      const started = now();
      const measured = await rate(() => callBack(calls));
      const elapsed = now() - started;
      if (elapsed >= time / 2 || calls >= 100_000) return measured;
      calls = Math.min(Math.max(calls * 2, Math.floor((calls * time) / elapsed)), 100_000);
    }
  },

  async bytes() {
    const bytes = Uint8Array.from({ length: MIB }, (_, n) => n * 7 + Math.floor(n / 251));
    return steadily(1, async () => assert.equal(Buffer.compare(await service.echoBytes(bytes), bytes), 0));
  },

  async "byte-stream"() {
    const measured = await arrivals(await readBytes());
    return { ...measured, value: (measured.value * CHUNK) / MIB };
  },

  "number-stream": async () => arrivals(await readNumbers()),

  async "beside-stream"() {
    await latencies(WARM_UP);
    const lone = await latencies(4 * time);
    const during = await readBytes();
    const alone = await arrivals(during);
    let beside;
    const meanwhile = await rate(() => during(latencies(4 * time).then((times) => (beside = times))));
    const [median, p99] = [quantile(beside, 0.5), quantile(beside, 0.99)];
    const ratio = median / quantile(lone, 0.5);
    const effect = { p99, ratio, p99_ratio: p99 / quantile(lone, 0.99), stream: meanwhile.value / alone.value };
    return { value: median, beside: effect };
  },

  async batch() {
    const CALLS = 10;
    const { value, cpu_us } = await steadily(1, async (number) => {
      const batch = newHttpBatchRpcSession(`http://${address}/`);
      const sums = await Promise.all(Array.from({ length: CALLS }, (_, n) => batch.add(number, n)));
      sums.forEach((sum, n) => assert.equal(sum, number + n));
    });
    return { value: value * CALLS, cpu_us: cpu_us / CALLS };
  },

  async "object-bytes"(count) {
    for (const object of await makeObjects(1_000)) object[Symbol.dispose]();
    const before = await service.heap();
    const objects = await makeObjects(count);
    const after = await service.heap();
    assert.equal(objects.length, count);
    return { value: (after - before) / count };
  },

  async chain() {
    const started = now();
    let item = service.object(2);
    for (let step = 2; step < STEPS; step++) item = item.next();
    assert.equal(await item.id(), STEPS);
    return { value: now() - started };
  },

  async held(count) {
    const objects = await makeObjects(count);
    return microseconds(
      await steadily(1, async (number) => {
        const id = Math.imul(number, 2_654_435_761) >>> 0;
        assert.equal(await objects[id % count].id(), id % count);
      }),
    );
  },
};

const [, name, number] = /^(.*?)(?:-(\d+))?$/.exec(scenario);
if (name === "chain") address = await delayed();
const socket = new WebSocket(`ws://${address}/`);
await once(socket, "open");
const service = newWebSocketRpcSession(socket);
assert.equal(await service.add(1, 2), 3);
const measured = await scenarios[name](Number(number));
console.log(JSON.stringify(measured));
process.exit(0);
