// A chat client that does what every client must do (docs/chat-js.md): it joins again with `since` at every connect, keeps
// one queue of messages with their keys, shows one entry per id, and says where messages were missed. Without an `io` of
// your own it speaks Socket.IO 5 over WebSocket by itself. It needs nothing but the folder `chat` beside it.
import { Room } from './chat/room.js';
import { Emitter, pause, Stored, WebSocketClient } from './chat/socket.js';

const ANSWER_MS = 15_000; // a connection that leaves a question unanswered for so long is taken for dead
const LONGEST_PAUSE_MS = 30_000;
const LASTS_MS = 10_000; // a connection that held so long was a good one: the pauses begin anew
const JOINS_AT_CONNECT = 100; // as many as CONNECT may name
const NO_ANSWER = Object.freeze({ ok: false, retryable: true, code: 'no_answer', message: 'No answer came.' });

/** One connection for all rooms, and its coming back. `connect` makes it. */
class Chat extends Emitter {
  #socket;
  #rooms = new Map();
  #waiting = new Set(); // questions without an answer
  #tries = 0;
  #timer;
  #connectedAt = 0;
  #token;
  #refusedToken;
  state = 'closed';
  error = null;
  retryAt = null;
  user = null;
  username;
  options;
  stored;

  constructor(options) {
    super();
    const { url = location.origin, path = '/socket.io', username, persist, io, onGap } = options;
    Object.assign(this, { options, username, stored: new Stored(persist && `chat:${url}${path}:${username ?? ''}:`) });
    const how = { path, auth: (show) => this.#auth(show) };
    this.#socket = io ? io(url, { ...how, forceNew: true, autoConnect: false, reconnection: false }) : new WebSocketClient(url, how);
    if (onGap) this.on('gap', onGap);
    this.#listen();
    globalThis.addEventListener?.('online', () => this.retryAt && this.connect());
    globalThis.document?.addEventListener('visibilitychange', () => { // meanwhile it may have been read on another device
      if (this.user && document.visibilityState === 'visible') this.#askUnread();
    });
  }

  get isOnline() { return this.#socket.connected; }
  get rooms() { return [...this.#rooms.values()]; }

  room(name) {
    name = name.normalize('NFC');
    if (!this.#rooms.has(name)) {
      this.#rooms.set(name, new Room(this, name));
      if (this.isOnline) this.#rooms.get(name).join();
    }
    return this.#rooms.get(name);
  }

  connect() {
    clearTimeout(this.#timer);
    if (!this.isOnline) this.#become('connecting');
    this.#socket.connect();
  }

  close() {
    clearTimeout(this.#timer);
    this.#become('closed');
    this.#drop();
  }

  /** Sends an event and returns its acknowledgement; it never throws. What is not answered is `no_answer`. */
  ask(event, data) {
    if (!this.isOnline) return Promise.resolve(NO_ANSWER);
    return new Promise((resolve) => {
      const done = (answer = NO_ANSWER) => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve(answer);
      };
      const timer = setTimeout(() => this.#drop(), ANSWER_MS);
      this.#waiting.add(done);
      this.#socket.emit(event, data, done);
    });
  }

  /** Sends an event if it can be sent now. */
  say(event, data) { if (this.isOnline) (this.#socket.volatile ?? this.#socket).emit(event, data); }
  forgetRoom(room) { this.#rooms.delete(room.name); }

  #listen() {
    const socket = this.#socket, rooms = this.#rooms;
    socket.on('connect', () => this.#onConnect());
    socket.on('disconnect', (reason) => this.#onDisconnect(reason));
    socket.on('connect_error', (error) => this.#onRefused(error.data));
    socket.on('welcome', (you) => this.#onWelcome(you));
    socket.on('expiring', ({ in_ms: leftMs }) => this.#refresh(Date.now() + leftMs));
    socket.on('error', (error) => this.#onError(error));
    for (const [event, method] of Object.entries({
      joined: 'onAnswer', removed: 'onRemoved', receive: 'onReceive', changed: 'onChanged', signal: 'onSignal', read: 'onRead',
    })) socket.on(event, (data) => rooms.get(data.room)?.[method](data));
  }

  async #auth(show) {
    try {
      this.#token = await this.options.token?.();
      show({ token: this.#token, join: this.rooms.slice(0, JOINS_AT_CONNECT).map((room) => room.request()) });
    } catch {
      this.#drop(); // who makes the tokens is away: come back
    }
  }

  #onConnect() {
    this.#connectedAt = Date.now();
    this.error = this.#refusedToken = null;
    this.#become('online');
    for (const room of this.rooms) if (!room.isAsked) room.join();
  }

  #onDisconnect(reason) {
    if (Date.now() - this.#connectedAt > LASTS_MS) this.#tries = 0;
    for (const done of [...this.#waiting]) done();
    for (const room of this.rooms) room.onDisconnected();
    if (reason === 'io server disconnect') this.#become('refused');
    else if (this.state !== 'closed') this.#comeBack();
  }

  #onRefused(data) {
    for (const room of this.rooms) room.onDisconnected();
    const isFresh = data?.code === 'unauthorized' && this.options.token && this.#token && this.#token !== this.#refusedToken;
    if (this.state === 'closed') return;
    this.error = data ?? null;
    this.#refusedToken = this.#token;
    if (!data || data.retryable || isFresh) this.#comeBack(data !== undefined);
    else this.#become('refused');
  }

  #onWelcome(you) {
    Object.assign(this, { user: you.user, username: you.username });
    this.tell('welcome', you);
    this.#askUnread();
  }

  #askUnread() {
    const names = this.rooms.map((room) => room.name).slice(0, 200);
    this.ask('unread', { rooms: names }).then(({ rooms = {} }) => {
      for (const [name, found] of Object.entries(rooms)) this.#rooms.get(name)?.onUnread(found);
    });
  }

  #onError(error) {
    const room = this.#rooms.get(error.room);
    if (error.code === 'gap') room?.onGap();
    else if (error.event === 'join') room?.onAnswer({ ok: false, ...error });
    else if (error.code === 'not_joined' && !error.event) room?.onRemoved(error);
    else if (!error.event) this.error = error;
    this.tell('error', error);
  }

  async #refresh(until) {
    for (; Date.now() < until && this.isOnline; await pause(3_000)) {
      try {
        const answer = await this.ask('refresh', { token: await this.options.token() });
        if (answer.ok || !answer.retryable) return;
      } catch {} // who makes the tokens is away: ask again
    }
  }

  /** Takes the connection for dead. */
  #drop() {
    const wasOnline = this.isOnline;
    this.#socket.disconnect(); // which tells, if it was connected
    if (!wasOnline) this.#onDisconnect();
  }

  /** Connects again: soon after a connection that held, else after pauses that grow, with full jitter. */
  #comeBack(isRefused = false) {
    const mostMs = Math.min(LONGEST_PAUSE_MS, 2_000 * 2 ** Math.min(this.#tries, 10)), isFirst = !this.#tries++ && !isRefused;
    const pauseMs = isFirst ? 100 + 900 * Math.random() : 1_000 + (mostMs - 1_000) * Math.random();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.connect(), pauseMs);
    this.#become('waiting', Date.now() + pauseMs);
  }

  #become(state, retryAt = null) {
    Object.assign(this, { state, retryAt });
    this.tell('state', state);
  }
}

export function connect(options = {}) {
  const chat = new Chat(options);
  chat.connect();
  return chat;
}
