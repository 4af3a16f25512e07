// A program that uses all that chat.d.ts names, as somebody would who builds a page on it: `tsc --strict` must find nothing.
import { connect } from '../../../gateway/web/static/chat.js';
import type { Answer, Chat, Message, Options, Room, Signal, State } from '../../../gateway/web/static/chat.js';

const options: Options = {
  url: 'https://chat.example.org',
  path: '/apps/socket.io',
  username: 'Ada',
  token: async () => (await (await fetch('/chat-token')).json()).token as string,
  persist: true,
  io: (url, more) => ({ url, more }),
  onGap: (room) => console.warn(`Some messages of ${room.name} were missed.`),
};
const chat: Chat = connect(options);
connect({ token: async () => undefined }).close();
connect().connect();

const signs: Record<State, string> = { sending: '…', sent: '✓', failed: '!' };

export function line(entry: Message): string {
  const when = new Date(entry.__createdtime__ ?? entry.at ?? 0).toISOString();
  const text = entry.changed?.kind === 'redacted' ? `removed by ${entry.changed.by} at ${entry.changed.at}` : entry.message;
  const why = entry.state === 'failed' ? `${reason(entry.error)} ${entry.error.code}` : '';
  return [entry.id ?? entry.key, entry.room, entry.user ?? entry.username ?? '', when, text, String(entry.meta?.['reply_to'] ?? ''), signs[entry.state], why].join(' ');
}

function reason(answer: Answer | null | undefined): string {
  if (!answer || answer.ok) return '';
  const again = answer.retryable ? `again in ${answer.retry_after_ms ?? 0} ms` : 'for good';
  return `${answer.code}: ${answer.message} (${again}; ${typeof answer['reason']})`;
}

function draw(room: Room): void {
  const head = { joining: '…', joined: `${room.count} here`, refused: reason(room.error), left: 'left' }[room.state];
  const messages: readonly Message[] = room.messages;
  for (const entry of messages) console.log(entry.id === room.missedBefore ? '----' : '', line(entry));
  console.log(head, room.name, room.unread, room.readUpTo, room.position, room.hasEarlier, room.typers.join());
}

export async function visit(name: string): Promise<void> {
  const room = chat.room(name);
  const ends: (() => void)[] = [
    room.on('change', draw),
    room.on('gap', draw),
    room.on('signal', ({ room: where, kind, username, user, data }: Signal) => console.log(where, kind, user ?? username, data)),
    room.on('notice', ({ username, message, __createdtime__: at }) => console.log(new Date(at), username, message.trim())),
    room.on('read', ({ user, username, id }) => console.log(username ?? user, 'has read up to', id)),
    chat.on('state', (state) => console.log(state, chat.state === state, chat.isOnline, reason(chat.error), (chat.retryAt ?? 0) - Date.now())),
    chat.on('change', (changed) => changed === room && draw(changed)),
    chat.on('gap', draw),
    chat.on('error', (error) => console.log(reason(error))),
    chat.on('welcome', ({ user, username, expires_at: expiresAt, now }) => console.log(user, username ?? chat.username ?? chat.user, expiresAt - now)),
  ];
  const sent = room.send('Hello', { reply_to: 'a:1' });
  if (sent.state === 'failed') room.retry(sent.key);
  room.discard(sent.key);
  room.typing();
  room.signal('wave', { to: 'Bob' });
  room.signal('wave');
  const count: number = (await room.loadEarlier()) + (await room.loadEarlier(10));
  room.markRead();
  room.markRead(sent.id);
  const members: Answer = await room.members();
  const answer = await chat.ask('history', { room: name, limit: count });
  if (members.ok && answer.ok) console.log(chat.rooms.map((each) => each.name), members['members']);
  for (const end of ends) end();
  await room.leave();
}

// What the types forbid, since it would do nothing or something else.
// @ts-expect-error -- there is no such event
chat.on('message', () => {});
// @ts-expect-error -- messages are changed by the gateway alone
chat.room('lobby').messages.push();
// @ts-expect-error -- `token` is a function, called at each connect
connect({ token: 'a token' });
// @ts-expect-error -- a message is text; what else it carries is `meta`
chat.room('lobby').send({ text: 'Hello' });
