// A worker. Its name says what it does: `serve`, `call DIALECT`, or `q` and `capnweb`, which serve by npm's packages.
import { newMessagePortRpcSession } from "capnweb";
import Connection from "q-connection";
import * as rust from "./rust.mjs";
import { Greeter, asPort, qGreeter } from "./greeter.mjs";

const [role, dialect] = self.name.split(" ");
const results = new BroadcastChannel("results");
const told = (lines) => results.postMessage(lines);

if (role === "q") {
  Connection(self, qGreeter());
} else if (role === "capnweb") {
  newMessagePortRpcSession(asPort(self), new Greeter());
} else {
  await rust.load();
  if (role === "serve") rust.serve(self).then(told, (error) => told(String(error)));
  else rust.call(self, dialect).then(told, (error) => told(String(error)));
}
// Of what was sent to a worker before it listens nothing arrives. The channel is not the port itself, whose messages the
// connection has.
results.postMessage("ready");
