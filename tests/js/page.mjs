// The part of a browser that a page with a form and an output needs. Text appended to its `pre` goes to standard output.
// Each line of standard input is submitted in its `form`.
import { createInterface } from "node:readline";
import { WebSocket } from "ws";

const form = {
  elements: [{ value: "" }],
  reset() {
    this.elements[0].value = "";
  },
};
const pre = { append: (text) => process.stdout.write(text) };
globalThis.document = { querySelector: (name) => ({ form, pre })[name] };

globalThis.WebSocket = class extends WebSocket {
  constructor(url) {
    super(url, { origin: "http://localhost:8000" });
  }
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  form.elements[0].value = line;
  form.onsubmit({ preventDefault() {} });
});
lines.on("close", () => process.exit());
