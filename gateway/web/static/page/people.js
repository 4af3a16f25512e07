// Who is in the room: asked when it is opened and when somebody comes or goes.
import { avatar, byId, element, soon } from './dom.js';

const ASKED_AGAIN_MS = 30_000;

export class People {
  #room = null;
  #chat;
  #count = null;
  #ask = soon(() => this.#asked(), 200);

  constructor(chat) {
    this.#chat = chat;
    setInterval(() => document.visibilityState === 'visible' && this.#ask(), ASKED_AGAIN_MS);
  }

  open(room) {
    this.#room = room;
    this.#count = null;
    byId('members').replaceChildren();
    this.#about();
    this.#ask();
  }

  changed(room) { if (room === this.#room) this.#ask(); }

  async #asked() {
    const room = this.#room;
    if (room?.state !== 'joined') return this.#about();
    const answer = await room.members();
    if (room !== this.#room || !answer.ok) return this.#about();
    this.#count = answer.count;
    const users = new Map((answer.users ?? []).map((each) => [each.username, each.user]));
    const rows = [...answer.members].sort((one, other) => one.localeCompare(other)).map((name) => this.#row(name, users.get(name)));
    const more = answer.count - answer.members.length;
    if (more > 0) rows.push(element('li', '', `and ${more} more`));
    byId('members').replaceChildren(...rows);
    this.#about();
  }

  #row(name, user) {
    const row = element('li'), shown = element('span', '', name);
    if (user ? user === this.#chat.user : name === this.#chat.username) shown.append(element('em', '', ' (you)'));
    row.append(avatar(name), shown);
    return row;
  }

  #about() {
    const room = this.#room;
    const said = { joining: this.#chat.isOnline ? 'Joining…' : 'Offline', left: 'You left this room', refused: room?.error?.message ?? 'You cannot be in this room' }[room?.state];
    const here = this.#count === 1 ? 'Only you are here' : `${this.#count} people here`;
    byId('about').textContent = said ?? (this.#count === null ? '' : here);
  }
}
