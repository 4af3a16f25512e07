// The chat service's events on Node Socket.IO with the Redis adapter: node server.js PORT REDIS_PORT
//
// What one would write with the library's own means: history in a list, everything else by the adapter. It keeps no
// positions, limits or presence, so it does less than the gateway that it is compared with.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const HISTORY = 100;
const [port, redisPort] = process.argv.slice(2).map(Number);

const commands = createClient({ url: `redis://127.0.0.1:${redisPort}` });
const [publishing, subscribed] = [commands.duplicate(), commands.duplicate()];
await Promise.all([commands, publishing, subscribed].map((client) => client.connect()));

const http = createServer((request, response) => response.end("ready"));
const io = new Server(http, { adapter: createAdapter(publishing, subscribed), perMessageDeflate: false });

const listOf = (room) => `chat_history_${room}`;
const entry = (message, username) => ({ message, username, __createdtime__: Date.now() });

io.on("connection", (socket) => {
  const tellOthers = (room, message) => socket.to(room).emit("receive", entry(message, "ChatBot"));

  socket.on("join", async ({ username, room }, acknowledge) => {
    socket.join(room);
    for (const stored of await commands.lRange(listOf(room), 0, -1)) socket.emit("receive", JSON.parse(stored));
    tellOthers(room, `${username} has joined the room`);
    acknowledge?.({ ok: true });
  });

  socket.on("send", async ({ username, room, message }, acknowledge) => {
    const said = entry(message, username);
    await commands.multi().rPush(listOf(room), JSON.stringify(said)).lTrim(listOf(room), -HISTORY, -1).exec();
    io.to(room).emit("receive", said);
    acknowledge?.({ ok: true });
  });

  socket.on("leave", ({ username, room }) => {
    socket.leave(room);
    tellOthers(room, `${username} has left the room`);
  });
});

http.listen(port, "127.0.0.1");
