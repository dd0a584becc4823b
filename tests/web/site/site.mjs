// What a page does in the tests. Each function returns what was said.
import { newMessagePortRpcSession, newWebSocketRpcSession } from "capnweb";
import Connection from "q-connection";
import * as rust from "./rust.mjs";
import { Greeter, asPort, qGreeter, qTalk, talk } from "./greeter.mjs";
import { windowPort } from "./window_port.mjs";

const results = new BroadcastChannel("results");

const next = (target, wanted) => new Promise((resolve) => {
  const listener = (event) => {
    const value = wanted(event);
    if (value === undefined) return;
    target.removeEventListener("message", listener);
    resolve(value);
  };
  target.addEventListener("message", listener);
});

// Starts a worker. Its first word is that it is there.
const start = async (name) => {
  const worker = new Worker("/pkg/worker.js", { type: "module", name });
  await next(results, (event) => (event.data === "ready" ? true : undefined));
  return worker;
};
const result = () => next(results, (event) => (event.data === "ready" ? undefined : event.data));

// Puts a frame into the page, whose window is there at once, and whose document says when it is.
const embed = (origin, ...fragment) => {
  const frame = document.createElement("iframe");
  frame.src = `${origin}/site/frame.html#${encodeURIComponent(fragment.join(" "))}`;
  document.body.append(frame);
  const { contentWindow } = frame;
  const told = (wanted) => next(window, ({ source, data }) => {
    return source === contentWindow && data?.told !== undefined && wanted(data.told) ? data.told : undefined;
  });
  const ready = told((what) => what === "ready");
  const result = told((what) => what !== "ready");
  return { window: contentWindow, ready, result };
};
const open = async (origin, ...fragment) => {
  const frame = embed(origin, ...fragment);
  await frame.ready;
  return frame;
};
// How many messages a frame has got that were not for its test.
const count = (frame, origin) => {
  frame.window.postMessage("how many?", origin);
  return frame.result;
};
const refusal = (promise) => promise.then(() => "", String);
const lines = (text) => text.split("\n");

window.tests = {
  // npm's packages in the page, Rust in its worker.
  capnwebCallsWorker: async () => talk(newMessagePortRpcSession(asPort(await start("serve")))),
  qCallsWorker: async () => qTalk(Connection(await start("serve"), undefined)),
  capnwebServesWorker: async () => {
    const told = result();
    // The worker speaks first, and may do so before a "ready" has come here.
    const worker = new Worker("/pkg/worker.js", { type: "module", name: "call capnweb" });
    newMessagePortRpcSession(asPort(worker), new Greeter());
    return lines(await told);
  },
  qServesWorker: async () => {
    const told = result();
    Connection(new Worker("/pkg/worker.js", { type: "module", name: "call q" }), qGreeter());
    return lines(await told);
  },
  // Rust in the page, npm's packages and Rust in its worker.
  callsWorker: async (name, dialect) => lines(await rust.call(await start(name), dialect)),
  endsWithWorker: async () => {
    const worker = await start("serve");
    const told = result();
    await rust.call(worker, "capnweb");
    return told;
  },
  // Ports and sockets.
  qCallsPort: async () => {
    const { port1, port2 } = new MessageChannel();
    rust.serve(port2);
    return qTalk(Connection(port1, undefined));
  },
  callsQPort: async () => {
    const { port1, port2 } = new MessageChannel();
    Connection(port1, qGreeter());
    return lines(await rust.call(port2, "q"));
  },
  // What becomes of a connection over a port to a message of what only a browser has, and what another says thereafter.
  endsBy: async (what) => {
    const values = {
      blob: () => new Blob(["x"]),
      image: () => new ImageData(1, 1),
      rectangle: () => new DOMRect(),
      module: () => new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])),
      cycle: () => { const cycle = {}; return Object.assign(cycle, { inner: [[cycle]] }); },
      depth: () => { let value = []; for (let level = 0; level < 1_000; level++) value = [value]; return value; },
      integer: () => 1n << (1n << 24n),
      map: () => new Map(),
    };
    const [{ port1, port2 }, other] = [new MessageChannel(), new MessageChannel()];
    const ended = rust.serve(port2);
    rust.serve(other.port2);
    const greeter = newMessagePortRpcSession(other.port1);
    port1.postMessage(["push", ["pipeline", 0, ["hello"], [values[what]()]]]);
    return [await ended, await greeter.hello("page")];
  },
  qCallsSocket: async (url) => qTalk(Connection(new WebSocket(url), undefined)),
  callsSocket: async (url) => lines(await rust.call_socket(url)),
  // Calls a server that does not read until it is told by `read`, which this page does when the library has found the browser
  // to hold bytes five times in succession, or all is sent. Returns how many bytes that were at most, and the last answer.
  floods: async (url, calls, bytes) => {
    const { prototype } = WebSocket;
    const [{ send }, held] = [prototype, Object.getOwnPropertyDescriptor(prototype, "bufferedAmount")];
    let most = 0, looks = 0, sent = 0;
    const waits = new Promise((resolve) => {
      prototype.send = function (message) {
        send.call(this, message);
        [most, looks, sent] = [Math.max(most, held.get.call(this)), 0, sent + 1];
        if (sent >= calls) resolve();
      };
      Object.defineProperty(prototype, "bufferedAmount", {
        get() {
          const amount = held.get.call(this);
          if (amount > 0 && ++looks === 5) resolve();
          return amount;
        },
      });
    });
    const answer = rust.flood(url, calls, bytes);
    await waits;
    await window.read();
    return [most, await answer];
  },
  // Holds a connection.
  holds: async (url) => {
    window.held = newWebSocketRpcSession(url);
    return window.held.hello("page");
  },
  // Frames of an origin, which is this one's or another.
  callsFrame: async (origin) => {
    const frame = await open(origin, "serve", location.origin);
    return lines(await rust.call_window(frame.window, origin));
  },
  servesFrame: async (origin, dialect) => {
    const frame = embed(origin, "call", location.origin, dialect);
    rust.serve_window(frame.window, origin);
    return lines(await frame.result);
  },
  qCallsFrame: async (origin) => {
    const frame = await open(origin, "serve", location.origin);
    return qTalk(Connection(windowPort(frame.window, origin), undefined));
  },
  callsQFrame: async (origin) => {
    const frame = await open(origin, "q", location.origin);
    return lines(await rust.call_window(frame.window, origin, "q"));
  },
  // How often a frame of `origin` is heard that asks unbidden, if this page serves that frame, or another one, as one of
  // `said`.
  hears: async (origin, said, served) => {
    const before = rust.greeted();
    const friend = await open(said, "none");
    const stranger = embed(origin, "stranger");
    rust.serve_window(served === "stranger" ? stranger.window : friend.window, said);
    await stranger.ready;
    await count(stranger, origin);
    return rust.greeted() - before;
  },
  // What becomes of a connection with a frame of `said` if one of `origin` posts what cannot be read here.
  survives: async (origin, said) => {
    const friend = await open(said, "none");
    const ended = rust.serve_window(friend.window, said);
    let errors = 0;
    window.addEventListener("messageerror", () => { errors += 1; });
    const stranger = await open(origin, "garbage");
    const alive = count(stranger, origin).then(() => "alive");
    return [await Promise.race([ended, alive]), errors];
  },
  // How many messages a frame of `origin` gets if this page calls it as one of `said`.
  tells: async (origin, said) => {
    const frame = await open(origin, "none");
    rust.call_window(frame.window, said).catch(() => {});
    // In another turn all is posted that will be.
    await new Promise((resolve) => setTimeout(resolve));
    return count(frame, origin);
  },
  refusals: async () => [
    await refusal(rust.call_window(window, "*")),
    await refusal(rust.call_window(window, "null")),
    await refusal(rust.call_window(window, `${location.origin}/`)),
  ],
};
window.loaded = rust.load();
