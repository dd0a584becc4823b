// Records what the flow control of npm's capnweb does on lines of several kinds.
//
//   node flow_vectors.mjs > ../../capnode/src/cap/stream/window/vectors.txt
//
// The package does not export its class, so its text is taken out of the package's file. The clock is a line's: whole
// microseconds, never 0, which the class takes for "never". A line `# NAME` begins a record. Then, in the order of time:
//
//   send TIME SIZE      a write
//   ack TIME NUMBER     the acknowledgement of a write, numbered from 0
//   fail TIME NUMBER    its failure
//
// each followed by the window, the bytes on their way, and 1 during the startup.

import { readFileSync } from "node:fs";

const source = readFileSync(new URL("node_modules/capnweb/dist/index.js", import.meta.url), "utf8");
const from = source.indexOf("var FlowController = class {");
const text = source.slice(from, source.indexOf("\n};", from) + 3);
const constants = [...text.matchAll(/\b[A-Z]+(_[A-Z]+)+\b/g)].map(([name]) => name);
const declared = [...new Set(constants)].map((name) => {
  const found = source.match(new RegExp(`\\b(?:var|let|const) ${name} = [^;]*;`));
  if (found === null) throw new Error(`${name} is not in the package's file`);
  return found[0];
});
const FlowController = new Function(`${declared.join("\n")}\n${text}\nreturn FlowController;`)();

// The same numbers each time.
function random(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % below;
  };
}

// A sender of `count` writes that sends whenever its window is open, over a line with a bandwidth (bytes a microsecond)
// and a delay. `pause(i)` is the time that passes before a write; `jitter(i)` delays an acknowledgement.
function record(name, { count, size, bandwidth, delay, pause = () => 0, jitter = () => 0, fails = () => false }) {
  console.log(`# ${name}`);
  let now = 1_000;
  const flow = new FlowController(() => now);
  const state = () => `${Math.floor(flow.window)} ${flow.bytesInFlight} ${flow.inStartupPhase ? 1 : 0}`;
  const tokens = [];
  const waiting = []; // times of acknowledgements, in order
  let free = now; // when the line has written all
  let sent = 0;
  let last = 0;
  const acknowledge = () => {
    const [time, number] = waiting.shift();
    now = Math.max(now, time);
    if (fails(number)) flow.onError(tokens[number]);
    else flow.onAck(tokens[number]);
    console.log(`${fails(number) ? "fail" : "ack"} ${now} ${number} ${state()}`);
  };
  while (sent < count || waiting.length > 0) {
    if (sent < count && flow.bytesInFlight < flow.window) {
      const until = now + pause(sent);
      while (waiting.length > 0 && waiting[0][0] <= until) acknowledge();
      now = Math.max(now, until);
      const bytes = size(sent);
      const { token } = flow.onSend(bytes);
      tokens.push(token);
      free = Math.max(free, now) + Math.ceil(bytes / bandwidth);
      last = Math.max(last, free + delay + jitter(sent));
      waiting.push([last, sent]);
      sent++;
      console.log(`send ${now} ${bytes} ${state()}`);
    } else {
      acknowledge();
    }
  }
}

const some = random(1);
record("a fast line", { count: 150, size: () => 16_384, bandwidth: 1_000, delay: 1_000 });
record("10 MiB a second, 20 ms", { count: 200, size: () => 65_600, bandwidth: 10.48576, delay: 20_000 });
record("a slow line", { count: 60, size: () => 8_192, bandwidth: 0.1, delay: 100_000 });
record("a long line", { count: 250, size: () => 32_768, bandwidth: 100, delay: 200_000 });
record("a reader that takes one write every 5 ms", { count: 120, size: () => 65_536, bandwidth: 13, delay: 100 });
record("a sender that pauses", { count: 100, size: () => 4_096, bandwidth: 50, delay: 5_000, pause: (i) => (i % 7) * 900 });
record("one write at a time", { count: 40, size: () => 300_000, bandwidth: 20, delay: 1_000, pause: () => 50_000 });
record("writes of all sizes", {
  count: 200,
  size: () => 1 + some(100_000),
  bandwidth: 20,
  delay: 10_000,
  pause: () => some(2_000),
  jitter: () => some(30_000),
});
record("writes that fail", { count: 60, size: () => 40_000, bandwidth: 20, delay: 3_000, fails: (i) => i % 9 === 4 });
record("a line that becomes slower", {
  count: 200,
  size: () => 65_536,
  bandwidth: 40,
  delay: 2_000,
  jitter: (i) => (i > 80 ? (i - 80) * 3_000 : 0),
});
