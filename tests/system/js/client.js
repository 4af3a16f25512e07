// The stock JavaScript client, driven by a test: one JSON command per line on standard input, one JSON event per
// line on standard output. It adds nothing to what socket.io-client does by itself.
//
//   {"do": "connect", "url": …, "options": {…}}      → {"what": "connect", "sid": …, "transport": …}
//                with "rooms": [{"room", "username"}…] or "token", its `auth` function names them at every connect,
//                each room with the last `id` that it saw there
//   {"do": "token", "token": …}                      what `auth` shows from now on
//   {"do": "again"}                                  connects, as an application does after a refusal
//   {"do": "emit", "arguments": [event, data…]}
//   {"do": "call", "number": n, "arguments": […]}    → {"what": "acknowledged", "number": n, "data": […]}
//   {"do": "snippet", "path": …}                     runs a file that expects `socket`
//   {"do": "disconnect"}
//
// In any of them {"$base64": …} stands for a Buffer.
//
// and, as they happen: {"what": "event", "arguments": […]}, {"what": "disconnect", "reason": …},
// {"what": "refused", "reason": …}, {"what": "transport", "name": …}.
"use strict";
const fs = require("node:fs");
const readline = require("node:readline");
const { io } = require("socket.io-client");

let socket, token;
const last = {};
const say = (what, more) => process.stdout.write(JSON.stringify({ what, ...more }) + "\n");

function watch() {
  socket.on("connect", () => {
    const engine = socket.io.engine;
    say("connect", { sid: engine.id, transport: engine.transport.name });
    engine.on("upgrade", (transport) => say("transport", { name: transport.name }));
  });
  socket.on("disconnect", (reason) => say("disconnect", { reason }));
  socket.on("connect_error", (error) => say("refused", { reason: error.message, data: error.data }));
  socket.on("receive", ({ room, id }) => { if (id) last[room] = id; });
  socket.onAny((...values) => say("event", { arguments: values }));
}

function auth(rooms) {
  return { token, join: rooms?.map((room) => ({ ...room, since: last[room.room] })) };
}

const commands = {
  token({ token: next }) {
    token = next;
  },
  connect({ url, options, rooms, token: first }) {
    token = first;
    if (rooms || token) options.auth = (show) => show(auth(rooms));
    socket = io(url, options);
    watch();
  },
  again() {
    socket.connect();
  },
  emit({ arguments: values }) {
    socket.emit(...values);
  },
  call({ number, arguments: values }) {
    socket.emit(...values, (...data) => say("acknowledged", { number, data }));
  },
  snippet({ path }) {
    new Function("socket", fs.readFileSync(path, "utf8"))(socket);
  },
  disconnect() {
    socket.disconnect();
  },
};

const lines = readline.createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const command = JSON.parse(line, (_, value) => (value?.$base64 === undefined ? value : Buffer.from(value.$base64, "base64")));
  commands[command.do](command);
});
lines.on("close", () => process.exit(0));
