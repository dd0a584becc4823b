// Shared by the tour clients of Capnode and Q: runs checks one after another, each with connections of its own.

import { once } from "node:events";
import { connect as connectStream } from "node:net";
import { WebSocket } from "ws";
import { TIME_LIMIT, fail, within } from "./expect.mjs";
import { traceStream } from "./listening.mjs";
import { traceFrames } from "./trace.mjs";

// A list of checks and the function that adds to it.
export function checkList() {
  const checks = [];
  // `only` restricts a check to a transport ("ws", "tcp") or a kind of server.
  function check(name, body, only = {}) {
    if (checks.some((other) => other.name === name)) throw new Error(`two checks are named ${name}`);
    checks.push({ name, body, only });
  }
  return { checks, check };
}

// An open WebSocket or TCP socket.
export async function open(url, trace) {
  const { protocol, hostname, port } = new URL(url);
  const overWebSocket = protocol === "ws:" || protocol === "wss:";
  if (!overWebSocket && protocol !== "tcp:") fail(`${url} is neither ws:// nor tcp://`);
  const socket = overWebSocket ? new WebSocket(url) : connectStream({ host: hostname.replace(/^\[|\]$/g, ""), port: Number(port) });
  if (trace) (overWebSocket ? traceFrames : traceStream)(socket, "client");
  const opened = once(socket, overWebSocket ? "open" : "connect");
  opened.catch(() => {});
  socket.on("error", () => {}); // the waits fail by themselves, and an unhandled `error` would end the process
  await within(opened, "the connection to open");
  if (!overWebSocket) socket.setNoDelay();
  return socket;
}

export function line(error) {
  const text = error instanceof Error ? `${error.name === "Error" ? "" : `${error.name}: `}${error.message}` : JSON.stringify(error);
  return String(text).replace(/\s+/g, " ").slice(0, 600);
}

// Runs checks and prints a line for each: `ok NAME` or `FAILED NAME: why`, and last
// `N passed, M failed`. `run(body)` runs one with connections of its own.
export async function runChecks(checks, run) {
  let passed = 0;
  let failed = 0;
  let silent = 0; // checks in a row that ran out of time
  let stray; // an unhandled rejection while the current check ran
  process.on("unhandledRejection", (reason) => (stray ??= { reason }));

  for (const { name, body } of checks) {
    try {
      if (silent === 3) fail("not run, since three checks in a row ran out of time");
      stray = undefined;
      await run(body);
      if (stray) fail(`unhandled rejection: ${line(stray.reason)}`);
      passed++;
      silent = 0;
      console.log(`ok ${name}`);
    } catch (error) {
      failed++;
      if (silent < 3) silent = error?.timedOut ? silent + 1 : 0;
      console.log(`FAILED ${name}: ${line(error)}`);
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
  setTimeout(() => process.exit(), TIME_LIMIT).unref(); // should a socket linger
}

// Fails if the promise settles within a while.
export async function silence(promise, what, ms = 150) {
  let timer;
  const quiet = new Promise((resolve) => (timer = setTimeout(resolve, ms, "quiet")));
  const outcome = await Promise.race([promise.then(() => "answer", () => "rejection"), quiet]);
  clearTimeout(timer);
  if (outcome !== "quiet") fail(`${what}: got a ${outcome}, expected none`);
}
