// Proves the checks against the real library: npm's client against npm's server, and the small tools beside them.
//
//   npm test

import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { isTrue, equal, within } from "./expect.mjs";

function start(script, ...args) {
  return spawn(process.execPath, [fileURLToPath(new URL(script, import.meta.url)), ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
}

// Runs a script to its end. It may take longer than one step, but not for ever.
async function run(script, ...args) {
  const child = start(script, ...args);
  const lines = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  const timer = setTimeout(() => child.kill("SIGKILL"), 120_000);
  const [code] = await once(child, "close");
  clearTimeout(timer);
  return { code, lines };
}

const server = start("tour_server.mjs", "--ws", "127.0.0.1:0", "--until-stdin-closes");
process.on("exit", () => server.kill());
const exited = once(server, "exit");
const [greeting] = await within(once(createInterface({ input: server.stdout }), "line"), "the server to listen");
const [, port] = /^listening on 127\.0\.0\.1:(\d+)$/.exec(greeting) ?? [];
isTrue(port !== undefined, `the server printed ${greeting}`);
const url = `ws://127.0.0.1:${port}`;

// The tour passes, and says so in the form that its callers read.
const tour = await run("tour_client.mjs", url);
const failed = tour.lines.filter((line) => line.startsWith("FAILED"));
for (const line of failed) console.log(line);
const summary = tour.lines.at(-1);
console.log(summary);
const [, passed] = /^(\d+) passed, 0 failed$/.exec(summary) ?? [];
isTrue(Number(passed) >= 45, "fewer checks passed than there should be");
equal(tour.lines.filter((line) => line.startsWith("ok ")).length, Number(passed), "lines that begin with ok");
equal(tour.code, 0, "the exit code of a tour that passed");

// A tour that fails says so too. Nobody listens on the port of a server that has ended, and npm's server does not
// check types.
const untyped = await run("tour_client.mjs", url, "--strict-types", "--only", "a number for a text");
equal(untyped.code, 1, "the exit code of a tour that failed");
isTrue(untyped.lines[0].startsWith("FAILED transform: a number for a text is refused: "), untyped.lines[0]);
equal(untyped.lines.at(-1), "0 passed, 1 failed");

// A page of any origin gets in here, and is told when it does not.
equal((await run("origin_client.mjs", url, "https://example.com")).lines, ["open"]);
const origins = [];
const refusing = createServer().on("upgrade", (request, socket) => {
  origins.push(request.headers.origin);
  socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
});
await once(refusing.listen(0, "127.0.0.1"), "listening");
const refused = await run("origin_client.mjs", `ws://127.0.0.1:${refusing.address().port}`, "https://example.com");
equal(refused, { code: 0, lines: ["refused 403"] });
equal(origins, ["https://example.com"]);
refusing.close();

// The server goes when its standard input does.
server.stdin.end();
const [code] = await within(exited, "the server to end");
equal(code, 0, "the server's exit code");

const nobody = await run("tour_client.mjs", url, "--only", "transform: plain text");
equal(nobody.code, 1, "the exit code of a tour without a server");
equal(nobody.lines.at(-1), "0 passed, 1 failed");

// Capnode and Q: each tour passes over each transport, and the Capnode peer does what the real one was recorded to do.

async function tours(language, kind, least) {
  const server = start(`${language}/tour_server.mjs`, "--ws", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--until-stdin-closes");
  process.on("exit", () => server.kill());
  const exited = once(server, "exit");
  const greetings = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  const greeting = async () => (await within(greetings.next(), `the ${language} server to listen`)).value;
  const urls = [await greeting(), await greeting()].map((text) => /^listening on ((?:ws|tcp):\/\/127\.0\.0\.1:\d+)$/.exec(text)?.[1]);
  isTrue(urls.some((url) => url?.startsWith("ws:")) && urls.some((url) => url?.startsWith("tcp:")), `the server printed ${urls}`);
  for (const url of urls) {
    const { code, lines } = await run(`${language}/tour_client.mjs`, "--connect", url, "--server", kind);
    for (const line of lines.filter((line) => line.startsWith("FAILED"))) console.log(line);
    console.log(`${language} over ${new URL(url).protocol} ${lines.at(-1)}`);
    const [, passed] = /^(\d+) passed, 0 failed$/.exec(lines.at(-1)) ?? [];
    isTrue(Number(passed) >= least, `fewer checks of ${language} passed than there should be`);
    equal(code, 0, "the exit code of a tour that passed");
  }
  server.stdin.end();
  await within(exited, "the server to end");
  const nobody = await run(`${language}/tour_client.mjs`, "--connect", urls[0], "--only", "transform: plain text");
  equal([nobody.code, nobody.lines.at(-1)], [1, "0 passed, 1 failed"], "a tour without a server");
}

const recordings = await run("capnode/recordings.test.mjs");
for (const line of recordings.lines) console.log(line);
equal(recordings.code, 0, "the recordings of Capnode");
await tours("capnode", "capnode", 60);
await tours("q", "npm", 80);

console.log("selftest passed");
