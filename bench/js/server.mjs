// Serves until its standard input ends. Prints where.

import { listen } from "./service.mjs";

process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
console.log(`127.0.0.1:${await listen()}`);
