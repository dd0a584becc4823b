// A Capnode peer that offers the tour index.
//
//   node tour_server.mjs [--ws HOST:PORT] [--tcp HOST:PORT] [--strict] [--until-stdin-closes] [--trace]
//
// PORT may be 0. Prints `listening on ws://HOST:PORT` and `listening on tcp://HOST:PORT` once it accepts connections,
// then serves until killed. All connections belong to one peer. What it throws on a message that came goes to standard
// error. Over TCP that ends the connection, as does a chunk that is not exactly one JSON text; over WebSocket it ends
// the connection (code 1011) with --strict only. With --until-stdin-closes it also ends when its standard input does.

import { serve } from "../listening.mjs";
import { Peer } from "./peer.mjs";
import { tour } from "./tour.mjs";
import { overStream, overWebSocket } from "./transports.mjs";

const peer = new Peer(tour);
const tell = (error) => console.error(`threw on receiving: ${error?.message ?? error}`);

serve({
  name: "tour_server.mjs",
  more: { strict: { type: "boolean" } },
  onWebSocket(socket, { strict }) {
    overWebSocket(peer, socket, (error) => {
      tell(error);
      if (strict) socket.close(1011, "threw on receiving");
    });
  },
  onStream(socket) {
    overStream(peer, socket, tell);
  },
});
