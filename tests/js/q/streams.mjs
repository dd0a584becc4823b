// A server of npm's q-connection with streams: a generator object is a reader, and an object with `write`, `close` and
// `abort` is a writer.
//
//   node streams.mjs [--ws HOST:PORT] [--tcp HOST:PORT] [--until-stdin-closes] [--trace]

import Connection from "q-connection";
import Q from "q";
import { serve } from "../listening.mjs";
import { linePort, webSocketPort } from "./ports.mjs";

class Sink {
  constructor(log) {
    this.log = log;
  }
  write(chunk) {
    this.log.push(chunk);
  }
  close() {
    this.log.push("closed");
  }
  abort(reason) {
    this.log.push(`aborted: ${reason.message}`);
  }
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
    numbers: count,
    slowly,
    // Reads one chunk after the other, until the end.
    collect(reader) {
      const chunks = [];
      const next = () =>
        Q(reader)
          .invoke("next")
          .then(({ done, value }) => (done ? chunks : (chunks.push(value), next())));
      return next();
    },
    first: (reader) =>
      Q(reader)
        .invoke("next")
        .then(({ value }) => Q(reader).invoke("return").then(({ done }) => [value, done])),
    sink: () => new Sink(log),
    writeTo: (writer, chunks) =>
      chunks
        .reduce((before, chunk) => before.then(() => Q(writer).invoke("write", chunk)), Q())
        .then(() => Q(writer).invoke("close"))
        .then(() => "written"),
    abort: (writer) => Q(writer).invoke("abort", { message: "changed my mind" }).then(() => undefined),
    log: () => log,
  };
}

serve({
  name: "streams.mjs",
  onWebSocket: (socket) => Connection(webSocketPort(socket), root()),
  onStream: (socket) => Connection(linePort(socket), root()),
});
