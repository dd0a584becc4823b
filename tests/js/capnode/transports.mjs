// Transports of a Capnode peer. Each function connects the peer and returns the connection.
//
// `threw(error)` is called with the error that the peer threw on a message.

// One JSON text a message of the WebSocket. If the peer throws, the message is lost and the connection goes on.
export function overWebSocket(peer, socket, threw = () => {}) {
  const connection = peer.connect((message) => socket.send(JSON.stringify(message)));
  socket.on("message", (data) => {
    try {
      connection.receive(JSON.parse(data));
    } catch (error) {
      threw(error);
    }
  });
  return connection;
}

// A byte stream, as the real peer uses it: texts with nothing between them, and each chunk that is read has to be
// exactly one. If it is not, or the peer throws on the message, the stream is destroyed.
export function overStream(peer, socket, threw = () => {}) {
  const connection = peer.connect((message) => socket.write(JSON.stringify(message)));
  socket.on("data", (chunk) => {
    try {
      connection.receive(JSON.parse(chunk.toString()));
    } catch (error) {
      threw(error);
      socket.destroy();
    }
  });
  return connection;
}
