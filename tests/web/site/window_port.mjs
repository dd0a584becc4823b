// A port for q-connection over another window. Its own way is `Connection(window, local, { origin })`, which listens on the
// window that it posts to, and so hears its own messages instead of the other side's.
export const windowPort = (other, origin) => ({
  postMessage: (message) => other.postMessage(message, origin),
  addEventListener: (type, listener) => window.addEventListener(type, (event) => {
    if (event.source === other && event.origin === origin && typeof event.data === "string") listener(event);
  }),
});
