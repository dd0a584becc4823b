// Shared by the tour servers of Capnode and Q, which listen on a WebSocket, on a bare TCP port, or on both.

import { createServer } from "node:net";
import { parseArgs } from "node:util";
import { WebSocketServer } from "ws";
import { traceFrames } from "./trace.mjs";

function addressOf(text) {
  const [, bracketed, host, port] = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(text) ?? [];
  return port === undefined ? undefined : { host: bracketed ?? host, port: Number(port) };
}

function announce(scheme, { address, family, port }) {
  console.log(`listening on ${scheme}://${family === "IPv6" ? `[${address}]` : address}:${port}`);
}

// Reads the command line and serves: `onWebSocket` and `onStream` get each connection and the options. `more` are
// options of the language, as parseArgs takes them.
export function serve({ name, more = {}, onWebSocket, onStream }) {
  const { values: options } = parseArgs({
    options: {
      ws: { type: "string" },
      tcp: { type: "string" },
      "until-stdin-closes": { type: "boolean" },
      trace: { type: "boolean" },
      ...more,
    },
  });
  const ws = addressOf(options.ws ?? "");
  const tcp = addressOf(options.tcp ?? "");
  if ((!ws && !tcp) || (options.ws !== undefined && !ws) || (options.tcp !== undefined && !tcp)) {
    const flags = Object.keys(more).map((flag) => ` [--${flag}]`);
    console.error(`usage: ${name} [--ws HOST:PORT] [--tcp HOST:PORT] [--until-stdin-closes] [--trace]${flags.join("")}`);
    process.exit(2);
  }

  // One connection must not end the others, so an unhandled rejection is only printed.
  process.on("unhandledRejection", (reason) => console.error("unhandled rejection:", reason));

  if (options["until-stdin-closes"]) {
    process.stdin.on("end", () => process.exit(0));
    process.stdin.on("error", () => process.exit(0));
    process.stdin.resume();
  }

  const failed = (error) => {
    console.error(`cannot listen: ${error.message}`);
    process.exit(1);
  };
  if (ws) {
    const server = new WebSocketServer(ws);
    server.on("error", failed);
    server.on("listening", () => announce("ws", server.address()));
    server.on("connection", (socket) => {
      socket.on("error", () => {}); // a close follows
      if (options.trace) traceFrames(socket, "server");
      onWebSocket(socket, options);
    });
  }
  if (tcp) {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      if (options.trace) traceStream(socket, "server");
      onStream(socket, options);
    });
    server.on("error", failed);
    server.listen(tcp, () => announce("tcp", server.address()));
  }
}

// Writes every chunk of a stream to standard error.
export function traceStream(socket, name) {
  const show = (direction, data) => console.error(`${name} ${direction} ${data.toString().slice(0, 300)}`);
  socket.on("data", (data) => show("<", data));
  const write = socket.write;
  socket.write = (data, ...rest) => {
    show(">", data);
    return write.call(socket, data, ...rest);
  };
}
