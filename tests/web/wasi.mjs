// Runs a program for `wasm32-wasip1`, as Cargo's runner: `node wasi.mjs program.wasm [argument...]`.

import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { WASI } from "node:wasi";

// Node 20 crashes where optimized code calls the system by this after its memory has grown.
setFlagsFromString("--no-turbo-fast-api-calls");
const args = process.argv.slice(2);
const wasi = new WASI({ version: "preview1", args, env: process.env, preopens: { "/": "/" } });
const program = await WebAssembly.compile(await readFile(args[0]));
process.exitCode = wasi.start(await WebAssembly.instantiate(program, wasi.getImportObject()));
