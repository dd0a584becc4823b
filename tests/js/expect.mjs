// Assertions of the checks.

import { inspect, isDeepStrictEqual } from "node:util";

export const TIME_LIMIT = 5000;

const awaited = new Set(); // the waits that are in progress

// Returns the outcome of a promise, or throws an error that names `what` if it takes too long.
export async function within(promise, what) {
  const entry = { what };
  awaited.add(entry);
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      const others = [...awaited].filter((other) => other !== entry).map((other) => other.what);
      const also = others.length > 0 ? ` (also for ${others.join(", ")})` : "";
      reject(Object.assign(new Error(`waited ${TIME_LIMIT / 1000} s for ${what}${also}`), { timedOut: true }));
    }, TIME_LIMIT);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    awaited.delete(entry);
  }
}

function show(value) {
  const text = inspect(value, { depth: 6, breakLength: Infinity, maxStringLength: 100, maxArrayLength: 20 });
  return text.length > 250 ? `${text.slice(0, 250)}…` : text;
}

export function fail(why) {
  throw new Error(why);
}

// Exact: NaN equals itself, 0 does not equal -0, prototypes and own enumerable members count.
export function equal(got, want, what = "value") {
  if (!isDeepStrictEqual(got, want)) fail(`${what}: got ${show(got)}, expected ${show(want)}`);
}

export function isTrue(condition, what) {
  if (condition !== true) fail(what);
}

// Returns the error that the promise is rejected with. It must have exactly this class and message (text or pattern).
export async function rejected(promise, type, message, what = "call") {
  let value;
  try {
    value = await promise;
  } catch (error) {
    if (error?.timedOut) throw error;
    if (!(error instanceof type) || error.constructor !== type) fail(`${what}: rejected with ${show(error)}, expected ${type.name}`);
    if (typeof message === "string") equal(error.message, message, `${what}: message`);
    else if (!message.test(error.message)) fail(`${what}: message ${show(error.message)} does not match ${message}`);
    return error;
  }
  fail(`${what}: got ${show(value)}, expected a rejection`);
}

// A promise beside the functions that settle it.
export function deferred() {
  const ends = {};
  ends.promise = new Promise((resolve, reject) => Object.assign(ends, { resolve, reject }));
  return ends;
}

// Watches the releases of a function or object by the other side: `gone` resolves at the first, `times` counts.
export function watched(target) {
  const { promise, resolve } = deferred();
  const watch = { target, gone: promise, times: 0 };
  target[Symbol.dispose] = () => {
    watch.times++;
    resolve();
  };
  return watch;
}

export function dispose(...stubs) {
  for (const stub of stubs) stub[Symbol.dispose]();
}
