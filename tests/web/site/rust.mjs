// The program in Rust, and its loading. The files of this folder are bundled into `pkg`.
import init from "../pkg/page.js";

export * from "../pkg/page.js";
export const load = () => init({ module_or_path: new URL("page_bg.wasm", import.meta.url) });
