// One room of chat.js: joining it again, what is said in it, unread, typing.
import { epochOf, isAfter, Messages, seqOf } from './messages.js';
import { Emitter, pause } from './socket.js';

const QUEUE_MAX = 100; // waiting messages
const TYPING_SAID_MS = 4_000; // said at most so often
const TYPING_SHOWN_MS = 6_000; // and shown for so long
const READ_SAID_MS = 500;

/** One room: what was said in it, what is still to be said, and who is typing. `Chat.room` makes it. */
export class Room extends Emitter {
  #chat;
  #messages = new Messages();
  #replay = null; // while a join is open: what it has brought so far
  #position = null; // the last position up to which nothing is missing
  #read = null;
  #sinceAsked = null;
  #hadGap = false;
  #isFlushing = false;
  #isAsking = false; // `join` is not answered yet
  #isAtStart = false; // nothing older is kept
  #typers = new Map();
  #saidTypingAt = -Infinity;
  #readTimer;
  name;
  state = 'joining';
  error = null;
  count = 0;
  isAsked = false; // by CONNECT, or by `join`
  missedBefore = null;

  constructor(chat, name) {
    super();
    this.#chat = chat;
    this.name = name;
    this.#read = chat.stored.get(`read:${name}`);
    const kept = chat.stored.all(`queue:${name}:`).sort((one, other) => one.at - other.at);
    for (const entry of kept) this.#messages.queue.push({ ...entry, state: 'sending' });
  }

  get messages() { return this.#messages.shown; }
  get typers() { return [...this.#typers.keys()]; }
  get position() { return this.#position; }
  get readUpTo() { return this.#read; }
  get hasEarlier() {
    const first = this.#messages.list[0];
    return first !== undefined && !this.#isAtStart && seqOf(first.id) > 1;
  }

  get unread() {
    if (!this.#position || !this.#read || epochOf(this.#read) !== epochOf(this.#position)) return 0;
    return Math.max(0, seqOf(this.#position) - seqOf(this.#read));
  }

  send(message, meta) {
    if (this.#messages.queue.length >= QUEUE_MAX) throw new RangeError('Too many messages are waiting.');
    const { username, user } = this.#chat;
    this.#saidTypingAt = -Infinity;
    return this.#enqueue({ room: this.name, message, at: Date.now(), username, ...(user && { user }), ...(meta && { meta }) });
  }

  retry(key) {
    const entry = this.#messages.failed(key);
    if (!entry) return;
    this.#forget(entry);
    this.#enqueue({ ...entry, error: undefined, triedAt: undefined }); // it is said now
  }

  discard(key) {
    const entry = this.#messages.failed(key);
    if (entry) this.#forget(entry);
    this.#changed();
  }

  async loadEarlier(limit = 50) {
    if (!this.hasEarlier) return 0;
    const first = this.#messages.list[0];
    const answer = await this.#chat.ask('history', { room: this.name, before: first.id, limit });
    if (!answer.ok || this.#messages.list[0] !== first) return 0;
    this.#isAtStart = !answer.messages.length;
    this.#messages.list.unshift(...answer.messages.map((each) => ({ ...each, state: 'sent' })));
    this.#changed();
    return answer.messages.length;
  }

  markRead(id = this.#position) {
    if (!id || id === this.#read || (this.#read && isAfter(this.#read, id))) return;
    this.#read = id;
    this.#chat.stored.set(`read:${this.name}`, id);
    this.#changed();
    if (!this.#chat.user) return;
    clearTimeout(this.#readTimer);
    this.#readTimer = setTimeout(() => this.#chat.ask('read', { room: this.name, id: this.#read }), READ_SAID_MS);
  }

  typing() {
    if (Date.now() - this.#saidTypingAt < TYPING_SAID_MS) return;
    this.#saidTypingAt = Date.now();
    this.signal('typing');
  }

  signal(kind, data) { this.#chat.say('signal', { room: this.name, kind, data }); }
  members() { return this.#chat.ask('members', { room: this.name }); }

  leave() {
    this.#chat.forgetRoom(this);
    this.state = 'left';
    return this.#chat.ask('leave', { room: this.name });
  }

  // -- from Chat

  /** What CONNECT or `join` say of this room; its replay begins. */
  request() {
    Object.assign(this, { state: 'joining', isAsked: true });
    this.#replay = [];
    this.#hadGap = false;
    this.#sinceAsked = this.#position;
    const { username } = this.#chat.options;
    return { room: this.name, ...(username && { username }), ...(this.#position && { since: this.#position }) };
  }

  async join() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const answer = await this.#chat.ask('join', this.request());
    this.#isAsking = false;
    this.onAnswer(answer);
  }

  onAnswer(answer) {
    if (this.state !== 'joining' || this.#isAsking) return;
    if (answer.ok) return this.#joined(answer);
    if (!answer.retryable) return this.onRemoved(answer);
    this.isAsked = false;
    setTimeout(() => this.#joinAgain(), answer.retry_after_ms ?? 500 + 1000 * Math.random());
  }

  #joinAgain() { if (this.#chat.isOnline && this.state === 'joining' && !this.isAsked) this.join(); }

  onDisconnected() {
    if (this.state === 'joined') this.state = 'joining';
    this.#replay = null;
    this.isAsked = false;
    this.#changed();
  }

  onRemoved(error) {
    Object.assign(this, { state: 'refused', error });
    for (const entry of this.#messages.queue) Object.assign(entry, { state: 'failed', error });
    this.#changed();
  }

  onReceive(data) {
    this.#stopTyping(data.username);
    if (!data.id) this.tell('notice', data);
    else if (this.#replay) this.#replay.push(data);
    else this.#take(data);
  }

  onChanged(change) {
    this.#messages.change(change, this.#replay ?? []);
    this.#changed();
  }

  onGap() {
    this.#hadGap = true;
    if (this.#replay) this.#replay = []; // it is told once the join is answered
    else this.#messages.list = [];
    this.#changed();
    if (!this.#replay) this.#tellGap();
  }

  onSignal(data) {
    if (data.kind === 'typing') {
      clearTimeout(this.#typers.get(data.username));
      this.#typers.set(data.username, setTimeout(() => this.#stopTyping(data.username), TYPING_SHOWN_MS));
      this.#changed();
    }
    this.tell('signal', data);
  }

  onRead(data) {
    if (data.user === this.#chat.user && !(this.#read && isAfter(this.#read, data.id))) this.#read = data.id;
    this.tell('read', data);
    this.#changed();
  }

  onUnread({ read }) {
    if (read && !(this.#read && isAfter(this.#read, read))) this.#read = read;
    this.#changed();
  }

  #joined(answer) {
    const replay = this.#replay ?? [], before = this.#messages.list;
    this.#replay = null;
    Object.assign(this, { state: 'joined', error: null, count: answer.count });
    const isWhole = answer.recovered && !this.#hadGap;
    if (!isWhole) this.#messages.list = [];
    for (const data of replay) this.#messages.hear(data);
    this.#position = replay.at(-1)?.id ?? answer.id;
    if (!isWhole) this.#afterReload(before);
    this.#read ??= this.#position;
    this.#changed();
    this.#flush();
  }

  /** All was replaced. What was acknowledged and has not been heard yet is still to come. */
  #afterReload(before) {
    const hadSeen = this.#hadGap || (before.length > 0 && this.#sinceAsked !== this.#position);
    this.#hadGap = this.#isAtStart = false;
    this.missedBefore = hadSeen ? this.#messages.list[0]?.id ?? null : null;
    for (const entry of before) if (entry.isUnheard && isAfter(entry.id, this.#position)) this.#messages.insert(entry);
    if (hadSeen) this.#tellGap();
  }

  #tellGap() {
    this.tell('gap', this);
    this.#chat.tell('gap', this);
  }

  #take(data) {
    if (this.#hadGap) [this.#hadGap, this.missedBefore] = [false, data.id];
    this.#messages.hear(data);
    this.#messages.trim();
    this.#position = data.id;
    this.#changed();
  }

  /** Sends what waits, one after the other, so that own messages keep their order. */
  async #flush() {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    let paceMs = 0; // once it was too fast, the rest goes slower, and slower still until nothing is refused
    for (let entry, tries = 0; this.state === 'joined' && (entry = this.#messages.next()); tries++) {
      const answer = this.#messages.judgeOld(entry) ?? (await this.#deliver(entry));
      if (answer.ok) this.#stored(entry, answer.id);
      else if (!answer.retryable) Object.assign(entry, { state: 'failed', error: answer });
      else if (answer.code === 'not_joined') this.join();
      else await pause(answer.retry_after_ms ?? Math.min(5_000, 200 * 2 ** Math.min(tries, 5)) * (0.5 + Math.random() / 2));
      if (answer.code === 'rate_limited') paceMs = Math.max(1.5 * paceMs, 1.1 * (answer.retry_after_ms ?? 50));
      if (answer.ok || !answer.retryable) tries = -1;
      if (!answer.ok && !answer.retryable) entry.heardAs = undefined;
      this.#changed();
      if (answer.ok && paceMs) await pause(paceMs);
    }
    this.#isFlushing = false;
  }

  #deliver(entry) {
    entry.triedAt ??= Date.now();
    entry.username ??= this.#chat.username;
    this.#keep(entry);
    return this.#chat.ask('send', { room: this.name, message: entry.message, meta: entry.meta, idempotency_key: entry.key });
  }

  #stored(entry, id) {
    this.#forget(entry);
    this.#messages.stored(entry, id, this.#position);
  }

  #enqueue(what) {
    const entry = this.#messages.add(what);
    if (this.state === 'refused') Object.assign(entry, { state: 'failed', error: this.error });
    this.#keep(entry);
    this.#changed();
    this.#flush();
    return entry;
  }

  #keep({ key, message, meta, username, at, triedAt }) {
    this.#chat.stored.set(`queue:${this.name}:${key}`, { key, room: this.name, message, meta, username, at, triedAt });
  }

  #forget(entry) {
    this.#messages.drop(entry);
    this.#chat.stored.set(`queue:${this.name}:${entry.key}`, null);
  }

  #stopTyping(username) {
    clearTimeout(this.#typers.get(username));
    if (this.#typers.delete(username)) this.#changed();
  }

  #changed() {
    this.#messages.changed();
    this.tell('change', this);
    this.#chat.tell('change', this);
  }
}
