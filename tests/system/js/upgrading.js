// Many stock clients at once that join and send while they move from polling to WebSocket.
//
//   node upgrading.js '{"url": …, "room": …, "clients": n, "sends": n, "pauseMs": n, "limitMs": n}'
//
// When each has its sends acknowledged, has moved, and has the room's last message (or the time is up), it prints
//   {"transport": …, "at": id at join, "sent": [ids], "received": [[id, text, transport at that time]…], "connects": n}
"use strict";
const { io } = require("socket.io-client");

const { url, room, clients, sends, pauseMs, limitMs } = JSON.parse(process.argv[2]);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const timeIsUp = pause(limitMs);

async function run(number) {
  const socket = io(url, { transports: ["polling", "websocket"], forceNew: true, reconnection: false });
  const seen = { transport: "", at: "", sent: [], received: [], connects: 0 };
  const transport = () => socket.io.engine.transport.name;
  const hasLast = new Promise((resolve) =>
    socket.on("receive", ({ id, message }) => {
      if (id) seen.received.push([id, message, transport()]);
      if (id && id.endsWith(`:${clients * sends}`)) resolve();
    }),
  );
  socket.on("connect", () => seen.connects++);
  await new Promise((resolve) => socket.once("connect", resolve));
  const hasMoved = new Promise((resolve) => {
    if (transport() === "websocket") resolve();
    else socket.io.engine.once("upgrade", resolve);
  });
  const joined = await socket.emitWithAck("join", { username: `js-${number}`, room });
  seen.at = joined.id;
  const answers = [];
  for (let each = 0; each < sends; each++) {
    answers.push(socket.emitWithAck("send", { room, message: `js-${number}-${each}` }));
    await pause(pauseMs);
  }
  for (const { id } of await Promise.all(answers)) seen.sent.push(id);
  await Promise.race([Promise.all([hasMoved, hasLast]), timeIsUp]);
  seen.transport = transport();
  return { socket, seen };
}

Promise.all(Array.from({ length: clients }, (_, number) => run(number))).then((all) => {
  for (const { socket, seen } of all) {
    process.stdout.write(JSON.stringify(seen) + "\n");
    socket.disconnect();
  }
  process.exitCode = 0;
  process.stdout.end(() => process.exit());
});
