// Writes every frame of a WebSocket to standard error: `<` came in, `>` went out.
export function traceFrames(socket, name) {
  const show = (direction, data) => {
    const text = data.toString();
    console.error(`${name} ${direction} ${text.length > 300 ? `${text.slice(0, 300)}… (${text.length})` : text}`);
  };
  socket.on("message", (data) => show("<", data));
  socket.on("close", (code, reason) => show("<", `closed ${code} ${reason}`));
  const send = socket.send;
  socket.send = (data, ...rest) => {
    show(">", data);
    return send.call(socket, data, ...rest);
  };
}
