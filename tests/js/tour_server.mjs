// A server of npm's capnweb that offers the tour index over WebSocket, or for HTTP batches.
//
//   node tour_server.mjs --ws HOST:PORT | --http HOST:PORT [--until-stdin-closes] [--trace]
//
// PORT may be 0. Prints `listening on HOST:PORT` once it accepts connections, then serves until killed.
// With --until-stdin-closes it also ends when its standard input does, so that a test that crashed
// leaves no orphan. With --trace every frame goes to standard error.

import { WebSocket, WebSocketServer } from "ws";
import { newWebSocketRpcSession, nodeHttpBatchRpcResponse, RpcPromise, RpcStub, RpcTarget } from "./capnweb.mjs";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { traceFrames } from "./trace.mjs";

globalThis.WebSocket = WebSocket; // capnweb reads WebSocket.CONNECTING; Node 20 has no global of its own

class Counter extends RpcTarget {
  #count = 0;

  next() {
    return ++this.#count;
  }

  reset() {
    this.#count = 0;
  }
}

class Profile extends RpcTarget {
  #name;

  constructor(name) {
    super();
    this.#name = name;
  }

  name() {
    return this.#name;
  }
}

class User extends RpcTarget {
  #profile;

  constructor(token) {
    super();
    this.#profile = new Profile(`user of ${token}`);
  }

  profile() {
    return this.#profile;
  }
}

class Tour extends RpcTarget {
  transform(s) {
    return s.replace(/[aeiou]{2,}/, "oo").toUpperCase();
  }

  counter() {
    return new Counter();
  }

  async on(event, callback) {
    for (let i = 0; i < 3; i++) {
      const answer = await callback(event, "data");
      answer?.[Symbol.dispose]?.(); // the answer of the callback is not used
    }
  }

  fail() {
    throw new Error("intentional failure");
  }

  authenticate(token) {
    return new User(token);
  }

  async collect(stream) {
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    return chunks;
  }

  numbers(n) {
    let next = 0;
    return new ReadableStream({
      pull(controller) {
        if (next < n) controller.enqueue(next++);
        else controller.close();
      },
    });
  }

  // The other end of the streams of the tests: what is written, and how it ends.
  async writeTo(writable, chunks) {
    const writer = writable.getWriter();
    for (const chunk of chunks) await writer.write(chunk);
    await writer.close();
    return "written";
  }

  async abort(writable) {
    const writer = writable.getWriter();
    await writer.write("one");
    await writer.abort(new TypeError("changed my mind"));
  }

  async first(stream) {
    const reader = stream.getReader();
    const { value } = await reader.read();
    await reader.cancel(new RangeError("had enough"));
    return value;
  }

  #log = [];

  async handle(request) {
    const body = `${request.method} ${await request.text()}`;
    return new Response(body, { status: 201, statusText: "Made", headers: { "x-url": request.url } });
  }

  sink() {
    return new WritableStream({
      write: (chunk) => void this.#log.push(chunk),
      close: () => void this.#log.push("closed"),
      abort: (reason) => void this.#log.push(`aborted: ${reason.message}`),
    });
  }

  log() {
    return this.#log;
  }

  failWithFile() {
    throw Object.assign(new Error("it broke"), { file: new Blob(["bytes"], { type: "text/plain" }) });
  }

  async failBy(target) {
    await target.fail();
  }

  // Not async: a stub that is the whole value is a thenable, which an async function would await.
  echo(x) {
    return keep(x);
  }
}

// A copy of an argument that outlives the call. The library gives back every stub among the arguments when the
// call ends, so those that are to be returned have to be duplicated.
function keep(value) {
  if (value instanceof RpcPromise) return keepHomecomer(value);
  if (value instanceof RpcStub) return value.dup();
  if (Array.isArray(value)) return value.map(keep);
  if (value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, keep(member)]));
  }
  return value;
}

// One of our own objects come home (`["import", id]`) arrives as an RpcPromise that dup() turns into a
// broken stub ("Can't dup an RpcTarget stub as a promise."). Mapping it onto itself yields one that can be duplicated.
function keepHomecomer(stub) {
  const promise = stub.map((it) => it);
  try {
    return promise.dup();
  } finally {
    promise[Symbol.dispose]();
  }
}

const { values: options } = parseArgs({
  options: {
    ws: { type: "string" },
    http: { type: "string" },
    "until-stdin-closes": { type: "boolean" },
    capnweb: { type: "string" },
    trace: { type: "boolean" },
  },
});
const address = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(options.ws ?? options.http ?? "");
if (!address) {
  console.error("usage: tour_server.mjs --ws HOST:PORT | --http HOST:PORT [--until-stdin-closes] [--trace]");
  process.exit(2);
}

// One session must not end the others, so an unhandled rejection is only printed.
process.on("unhandledRejection", (reason) => console.error("unhandled rejection:", reason));

if (options["until-stdin-closes"]) {
  process.stdin.on("end", () => process.exit(0));
  process.stdin.on("error", () => process.exit(0));
  process.stdin.resume();
}

// The library leaves it to the program to answer a batch that is refused.
async function batch(request, response) {
  try {
    await nodeHttpBatchRpcResponse(request, response, new Tour());
  } catch (error) {
    response.writeHead(400).end(`${error}`);
  }
}

const where = { host: address[1] ?? address[2], port: Number(address[3]) };
const server = options.ws === undefined ? createServer(batch).listen(where) : new WebSocketServer(where);
server.on("error", (error) => {
  console.error(`cannot listen: ${error.message}`);
  process.exit(1);
});
server.on("listening", () => {
  const { address: host, port, family } = server.address();
  console.log(`listening on ${family === "IPv6" ? `[${host}]` : host}:${port}`);
});
server.on("connection", (socket) => {
  if (options.ws === undefined) return;
  if (options.trace) traceFrames(socket, "server");
  newWebSocketRpcSession(socket, new Tour());
});
