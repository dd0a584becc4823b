// A small Capnode 4.0.2 peer for tests. On the wire it behaves as the real one does, faults included:
//
// - it throws on what it does not understand (`null` leaves, unknown ids, late answers), and then does not answer,
// - a function that throws at once is not answered, only one whose promise is rejected,
// - a function listed twice in a value spoils what comes after it (see values.mjs),
// - functions live until they are deallocated, whoever holds them: ids belong to the peer, not to a connection,
// - calls that were not answered when a connection ends wait for ever.
//
//   const peer = new Peer(index);
//   const connection = peer.connect((message) => ...);   // called with each message to send
//   connection.receive(message);                          // to be called with each message that came; may throw
//   const remote = await connection.requestIndex();

import { randomBytes } from "node:crypto";
import { deserialize, serialize } from "./values.mjs";

const freshId = (bytes = 10) => randomBytes(bytes).toString("hex");

export class Peer {
  #functions = new Map(); // id -> function
  #ids = new Map(); // function -> id
  #remotes = new WeakMap(); // function of another peer -> { id, connection }
  #index;

  constructor(index) {
    // Computed once: it goes on naming functions that were deallocated.
    if (index !== undefined) {
      refuseNull(index);
      this.#index = this.serialize(index);
    }
  }

  connect(send) {
    return new Connection(this, send);
  }

  get index() {
    return this.#index;
  }

  // The id of a function of this peer, which makes it callable, or the id by which another peer knows its function.
  capId(f) {
    return this.#remotes.get(f)?.id ?? this.#idOf(f);
  }

  // Makes another peer forget a function of its own.
  dealloc(f) {
    const remote = this.#remotes.get(f);
    if (remote === undefined) throw new Error("Only functions of another peer can be deallocated.");
    return remote.connection.request("dealloc", { methodId: remote.id });
  }

  // The number of functions that others can call.
  get registered() {
    return this.#functions.size;
  }

  // A function that came from another peer and is passed on has an id here as any other: a call of it goes both ways.
  #idOf(f) {
    if (!this.#ids.has(f)) {
      const id = freshId();
      this.#ids.set(f, id);
      this.#functions.set(id, f);
    }
    return this.#ids.get(f);
  }

  serialize(value) {
    return serialize(value, (f) => this.#idOf(f));
  }

  lookup(id) {
    return this.#functions.get(id);
  }

  forget(id) {
    this.#ids.delete(this.#functions.get(id));
    this.#functions.delete(id);
  }

  remember(f, id, connection) {
    this.#remotes.set(f, { id, connection });
  }
}

class Connection {
  #peer;
  #send;
  #waiting = new Map(); // id of a request -> { resolve, reject }

  constructor(peer, send) {
    this.#peer = peer;
    this.#send = send;
  }

  requestIndex() {
    const id = freshId(20);
    return this.#ask(id, () => ({ type: "index", methodId: id }));
  }

  // A function of the other peer, by an id that was learned elsewhere.
  reconstruct(id) {
    if (!id) throw new Error("Reconstructing a remote method requires a methodId.");
    const call = (...args) => this.request("invocation", { methodId: id }, args);
    this.#peer.remember(call, id, this);
    return call;
  }

  request(type, { methodId }, args) {
    const replyId = freshId();
    return this.#ask(replyId, () => ({
      type,
      methodId,
      replyId,
      ...(args === undefined ? {} : { arguments: this.#peer.serialize(args) }),
    }));
  }

  // A value that cannot be written rejects the call.
  #ask(id, message) {
    return new Promise((resolve, reject) => {
      const text = message();
      this.#waiting.set(id, { resolve, reject });
      this.#send(text);
    });
  }

  receive(message) {
    if (!message) return;
    switch (message.type) {
      case "index":
        return this.#send({ type: "return", methodId: required(message.methodId), value: this.#peer.index });
      case "invocation":
        return this.#invoke(message);
      case "return":
        return this.#settle(message, "Unable to find return resolver.", ({ resolve }) => resolve(this.#read(message.value)));
      case "error":
        return this.#settle(message, "Unknown method.", ({ reject }) => reject(message));
      case "dealloc":
        this.#peer.forget(required(message.methodId));
        return this.#send({ type: "return", methodId: message.replyId });
      default:
        throw new Error("Unknown message type.");
    }
  }

  #invoke({ methodId, replyId, arguments: args }) {
    const f = this.#peer.lookup(methodId);
    if (f === undefined) throw new Error("Invocation requires a valid methodId");
    const answer = (value) => this.#send({ type: "return", methodId: replyId, value: this.#peer.serialize(value) });

    const result = f(...(this.#read(args) ?? [])); // an error goes to the caller of receive()
    if (typeof result?.then !== "function") return answer(result);
    result
      .then(answer)
      .catch((reason) => {
        // A reason that is nothing has no members: this rejects, and the other side never hears of it.
        this.#send({ type: "error", methodId: replyId, value: { message: reason.message, stack: reason.stack } });
      });
  }

  #settle({ methodId }, unknown, how) {
    const request = this.#waiting.get(required(methodId));
    if (request === undefined) throw new Error(unknown);
    how(request); // throws if it cannot be read, and then the call waits on
    this.#waiting.delete(methodId);
  }

  #read(value) {
    return value === undefined ? undefined : deserialize(value, (id) => this.reconstruct(id));
  }
}

function required(id) {
  if (typeof id !== "string" || id === "") throw new Error("Missing methodId parameter.");
  return id;
}

function refuseNull(value, seen = new Set()) {
  if (value === null) throw new TypeError("Cannot convert undefined or null to object");
  if (typeof value !== "object" || seen.has(value)) return;
  seen.add(value);
  for (const member of Object.values(value)) refuseNull(member, seen);
}
