// The service that the client calls: the same methods as in src/peers/*.rs.

import { RpcTarget, newWebSocketRpcSession } from "capnweb";
import { once } from "node:events";
import { WebSocket, WebSocketServer } from "ws";

globalThis.WebSocket = WebSocket; // Node 20 has none of its own

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

  /** Bytes on the heap of this process. */
  heap() {
    globalThis.gc();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  }
}

/** Serves on a port that is free, and returns it. */
export async function listen() {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  server.on("connection", (socket) => newWebSocketRpcSession(socket, new Service()));
  await once(server, "listening");
  return server.address().port;
}
