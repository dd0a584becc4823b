// Rust in pages, workers and frames of a real browser, against npm's capnweb and q-connection, and against Rust.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { createInterface } from "node:readline";
import { newWebSocketRpcSession } from "capnweb";
import { WebSocket, WebSocketServer } from "ws";
import { launch } from "./chromium.mjs";
import { Greeter } from "./site/greeter.mjs";

// Node 20 has none.
globalThis.WebSocket ??= WebSocket;

const here = import.meta.dirname;
const types = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

// Serves the files of this folder. Each port is an origin.
const serveFiles = async () => {
  const server = createServer(({ url }, response) => {
    const path = join(here, normalize(new URL(url, "http://host").pathname));
    if (!existsSync(path) || !types[extname(path)]) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": types[extname(path)] });
    createReadStream(path).pipe(response);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return [server, `http://127.0.0.1:${server.address().port}`];
};

let browser, page, near, far, ours, other, program, printed, url;

before(async () => {
  [[near, ours], [far, other]] = [await serveFiles(), await serveFiles()];
  program = spawn(join(here, "../../target/wasm/debug/server"), [ours], { stdio: ["pipe", "pipe", "inherit"] });
  printed = createInterface({ input: program.stdout });
  [url] = await once(printed, "line");
  browser = await launch();
  page = await open();
});

const open = async () => {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error("in the page:", error));
  await page.goto(`${ours}/site/index.html`);
  await page.evaluate(() => window.loaded);
  return page;
};

after(async () => {
  await browser?.close();
  program?.stdin.end();
  near?.close();
  far?.close();
});

const run = (name, ...values) => page.evaluate(([name, values]) => window.tests[name](...values), [name, values]);
const said = (greeting, name) => (lines) => {
  assert.deepEqual(lines.slice(0, 3), [`${greeting}, ${name}`, "60", "Salut, pipe"]);
  assert.match(lines[3], /not today/);
};

for (const [what, greeting, name, ...steps] of [
  ["capnweb in a page calls Rust in a worker", "Hello", "page", "capnwebCallsWorker"],
  ["q-connection in a page calls Rust in a worker", "Hello", "page", "qCallsWorker"],
  ["Rust in a worker calls capnweb in its page", "Hi", "Rust", "capnwebServesWorker"],
  ["Rust in a worker calls q-connection in its page", "Hi", "Rust", "qServesWorker"],
  ["Rust in a page calls capnweb in a worker", "Hi", "Rust", "callsWorker", "capnweb", "capnweb"],
  ["Rust in a page calls q-connection in a worker", "Hi", "Rust", "callsWorker", "q", "q"],
  ["Rust in a page calls Rust in a worker", "Hello", "Rust", "callsWorker", "serve", "capnweb"],
  ["Rust in a page calls Rust in a worker, in the dialect of Capnode", "Hello", "Rust", "callsWorker", "serve", "capnode"],
  ["q-connection calls Rust over a port", "Hello", "page", "qCallsPort"],
  ["Rust calls q-connection over a port", "Hi", "Rust", "callsQPort"],
  ["q-connection in a page calls Rust over a WebSocket", "Hello", "page", "qCallsSocket", () => url],
  ["Rust in a page calls Rust over a WebSocket", "Hello", "Rust", "callsSocket", () => url],
  ["Rust in a page calls Rust in a frame", "Hello", "Rust", "callsFrame", () => ours],
  ["Rust in a page calls Rust in a frame of another origin", "Hello", "Rust", "callsFrame", () => other],
  ["Rust in a frame calls its page", "Hello", "Rust", "servesFrame", () => ours, "capnweb"],
  ["Rust in a frame of another origin calls its page", "Hello", "Rust", "servesFrame", () => other, "q"],
  ["q-connection in a page calls Rust in a frame", "Hello", "page", "qCallsFrame", () => ours],
  ["Rust in a page calls q-connection in a frame", "Hi", "Rust", "callsQFrame", () => ours],
]) {
  test(what, async () => {
    const [method, ...values] = steps.map((step) => (typeof step === "function" ? step() : step));
    said(greeting, name)(await run(method, ...values));
  });
}

test("the end of a page's connection is that of the worker's", async () => {
  assert.match(await run("endsWithWorker"), /closed|ended|released/);
});

for (const [what, reason] of [
  ["blob", /class/],
  ["image", /class/],
  ["rectangle", /class/],
  ["module", /class/],
  ["map", /class/],
  ["cycle", /contains itself/],
  ["depth", /more levels/],
  ["integer", /longer than/],
]) {
  test(`a message with a ${what} ends its connection, and no other`, async () => {
    const [ended, said] = await run("endsBy", what);
    assert.match(ended, reason);
    assert.equal(said, "Hello, page");
  });
}

test("only the window and the origin that were named are heard", async () => {
  assert.equal(await run("hears", other, other, "stranger"), 1);
  assert.equal(await run("hears", other, ours, "stranger"), 0);
  assert.equal(await run("hears", other, other, "friend"), 0);
});

test("a stranger's message that cannot be read here ends nothing", async () => {
  assert.deepEqual(await run("survives", other, ours), ["alive", 1]);
});

test("only a document of the origin that was named is told", async () => {
  assert.notEqual(await run("tells", other, other), 0);
  assert.equal(await run("tells", other, ours), 0);
});

for (const [what, end, reason] of [
  ["is closed", (page) => page.close(), /^the peer closed/],
  ["goes elsewhere", (page) => page.goto("about:blank"), /^the peer closed/],
  ["crashes", (page) => void page.goto("chrome://crash").catch(() => {}), /^the (peer|connection)/],
]) {
  test(`the server is told when a tab ${what}`, async () => {
    const other = await open();
    assert.equal(await other.evaluate((url) => window.tests.holds(url), url), "Hello, page");
    const line = once(printed, "line");
    await end(other);
    assert.match((await line)[0], reason);
    await other.close();
  });
}

test("a tab that sleeps keeps its connection: the browser answers the server's pings", async () => {
  const other = await open();
  assert.equal(await other.evaluate((url) => window.tests.holds(url), url), "Hello, page");
  let ended;
  printed.once("line", (line) => { ended = line; });
  const session = await other.context().newCDPSession(other);
  await session.send("Page.setWebLifecycleState", { state: "frozen" });
  // The time is what is tested: the server asks every half second, and waits as long.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await session.send("Page.setWebLifecycleState", { state: "active" });
  assert.equal(await other.evaluate(async () => await window.held.hello("page")), "Hello, page");
  assert.equal(ended, undefined);
  await other.close();
});

// Serves npm's capnweb on a WebSocket that reads nothing until it is told.
const serveLate = async () => {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  let connected;
  server.on("connection", (socket) => {
    newWebSocketRpcSession(socket, new Greeter());
    socket.pause();
    connected = socket;
  });
  await once(server, "listening");
  return { url: `ws://127.0.0.1:${server.address().port}`, read: () => connected.resume(), close: () => server.close() };
};

test("a page sends no more than its browser can hold", { timeout: 120_000 }, async () => {
  const late = await serveLate();
  const other = await open();
  await other.exposeFunction("read", late.read);
  const [calls, bytes] = [200, 128 << 10];
  const [most, answer] = await other.evaluate((values) => window.tests.floods(...values), [late.url, calls, bytes]);
  assert.ok(most < 2 << 20, `the browser held ${most} bytes`);
  assert.equal(answer, "Hi, flood");
  await other.close();
  late.close();
});

test("what is no origin is refused", async () => {
  for (const refusal of await run("refusals")) assert.match(refusal, /is no origin/);
});
