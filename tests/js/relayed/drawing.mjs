// Random choices that programs are made of.

// Pseudo-random numbers, equal for equal seeds.
export function drawing(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const KEYS = ["a", "", "ключ", "constructor", "then", "0", "a.b", "data"];

// `kinds` are further makers of values.
export function plainValue(draw, kinds = [], depth = 0) {
  const inside = () => plainValue(draw, kinds, depth + 1);
  const leaves = [
    () => undefined,
    () => null,
    () => draw(2) === 1,
    () => draw(1000) - 500,
    () => [0, -0, 2 ** 53, -(2 ** 63), 5e-324, 1e300][draw(6)],
    () => draw(1000) / 7,
    () => "é\u{1f600}\n\"\\\u2028"[draw(7)] + draw(100),
    () => "text".repeat(draw(5)),
    ...kinds.map((kind) => () => kind(draw)),
  ];
  const nodes = [
    () => Array.from({ length: draw(4) }, inside),
    () => Object.fromEntries(Array.from({ length: draw(4) }, () => [KEYS[draw(KEYS.length)], inside()])),
  ];
  const all = depth > 2 ? leaves : [...leaves, ...nodes];
  return all[draw(all.length)]();
}
