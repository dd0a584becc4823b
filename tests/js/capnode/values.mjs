// Writes and reads values as a Capnode 4.0.2 peer does, faults included.
//
// A value is `{ links, value }`: `value` is a leaf, `links` holds the targets of pointers. A leaf is a string, a number,
// a boolean, nothing (undefined), or a pointer `{ type, id }` to `links[id]`.

const OBJECT = 0;
const FUNCTION = 1;
const ARRAY = 2;

// `idOf(f)` is the id of a function.
export function serialize(root, idOf) {
  const links = [];
  const pointers = new Map(); // object, array or function -> number of its link
  let count = 0; // links that the numbering knows of

  function leaf(value) {
    switch (typeof value) {
      case "function":
        return functionPointer(value);
      case "object":
        if (value === null) throw new Error("serializeObject was passed a object");
        return Array.isArray(value) ? arrayPointer(value) : objectPointer(value);
      case "symbol":
        throw new Error("Invalid input: undefined");
      default:
        return value;
    }
  }

  function functionPointer(f) {
    // The fault: the id of a function is listed at each occurrence, and counted at the first only. All that is met
    // after a repetition therefore gets a number that is too low.
    links.push(idOf(f));
    if (!pointers.has(f)) pointers.set(f, count++);
    return { type: FUNCTION, id: pointers.get(f) };
  }

  function objectPointer(object) {
    if (!pointers.has(object)) {
      pointers.set(object, count++);
      const link = {};
      links.push(link); // before its content
      for (const key of Object.keys(object)) {
        if (key !== "" && key !== "__proto__") link[key] = leaf(object[key]);
      }
    }
    return { type: OBJECT, id: pointers.get(object) };
  }

  function arrayPointer(array) {
    if (!pointers.has(array)) {
      const link = Array.from(array, leaf); // an array that contains itself does not get past here
      pointers.set(array, count++);
      links.push(link); // after its content
    }
    return { type: ARRAY, id: pointers.get(array) };
  }

  const value = leaf(root);
  return { links, value };
}

// `functionOf(id)` makes a function of an id. It is asked once for each link.
export function deserialize({ links, value }, functionOf) {
  if (!Array.isArray(links)) throw new Error("A value needs links.");
  const made = new Map();

  function once(id, make) {
    if (!made.has(id)) make((result) => made.set(id, result));
    return made.get(id);
  }

  function leaf(it) {
    if (it === undefined || ["string", "number", "boolean"].includes(typeof it)) return it;
    if (it === null || typeof it !== "object") throw new Error(`Invalid type to deserializeLeaf: ${typeof it}`);
    switch (it.type) {
      case OBJECT:
        return object(it.id);
      case FUNCTION:
        return typeof links[it.id] === "string" ? once(it.id, (keep) => keep(functionOf(links[it.id]))) : undefined;
      case ARRAY:
        if (!Array.isArray(links[it.id])) throw "Array pointer pointed at non-array link entry.";
        return once(it.id, (keep) => {
          const array = [];
          keep(array); // before its content: it may contain itself
          for (const element of links[it.id]) array.push(leaf(element));
        });
      default:
        throw new Error(`Unknown type of pointer: ${it.type}`);
    }
  }

  // A pointer to nothing, or to something that is no object, is undefined without an error.
  function object(id) {
    const link = links[id];
    if (link === null || typeof link !== "object") return undefined;
    return once(id, (keep) => {
      const result = {};
      keep(result);
      for (const [key, member] of Object.entries(link)) {
        if (key !== "__proto__") result[key] = leaf(member);
      }
    });
  }

  return leaf(value);
}
