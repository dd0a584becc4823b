// The content of a frame. The fragment of its address says what it does, and the origin of the parent.
import Connection from "q-connection";
import * as rust from "./rust.mjs";
import { qGreeter } from "./greeter.mjs";
import { windowPort } from "./window_port.mjs";

const [role, parent, dialect] = decodeURIComponent(location.hash.slice(1)).split(" ");
const tell = (what) => window.parent.postMessage({ told: what }, "*");
const hello = ["stream", ["pipeline", 0, ["hello"], ["a stranger"]]];

let heard = 0;
window.addEventListener("message", (event) => {
  if (event.data === "how many?") tell(heard);
  else heard += 1;
});

await rust.load();
if (role === "serve") rust.serve_window(window.parent, parent).then(tell, (error) => tell(String(error)));
if (role === "call") rust.call_window(window.parent, parent, dialect).then(tell, (error) => tell(String(error)));
if (role === "q") Connection(windowPort(window.parent, parent), qGreeter());
// A module does not go to another agent, where the message is an error.
if (role === "garbage") window.parent.postMessage(new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])), "*");
if (role === "stranger") window.parent.postMessage(hello, "*");
tell("ready");
