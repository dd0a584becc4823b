// A plugin for Node: Cap'n Web over standard input and output, a message a line.
import { createInterface } from "node:readline";
import { RpcSession, RpcTarget } from "capnweb";

class Plugin extends RpcTarget {
  async render(text) {
    return text + (await host.mark());
  }

  configure() {
    return host.setMark("?");
  }

  async hang(started) {
    await started();
    await new Promise(() => {});
  }
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const transport = {
  async send(message) {
    process.stdout.write(`${message}\n`);
  },
  async receive() {
    const { value, done } = await lines.next();
    if (done) process.exit(); // The host has gone.
    return value;
  },
};
const host = new RpcSession(transport, new Plugin()).getRemoteMain();
