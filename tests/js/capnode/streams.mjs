// A Capnode peer with streams: a record of `next` and `return` is a reader, and one of `write`, `close` and `abort` a
// writer.
//
//   node streams.mjs [--ws HOST:PORT] [--tcp HOST:PORT] [--until-stdin-closes] [--trace]

import { serve } from "../listening.mjs";
import { Peer } from "./peer.mjs";
import { overStream, overWebSocket } from "./transports.mjs";

// The members of a generator object are not its own, and only these travel.
function reader(generator) {
  return { next: async () => generator.next(), return: async () => generator.return() };
}

function root() {
  const log = [];
  function* count(n) {
    try {
      for (let i = 0; i < n; i++) yield i;
    } finally {
      log.push("returned");
    }
  }
  async function* slowly(n) {
    for (let i = 0; i < n; i++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      yield i;
    }
    throw new Error("out of numbers");
  }
  return {
    numbers: async (n) => reader(count(n)),
    slowly: async (n) => reader(slowly(n)),
    async collect(reader) {
      const chunks = [];
      for (;;) {
        const { done, value } = await reader.next().catch(({ value }) => {
          throw new Error(value.message); // it rejects with the message of the protocol
        });
        if (done) return chunks;
        chunks.push(value);
      }
    },
    async first(reader) {
      const { value } = await reader.next();
      const { done } = await reader.return();
      return [value, done];
    },
    sink: async () => ({
      write: async (chunk) => void log.push(chunk),
      close: async () => void log.push("closed"),
      abort: async (reason) => void log.push(`aborted: ${reason.message}`),
    }),
    async writeTo(writer, chunks) {
      for (const chunk of chunks) await writer.write(chunk);
      await writer.close();
      return "written";
    },
    abort: (writer) => writer.abort({ message: "changed my mind" }),
    log: async () => log,
  };
}

const tell = (error) => console.error(`threw on receiving: ${error?.stack ?? error}`);

serve({
  name: "streams.mjs",
  onWebSocket: (socket) => overWebSocket(new Peer(root()), socket, tell),
  onStream: (socket) => overStream(new Peer(root()), socket, tell),
});
