// A transport of npm's capnweb between two sessions of this process.

export class MemoryTransport {
  #queue = [];
  #waiting;
  other;

  static pair() {
    const [a, b] = [new MemoryTransport(), new MemoryTransport()];
    [a.other, b.other] = [b, a];
    return [a, b];
  }

  // A message arrives in a later turn of the event loop, as from a socket.
  async send(message) {
    setImmediate(() => this.other.#arrive(message));
  }

  #arrive(message) {
    if (this.#waiting) this.#waiting(message);
    else this.#queue.push(message);
    this.#waiting = undefined;
  }

  receive() {
    if (this.#queue.length > 0) return Promise.resolve(this.#queue.shift());
    return new Promise((resolve) => (this.#waiting = resolve));
  }

  abort(reason) {
    this.aborted = reason;
  }
}
