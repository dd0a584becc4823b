// Returns the result of a step as text, so that it can be compared.

function members(value) {
  return Object.entries(value).map(([key, member]) => `${key}:${show(member)}`).join(",");
}

function show(value) {
  if (value instanceof Error) return `${value.name}(${value.message}){${members(value)}}`;
  if (typeof value === "function") return "function"; // the steps compare what it does when it is called
  if (typeof value === "bigint") return `${value}n`;
  if (Object.is(value, -0)) return "-0";
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof Date) return `Date(${value.getTime()})`;
  if (value instanceof URL) return `URL(${value})`;
  if (value instanceof Headers) return `Headers(${[...value]})`;
  if (value instanceof ArrayBuffer) return `ArrayBuffer(${[...new Uint8Array(value)]})`;
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteOffset, byteLength } = value;
    return `${value.constructor.name}(${[...new Uint8Array(buffer, byteOffset, byteLength)]})`;
  }
  if (Array.isArray(value)) return `[${value.map(show).join(",")}]`;
  if (value !== null && typeof value === "object") return `{${members(value)}}`;
  return String(value);
}

export async function outcome(step) {
  try {
    return `resolved ${show(await step())}`;
  } catch (error) {
    if (error?.timedOut) throw error;
    return `rejected ${show(error)}`;
  }
}
