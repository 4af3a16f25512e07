// chat.js in Node, driven by a test: one JSON command per line on standard input, one JSON answer per line on standard
// output, with the command's number. It adds nothing to what chat.js does by itself.
//
//   {"number", "do": "connect", "options": {url, path, username, persist, hasToken}, "rooms": […], "isStock": true}
//   {"number", "do": "token", "token": …}              what `token` gives from now on; null: it throws
//   {"number", "do": "send", "room", "text"}           → the entry
//   {"number", "do": "call", "room", "method", "arguments"}  a method of a room; of the chat without a room
//   {"number", "do": "look", "room"}                   → all that a page would show
//   {"number", "do": "stop"}
//
// STORAGE names a file that stands for the browser's localStorage.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import readline from 'node:readline';

const require = createRequire(import.meta.url);
globalThis.WebSocket ??= createRequire(require.resolve('engine.io-client'))('ws').WebSocket;
if (process.env.STORAGE) globalThis.localStorage = storage(process.env.STORAGE);
const { connect } = await import('../../../gateway/web/static/chat.js');

let chat, token;
const told = { gaps: 0, states: [], errors: [], signals: [], tokens: 0, worst: [] };

function storage(file) {
  const kept = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file)) : {};
  const write = () => fs.writeFileSync(file, JSON.stringify(kept));
  const methods = {
    getItem: (name) => kept[name] ?? null,
    setItem: (name, value) => { kept[name] = value; write(); },
    removeItem: (name) => { delete kept[name]; write(); },
  };
  return new Proxy(kept, { get: (_, name) => methods[name] ?? kept[name] });
}

// What a person could see at any moment: the same id twice, or the same own text twice, is a fault.
function watch(room) {
  const ids = room.messages.map((each) => each.id).filter(Boolean), texts = room.messages.filter((each) => each.username === chat.username).map((each) => each.message);
  if (new Set(ids).size !== ids.length) told.worst.push(['ids', ids]);
  if (new Set(texts).size !== texts.length) told.worst.push(['texts', texts]);
}

const commands = {
  connect({ options, rooms = [], isStock }) {
    if (isStock) options.io = require('socket.io-client').io;
    if (options.hasToken) options.token = async () => { told.tokens++; if (token === null) throw new Error('away'); return token; };
    chat = connect({ ...options, onGap: () => told.gaps++ });
    chat.on('state', (state) => told.states.push(state));
    chat.on('error', (error) => told.errors.push(error));
    chat.on('change', watch);
    for (const name of rooms) chat.room(name).on('signal', (signal) => told.signals.push(signal));
  },
  token({ token: next }) { token = next; },
  send({ room, text }) { return { ...chat.room(room).send(text) }; },
  call({ room, method, arguments: values = [] }) { return (room ? chat.room(room) : chat)[method](...values); },
  look({ room: name }) {
    const { messages, state, error, unread, typers, missedBefore, position, readUpTo, hasEarlier, count } = chat.room(name);
    return { messages, state, error, unread, typers, missedBefore, position, readUpTo, hasEarlier, count, chat: chat.state, user: chat.user, chatError: chat.error, ...told };
  },
  stop() { chat?.close(); setTimeout(() => process.exit(0), 50); },
};

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  const command = JSON.parse(line);
  const answer = await commands[command.do](command);
  process.stdout.write(JSON.stringify({ number: command.number, answer: answer ?? null }) + '\n');
});
lines.on('close', () => process.exit(0));
