// npm's capnweb, in the version that is named by `--capnweb VERSION`; without that, the one the other scripts are written for.

const at = process.argv.indexOf("--capnweb");
const version = at < 0 ? undefined : process.argv[at + 1];
const capnweb = await import(version === undefined ? "capnweb" : `capnweb-${version}`);

// True for this minor version and later ones.
export const since = (minor) => version === undefined || Number(version.split(".")[1]) >= minor;
export const newest = version === undefined;

export const {
  newHttpBatchRpcSession,
  newWebSocketRpcSession,
  nodeHttpBatchRpcResponse,
  RpcPromise,
  RpcSession,
  RpcStub,
  RpcTarget,
} = capnweb;

// Text messages over an open WebSocket. Early versions have such a class and do not export it.
class SocketTransport {
  #socket;
  #queue = [];
  #waiting;
  #error;

  constructor(socket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      if (this.#waiting) this.#waiting.resolve(data);
      else this.#queue.push(data);
      this.#waiting = undefined;
    });
    socket.addEventListener("close", ({ code, reason }) => {
      this.#error ??= new Error(`Peer closed WebSocket: ${code} ${reason}`);
      this.#waiting?.reject(this.#error);
      this.#waiting = undefined;
    });
  }

  async send(message) {
    this.#socket.send(message);
  }

  async receive() {
    if (this.#queue.length > 0) return this.#queue.shift();
    if (this.#error) throw this.#error;
    return new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
  }

  abort(reason) {
    this.#error ??= reason;
    this.#socket.close(3000, String(reason?.message ?? reason).slice(0, 120));
  }
}

export const WebSocketTransport = capnweb.WebSocketTransport ?? SocketTransport;
