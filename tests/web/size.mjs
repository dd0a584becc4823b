// Tells how large a program of wasm is, and of what: `size.mjs FILE [MOST]`. It fails if the file has more than `MOST` bytes by
// gzip. Names take no part in that, since a page is sent none.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const [path, most] = process.argv.slice(2);
const file = readFileSync(path);
let at = 8;
const number = () => {
  let value = 0, shift = 0, byte;
  do {
    byte = file[at++];
    value += (byte & 0x7f) * 2 ** shift;
    shift += 7;
  } while (byte & 0x80);
  return value;
};
const text = () => {
  const length = number();
  at += length;
  return file.toString("utf8", at - length, at);
};

const kinds = ["custom", "types", "imports", "functions", "tables", "memory", "globals", "exports", "start", "elements", "code", "data"];
const sections = new Map(), bodies = [], names = new Map(), kept = [file.subarray(0, 8)];
let imported = 0;
while (at < file.length) {
  const start = at, kind = kinds[file[at++]] ?? "other", length = number(), end = at + length;
  if (kind === "imports") {
    for (let left = number(); left > 0; left--) {
      text();
      text();
      if (file[at++] !== 0) throw new Error("an import that is no function");
      number();
      imported += 1;
    }
  } else if (kind === "code") {
    for (let left = number(); left > 0; left--) {
      const size = number();
      bodies.push(size);
      at += size;
    }
  } else if (kind === "custom" && text() === "name") {
    while (at < end) {
      const [part, size] = [file[at++], number()], after = at + size;
      for (let left = part === 1 ? number() : 0; left > 0; left--) {
        const index = number();
        names.set(index, text());
      }
      at = after;
    }
  }
  if (kind !== "custom") {
    sections.set(kind, (sections.get(kind) ?? 0) + length);
    kept.push(file.subarray(start, end));
  }
  at = end;
}

const crates = new Map();
bodies.forEach((size, index) => {
  const name = names.get(imported + index) ?? "";
  // The first path in a name is that of the type whose method it is, or of the function.
  const [, crate = "other", module] = name.match(/([a-z_][a-z0-9_]*)(?:\[[0-9a-f]+\])?::([a-z_0-9]*)/) ?? [];
  const place = crate === "capnode" ? `${crate}::${module}` : crate;
  crates.set(place, (crates.get(place) ?? 0) + size);
});
const raw = Buffer.concat(kept), gzip = gzipSync(raw, { level: 9 }).length;
const table = (map) => [...map].sort((a, b) => b[1] - a[1]).filter(([, size]) => size >= raw.length / 300)
  .map(([name, size]) => `  ${name.padEnd(24)} ${String(size).padStart(8)}`).join("\n");
console.log(`${raw.length} bytes, ${gzip} by gzip\nsections\n${table(sections)}\ncode by crate, and by module of the library\n${table(crates)}`);
if (most && gzip > Number(most)) {
  console.error(`that is more than the ${most} bytes that are allowed`);
  process.exit(1);
}
