// Runs the program beside, as `.ci/typescript` has compiled it: the address, and the names of the values.
import { WebSocket } from "ws";
import { check } from "./out/client.js";

globalThis.WebSocket ??= WebSocket;
const [url, ...names] = process.argv.slice(2);
const wrong = await check(url, names);
for (const line of wrong) console.log(line);
process.exit(0);
