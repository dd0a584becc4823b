// The service that the client calls: the same methods as in src/peers/*.rs.

import { RpcTarget, newWebSocketRpcSession, nodeHttpBatchRpcResponse } from "capnweb";
import { once } from "node:events";
import { createServer } from "node:http";
import { WebSocket, WebSocketServer } from "ws";

globalThis.WebSocket = WebSocket; // Node 20 has none of its own

export const CHUNK = 64 << 10;

/** A stream of the results of `make` for 0, 1, … */
function stream(make) {
  let next = 0;
  return new ReadableStream({ pull: (controller) => controller.enqueue(make(next++)) });
}

class Item extends RpcTarget {
  #id;

  constructor(id) {
    super();
    this.#id = id;
  }

  id() {
    return this.#id;
  }

  next() {
    return new Item(this.#id + 1);
  }
}

class Service extends RpcTarget {
  add(a, b) {
    return a + b;
  }

  echo(record) {
    return record;
  }

  echoBytes(bytes) {
    return bytes;
  }

  async callBack(increment, calls, inFlight) {
    let sum = 0;
    let next = 0;
    const worker = async () => {
      while (next < calls) {
        const answer = await increment(next++);
        sum += answer; // in a step of its own: others add to it during the wait
      }
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
    return sum;
  }

  object(id) {
    return new Item(id);
  }

  sendBytes() {
    return stream((number) => new Uint8Array(CHUNK).fill(number));
  }

  sendNumbers() {
    return stream((number) => number);
  }

  /** Bytes on the heap of this process. */
  heap() {
    globalThis.gc();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  }
}

/** Serves on a port that is free, and returns it. */
export async function listen() {
  const server = createServer((request, response) => nodeHttpBatchRpcResponse(request, response, new Service()));
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => newWebSocketRpcSession(socket, new Service()));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server.address().port;
}
