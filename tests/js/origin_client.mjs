// Opens a WebSocket as a web page of some origin would.
//
//   node origin_client.mjs URL ORIGIN
//
// Prints `open`, or `refused STATUS` with the HTTP status of the answer. Exits with 1 if there was neither.

import { WebSocket } from "ws";

const [url, origin] = process.argv.slice(2);
if (origin === undefined) {
  console.error("usage: origin_client.mjs URL ORIGIN");
  process.exit(2);
}

const socket = new WebSocket(url, { origin, handshakeTimeout: 5000 });
socket.on("open", () => {
  console.log("open");
  socket.terminate();
});
socket.on("unexpected-response", (request, response) => {
  console.log(`refused ${response.statusCode}`);
  request.destroy();
});
socket.on("error", (error) => {
  console.error(`failed: ${error.message}`);
  process.exitCode = 1;
});
