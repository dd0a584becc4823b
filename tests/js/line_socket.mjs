// A TCP connection with the interface of a WebSocket and a message a line, so that one client works over both.

import { EventEmitter } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";

export class LineSocket extends EventEmitter {
  #socket;
  readyState = 0;

  constructor(url) {
    super();
    const { hostname, port } = new URL(url);
    this.#socket = connect(Number(port), hostname);
    this.#socket.on("connect", () => {
      this.readyState = 1;
      this.emit("open");
    });
    this.#socket.on("error", (error) => this.emit("error", error));
    this.#socket.on("close", () => {
      this.readyState = 3;
      this.emit("close", 1000);
    });
    const lines = createInterface({ input: this.#socket });
    lines.on("line", (line) => this.emit("message", line));
    lines.on("error", () => {}); // the socket reports the error
  }

  send(text) {
    this.#socket.write(`${text}\n`);
  }

  close() {
    this.#socket.end();
  }

  terminate() {
    this.#socket.destroy();
  }

  // The way in which capnweb listens.
  addEventListener(type, listener) {
    this.on(type, (detail) => {
      if (type === "message") listener({ data: detail });
      else if (type === "close") listener({ code: detail, reason: "", wasClean: true });
      else listener(detail ?? {});
    });
  }
}
