// Has each value that the server sends checked against its generated type, and sends it back, and values that are made here.
import { newWebSocketRpcSession } from "capnweb";
import { validateStub } from "capnweb-validate";
import type { Values } from "./values.js";

/** Returns what is wrong. */
export async function check(url: string, names: string[]): Promise<string[]> {
  const stub = newWebSocketRpcSession<Values>(url);
  const values = validateStub<Values>(stub);
  const methods = values as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  const wrong: string[] = [];
  for (const name of names) {
    try {
      const value = await methods[`get${name}`]!();
      if (!(await methods[`put${name}`]!(value))) wrong.push(`${name}: is another value when it is sent back`);
    } catch (error) {
      wrong.push(`${name}: ${error}`);
    }
  }
  const made = {
    absentUnit: values.putUnit(undefined),
    absentField: values.putLine({ id: 2n ** 64n - 1n, text: "line", at: new Date(1) }),
    absentList: values.putSparse({ rest: 1 }),
    emptyList: values.putSparse({ list: [], option: null, rest: 1 }),
    absentUnits: values.putUnits({ unit: undefined, list: [undefined], nothing: undefined }),
    absentFlat: values.putFlat({ own: 1, inner: "inner" }),
    absentKeys: values.putMaps({ numbers: { 1: true }, kinds: { second: 1 }, flags: { true: 1 } }),
    extraKeys: values.putOpen({ own: "own", a: "b" }),
    smallBigint: values.putSmallLarge(1n),
    smallNumber: values.putSmallLarge(1),
    variants: values.putExternals(["Unit", { Newtype: 1 }, { Tuple: [1, "a"] }, { Struct: {} }]),
    merged: values.putInternals([{ type: "first_one" }, { type: "second", a: 1 }, { type: "third", inner: "inner" }]),
  };
  for (const [name, promise] of Object.entries(made)) {
    try {
      if (!(await promise)) wrong.push(`${name}: is another value`);
    } catch (error) {
      wrong.push(`${name}: ${error}`);
    }
  }
  const asked = stub as unknown as Record<string, Promise<{ roots: string[] } | undefined>>;
  const description = await asked["capnode:describe"];
  if (description?.roots[0] !== "Values") wrong.push(`the description: ${JSON.stringify(description)}`);
  return wrong;
}
