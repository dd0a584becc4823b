// A server of npm's q-connection that offers the tour.
//
//   node tour_server.mjs [--ws HOST:PORT] [--tcp HOST:PORT] [--until-stdin-closes] [--trace]
//
// PORT may be 0. Prints `listening on ws://HOST:PORT` and `listening on tcp://HOST:PORT` once it accepts connections,
// then serves until killed. Over WebSocket a message is a frame, over TCP a line. Every connection has a root object of
// its own. With --until-stdin-closes it also ends when its standard input does.

import Connection from "q-connection";
import { serve } from "../listening.mjs";
import { linePort, webSocketPort } from "./ports.mjs";
import { makeTour } from "./tour.mjs";

serve({
  name: "tour_server.mjs",
  onWebSocket: (socket) => Connection(webSocketPort(socket), makeTour()),
  onStream: (socket) => Connection(linePort(socket), makeTour()),
});
