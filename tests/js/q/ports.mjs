// Message ports for q-connection: objects with the interface of a browser's WebSocket. Given a socket of
// the `ws` package as it is, it would lose what is sent before the socket is open and never notice that it closed.

import { createInterface } from "node:readline";
import { WebSocket } from "ws";

// One JSON text a message of the WebSocket.
export function webSocketPort(socket) {
  return port((text) => socket.send(text), {
    open: (listener) => (socket.readyState === WebSocket.OPEN ? queueMicrotask(listener) : socket.on("open", listener)),
    message: (listener) => socket.on("message", (data) => listener({ data: data.toString() })),
    close: (listener) => socket.on("close", listener),
  });
}

// One JSON text a line of a stream that is connected.
export function linePort(socket) {
  const lines = createInterface({ input: socket });
  return port((text) => socket.write(`${text}\n`), {
    open: queueMicrotask,
    message: (listener) => lines.on("line", (data) => listener({ data })),
    close: (listener) => socket.on("close", listener),
  });
}

function port(send, events) {
  return { send, addEventListener: (type, listener) => void events[type](listener) };
}
