// The messages of one room: what is stored, what is under way, and lines between them. An element stays the same while its
// message goes from sending to sent, so nothing jumps and a screen reader says it once.
import { isAfter } from '../chat/messages.js';
import { avatar, byId, element, soon } from './dom.js';

const PAGE = 50;
const TOGETHER_MS = 5 * 60_000; // of one sender, under one name
const NOTICES_MAX = 50;
const NEAR_PX = 80;

const keyOf = (entry) => entry.key ?? entry.id;
const timeOf = (entry) => entry.__createdtime__ ?? entry.at;
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });

function grouped(notices) {
  const found = new Map();
  for (const each of notices) found.set(each.after, [...(found.get(each.after) ?? []), each]);
  return found;
}

export class Timeline {
  #room = null;
  #chat;
  #onRead;
  #rows = new Map(); // by key; lines have keys of their own
  #limit = PAGE;
  #newFrom = null; // what was read when the room was opened, if there was more
  #notices = new WeakMap();
  #isLoading = false;
  #isFollowing = true; // whether the end is what is looked at
  #top = 0; // where one was scrolled to when it was last
  #draw = soon(() => this.draw());

  constructor(chat, onRead) {
    this.#chat = chat;
    this.#onRead = onRead;
    byId('scroll').addEventListener('scroll', () => this.#onScroll());
    byId('earlier').addEventListener('click', () => this.earlier());
    byId('newest').addEventListener('click', () => this.toEnd());
    document.addEventListener('visibilitychange', () => this.#draw());
    new ResizeObserver(() => this.#isFollowing && this.toEnd()).observe(byId('scroll'));
  }

  open(room) {
    this.#room = room;
    this.#limit = PAGE;
    this.#newFrom = room.unread ? room.readUpTo : null;
    this.#rows.clear();
    const log = byId('log');
    log.setAttribute('aria-live', 'off'); // what was there before is not news
    log.replaceChildren();
    this.draw();
    this.toEnd();
  }

  changed(room) { if (room === this.#room) this.#draw(); }

  notice(room, data) {
    const last = room.messages.findLast((each) => each.id);
    const kept = [...(this.#notices.get(room) ?? []), { after: last?.id ?? '', key: `notice-${data.__createdtime__}-${data.message}`, text: data.message }];
    this.#notices.set(room, kept.slice(-NOTICES_MAX));
    this.changed(room);
  }

  isAtEnd() {
    const scroll = byId('scroll');
    return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_PX;
  }

  /** Only who scrolled up has left the end: a growing draft takes it out of view, too, before the observer is told. */
  #follows() {
    const top = byId('scroll').scrollTop;
    if (this.isAtEnd()) [this.#isFollowing, this.#top] = [true, top];
    else if (top < this.#top) this.#isFollowing = false;
    return this.#isFollowing;
  }

  toEnd() {
    byId('scroll').scrollTop = byId('scroll').scrollHeight;
    this.#onScroll();
  }

  async earlier() {
    const room = this.#room;
    if (this.#isLoading || !room) return;
    this.#isLoading = true;
    if (room.messages.length <= this.#limit) await room.loadEarlier(PAGE);
    this.#limit += PAGE;
    this.#isLoading = false;
    const scroll = byId('scroll'), fromEnd = scroll.scrollHeight - scroll.scrollTop;
    if (room === this.#room) this.draw();
    scroll.scrollTop = scroll.scrollHeight - fromEnd;
  }

  draw() {
    const room = this.#room;
    if (!room) return;
    const wasAtEnd = this.#follows(), all = room.messages, log = byId('log');
    if (!wasAtEnd && this.#rows.size) this.#limit = Math.max(this.#limit, this.#rows.size);
    this.#arrange(log, this.#lines(all.slice(-this.#limit)));
    byId('earlier').hidden = all.length <= this.#limit && !room.hasEarlier;
    byId('empty').hidden = all.length > 0 || room.state !== 'joined';
    if (wasAtEnd) byId('scroll').scrollTop = byId('scroll').scrollHeight;
    this.#onScroll();
    if (room.state === 'joined') setTimeout(() => log.setAttribute('aria-live', 'polite'), 300);
  }

  /** What stands in the log, top to bottom: key, what decides how it looks, and how it is made. */
  #lines(entries) {
    const lines = [], room = this.#room, told = (id) => notices.get(id) ?? [];
    const notices = grouped(this.#notices.get(room) ?? []);
    const line = (key, kind, text) => lines.push({ key, look: text, make: () => element('li', `rule ${kind}`, text) });
    const noticeLine = ({ key, text }) => lines.push({ key, look: text, make: () => element('li', 'notice', text) });
    let before = null, today = '', hasNew = !this.#newFrom;
    if (entries.length === room.messages.length) told('').forEach(noticeLine);
    for (const entry of entries) {
      const length = lines.length;
      if (day.format(timeOf(entry)) !== today) line(`day-${(today = day.format(timeOf(entry)))}`, 'day', today);
      if (entry.id && entry.id === room.missedBefore) line('missed', 'missed', 'Some messages were missed here');
      if (!hasNew && entry.id && isAfter(entry.id, this.#newFrom)) line('new', 'new', 'New'), (hasNew = true);
      if (lines.length > length) before = null;
      const isFirst = before?.username !== entry.username || before?.user !== entry.user || timeOf(entry) - timeOf(before) > TOGETHER_MS;
      lines.push(this.#messageLine(entry, isFirst));
      told(entry.id).forEach(noticeLine);
      before = entry.id && told(entry.id).length ? null : entry;
    }
    return lines;
  }

  #messageLine(entry, isFirst) {
    const changed = entry.changed?.kind ?? '';
    const look = [entry.id, entry.state, isFirst, changed, entry.message, entry.error?.message].join('\n');
    return { key: keyOf(entry), look, make: () => this.#message(entry, isFirst) };
  }

  /** Makes the log's elements those of `lines`; what looks as before is left alone. */
  #arrange(log, lines) {
    const kept = new Map();
    let place = log.firstChild;
    for (const { key, look, make } of lines) {
      let row = this.#rows.get(key);
      if (row?.look !== look) row = { look, node: this.#renewed(row?.node, make()) };
      kept.set(key, row);
      if (row.node === place) place = place.nextSibling;
      else log.insertBefore(row.node, place);
    }
    for (const [key, { node }] of this.#rows) if (kept.get(key)?.node !== node) node.remove();
    this.#rows = kept;
  }

  #renewed(old, made) {
    if (!old) return made;
    old.className = made.className;
    if (made.dataset.id) old.dataset.id = made.dataset.id;
    old.replaceChildren(...made.childNodes);
    return old;
  }

  #message(entry, isFirst) {
    const isOwn = entry.key !== undefined || (this.#chat.user ? entry.user === this.#chat.user : !entry.user && entry.username === this.#chat.username);
    const isRedacted = entry.changed?.kind === 'redacted';
    const row = element('li', `message is-${entry.state}${isFirst ? ' is-first' : ''}${isOwn ? ' is-own' : ''}${isRedacted ? ' is-redacted' : ''}`);
    if (entry.id) row.dataset.id = entry.id;
    const by = element('div', 'by');
    const when = new Date(timeOf(entry));
    by.append(element('b', '', entry.username ?? this.#chat.username ?? 'You'), element('time', '', clock.format(when), { datetime: when.toISOString() }));
    const text = element('div', 'text', isRedacted ? 'This message was removed.' : entry.message);
    if (entry.changed?.kind === 'edited') text.append(' ', element('span', 'edited', '(edited)'));
    row.append(avatar(entry.username ?? '?'), by, text, this.#state(entry, isOwn));
    if (entry.state === 'failed') row.append(this.#trouble(entry));
    return row;
  }

  #state(entry, isOwn) {
    const state = element('span', 'state');
    const said = { sending: 'Sending', failed: 'Not sent', sent: isOwn ? 'Sent' : '' }[entry.state];
    if (said) state.append(element('span', 'hidden', said));
    if (said) state.title = said;
    return state;
  }

  #trouble(entry) {
    const row = element('div', 'trouble', `Not sent: ${entry.error?.message ?? 'it was refused'} `);
    const again = element('button', 'quiet', 'Retry', { type: 'button' }), away = element('button', 'quiet', 'Discard', { type: 'button' });
    again.addEventListener('click', () => this.#room.retry(entry.key));
    away.addEventListener('click', () => this.#room.discard(entry.key));
    row.append(again, away);
    return row;
  }

  #onScroll() {
    const isAtEnd = this.#follows();
    if (isAtEnd && document.visibilityState === 'visible') this.#onRead(this.#room);
    byId('newest').hidden = isAtEnd || !this.#room?.unread;
    if (byId('scroll').scrollTop < 40 && !byId('earlier').hidden && !isAtEnd) this.earlier();
  }
}
