// The page: a name, rooms, and what is said in them. All that must survive a broken connection is chat.js's.
import { connect } from '../chat.js';
import { byId, element, remember, soon } from './dom.js';
import { People } from './people.js';
import { drawRooms, short } from './rooms.js';
import { Timeline } from './timeline.js';

const ROOMS_MAX = 30;
const NOTHING_MS = 400; // a break that is over by then is not worth a word
const meta = (name) => document.querySelector(`meta[name="gateway-${name}"]`).content;
const root = new URL('..', import.meta.url);
const auth = meta('auth');
const wide = matchMedia('(min-width: 1100px)'); // there is room for the people beside the messages

byId('token-field').hidden = auth === 'off';
byId('name').required = auth === 'off';
byId('token').required = auth === 'required';
byId('name').value = remember.get('name') ?? '';
byId('room').value = roomInAddress() ?? remember.get('room') ?? 'lobby';
byId(byId('name').value ? 'room' : 'name').focus();
byId('enter').addEventListener('submit', (event) => {
  event.preventDefault();
  enter(byId('name').value.trim(), byId('token').value.trim(), byId('room').value.trim());
});

function roomInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    return null;
  }
}

function enter(name, token, first) {
  const chat = connect({
    url: root.origin,
    path: new URL(`.${meta('path')}`, root).pathname,
    username: name || undefined,
    token: token ? async () => token : undefined,
    persist: true,
  });
  remember.set('name', name);
  chat.room(first);
  const end = chat.on('state', (state) => {
    if (state === 'online' || (state === 'waiting' && !chat.error)) {
      end();
      new Page(chat).start(first);
    } else if (state === 'refused') {
      end();
      chat.close();
      refused(chat.error);
    }
  });
}

function refused(error) {
  byId('refused').hidden = false;
  byId('refused').textContent = error?.message ?? 'The gateway does not let you in.';
}

class Page {
  #chat;
  #current = null;
  #wasOnline = false;
  #timeline;
  #people;
  #drafts = new Map();
  #known = new WeakSet();
  #listed = soon(() => this.#list());
  #banner = soon(() => this.#drawBanner(), NOTHING_MS);

  constructor(chat) {
    this.#chat = chat;
    this.#timeline = new Timeline(chat, (room) => room?.markRead());
    this.#people = new People(chat);
  }

  start(first) {
    byId('start').hidden = true;
    byId('chat').hidden = false;
    this.#showPeople(wide.matches);
    this.#listen();
    const rooms = [first, ...(remember.get('rooms') ?? [])].filter((name, place, all) => all.indexOf(name) === place);
    for (const name of rooms.slice(0, ROOMS_MAX)) this.#add(name);
    this.open(this.#chat.room(first));
    this.#me();
    this.#onState();
    setInterval(() => this.#drawBanner(), 1000);
  }

  #listen() {
    const chat = this.#chat;
    chat.on('state', () => this.#onState());
    chat.on('welcome', () => this.#me());
    chat.on('change', (room) => this.#onChange(room));
    byId('compose').addEventListener('submit', (event) => { event.preventDefault(); this.#say(); });
    byId('text').addEventListener('keydown', (event) => this.#onKey(event));
    byId('text').addEventListener('input', () => byId('text').value && this.#current?.typing());
    byId('add-room').addEventListener('submit', (event) => { event.preventDefault(); this.#onAdd(); });
    byId('back').addEventListener('click', () => this.#view('rooms'));
    byId('leave').addEventListener('click', () => this.#leave());
    byId('now').addEventListener('click', () => chat.connect());
    byId('sign-out').addEventListener('click', () => { chat.close(); location.reload(); });
    byId('show-people').addEventListener('click', () => this.#showPeople(!byId('chat').classList.contains('has-people')));
    byId('hide-people').addEventListener('click', () => this.#showPeople(false));
    document.addEventListener('keydown', (event) => this.#onAnyKey(event));
    wide.addEventListener('change', () => this.#showPeople(wide.matches));
    addEventListener('hashchange', () => roomInAddress() && this.open(this.#add(roomInAddress())));
  }

  open(room) {
    if (this.#current) this.#drafts.set(this.#current, byId('text').value);
    this.#current = room;
    remember.set('room', room.name);
    history.replaceState(null, '', `#${encodeURIComponent(room.name)}`);
    byId('title').textContent = room.name;
    byId('text').value = this.#drafts.get(room) ?? '';
    byId('text').placeholder = room.name.length > 16 ? 'Write a message' : `Write to ${room.name}`;
    this.#view('room');
    this.#timeline.open(room);
    this.#people.open(room);
    this.#typing();
    this.#list();
    if (matchMedia('(hover: hover)').matches) byId('text').focus();
  }

  #add(name) {
    const room = this.#chat.room(name);
    if (!this.#known.has(room)) {
      this.#known.add(room);
      room.on('notice', (data) => { this.#timeline.notice(room, data); this.#people.changed(room); });
      remember.set('rooms', this.#chat.rooms.map((each) => each.name));
    }
    return room;
  }

  #onAdd() {
    const name = byId('new-room').value.trim();
    byId('new-room').value = '';
    if (name && this.#chat.rooms.length < ROOMS_MAX) this.open(this.#add(name));
  }

  #leave() {
    const room = this.#current;
    room.leave();
    const rest = this.#chat.rooms;
    remember.set('rooms', rest.map((each) => each.name));
    if (rest.length) this.open(rest[0]);
    else byId('sign-out').click();
  }

  #say() {
    const field = byId('text'), text = field.value.trim();
    if (!text) return;
    try {
      this.#current.send(text);
      field.value = '';
      this.#timeline.toEnd();
    } catch (tooMany) {
      this.#tell(tooMany.message);
    }
    field.focus();
  }

  #onKey(event) {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#say();
  }

  #onAnyKey(event) {
    const step = event.altKey && { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step) {
      event.preventDefault();
      const rooms = this.#chat.rooms;
      this.open(rooms[(rooms.indexOf(this.#current) + step + rooms.length) % rooms.length]);
    } else if (event.key === 'Escape') {
      this.#showPeople(false);
    }
  }

  #onChange(room) {
    this.#timeline.changed(room);
    this.#listed();
    if (room !== this.#current) return;
    this.#typing();
    if (room.wasState !== room.state) this.#people.changed(room);
    room.wasState = room.state;
  }

  #onState() {
    const { state, error } = this.#chat;
    if (state === 'online') this.#wasOnline = true;
    if (state === 'refused') this.#tell(error?.message ?? 'The gateway does not let you in.');
    else this.#banner();
  }

  #drawBanner() {
    const { state, retryAt } = this.#chat;
    if (state === 'refused') return;
    byId('banner').hidden = state === 'online';
    byId('now').hidden = state !== 'waiting';
    const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
    const said = this.#wasOnline ? 'Connection lost. What you write is kept and sent later.' : 'Connecting…';
    const text = state === 'waiting' && seconds > 1 ? `${said} Next try in ${seconds} s.` : said;
    if (byId('banner-text').textContent !== text) byId('banner-text').textContent = text;
  }

  #tell(text) {
    byId('banner').hidden = false;
    byId('now').hidden = this.#chat.state !== 'refused';
    byId('banner-text').textContent = text;
  }

  #typing() {
    const names = this.#current.typers, who = names.length > 2 ? ['Several people'] : names, line = byId('typing');
    const does = ['', ' is typing…'][names.length] ?? ' are typing…';
    if (line.textContent === who.join(' and ') + does) return;
    line.replaceChildren(...who.flatMap((name, place) => [place ? ' and ' : '', element('bdi', '', name)]), does);
  }

  #list() {
    const unread = drawRooms(this.#chat.rooms, this.#current, (room) => this.open(room));
    document.title = `${unread ? `(${short(unread)}) ` : ''}${this.#current?.name ?? ''} · Chat`;
  }

  #me() { byId('me').textContent = this.#chat.username ?? ''; }
  #view(name) { byId('chat').dataset.view = name; }

  #showPeople(isShown) {
    byId('chat').classList.toggle('has-people', isShown);
    byId('show-people').setAttribute('aria-expanded', String(isShown));
    if (!isShown) byId('text').focus();
  }
}
