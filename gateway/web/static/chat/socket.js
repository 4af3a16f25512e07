// What chat.js stands on: listeners, a small Socket.IO 5 client over WebSocket, and what outlives the page. Import chat.js.

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Listeners by name. One that throws is reported, and harms nobody else. */
export class Emitter {
  #listeners = new Map();

  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.#listeners.get(name).delete(listener);
  }

  tell(name, ...values) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(...values);
      } catch (error) {
        setTimeout(() => { throw error; });
      }
    }
  }
}

/** Of the stock client's socket what this file needs, over WebSocket. It does not come back by itself. */
export class WebSocketClient extends Emitter {
  #address;
  #auth;
  #link = null;
  #acks = new Map();
  #nextAck = 0;
  #limitMs = 20_000;
  #timer;
  connected = false;

  constructor(url, { path, auth }) {
    super();
    this.#address = new URL(`${path.replace(/\/+$/, '')}/?EIO=4&transport=websocket`, url);
    this.#address.protocol = this.#address.protocol.replace('http', 'ws');
    this.#auth = auth;
  }

  connect() {
    if (this.#link) return;
    const link = (this.#link = new WebSocket(this.#address));
    link.onmessage = ({ data }) => link === this.#link && this.#onPacket(String(data));
    link.onclose = () => link === this.#link && this.#end('transport close');
    link.onerror = () => {}; // its close follows
    this.#hearWithin();
  }

  /** Sends while connected, and else does nothing: no buffer doubles what Chat keeps. */
  emit(name, data, ack) {
    if (!this.connected) return;
    const number = ack ? this.#nextAck++ : '';
    if (ack) this.#acks.set(number, ack);
    this.#link.send(`42${number}${JSON.stringify([name, data])}`);
  }

  disconnect() {
    if (this.connected) this.#link.send('41');
    if (this.#link) this.#end('io client disconnect');
  }

  #hearWithin() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#end('ping timeout'), this.#limitMs);
  }

  #onPacket(packet) {
    this.#hearWithin();
    if (packet[0] === '0') this.#onOpen(JSON.parse(packet.slice(1)));
    else if (packet[0] === '2') this.#link.send('3');
    else if (packet[0] === '1') this.#end('transport close');
    else if (packet[0] === '4') this.#onMessage(packet[1], packet.slice(2));
  }

  #onOpen({ pingInterval, pingTimeout }) {
    const link = this.#link;
    this.#limitMs = pingInterval + pingTimeout;
    this.#auth((data) => link === this.#link && link.send(`40${JSON.stringify(data)}`));
  }

  #onMessage(kind, text) {
    const [, number, json] = /^(\d*)([^]*)$/.exec(text);
    if (kind === '0') {
      this.connected = true;
      this.tell('connect');
    } else if (kind === '1') {
      this.#end('io server disconnect');
    } else if (kind === '2') {
      this.tell(...JSON.parse(json));
    } else if (kind === '3') {
      const ack = this.#acks.get(Number(number));
      this.#acks.delete(Number(number));
      ack?.(...JSON.parse(json));
    } else if (kind === '4') {
      const { message, data } = JSON.parse(json);
      this.#end('refused', Object.assign(new Error(message), { data }));
    }
  }

  #end(reason, error = new Error(reason)) {
    const link = this.#link, wasConnected = this.connected;
    clearTimeout(this.#timer);
    this.#link = null;
    this.connected = false;
    this.#acks.clear();
    link.close();
    if (wasConnected) this.tell('disconnect', reason);
    else if (reason !== 'io client disconnect') this.tell('connect_error', error);
  }
}

/** What outlives the page, in localStorage, if it shall and can. */
export class Stored {
  #prefix;

  constructor(prefix) { this.#prefix = prefix && globalThis.localStorage ? prefix : null; }

  get(name) {
    try {
      return this.#prefix && JSON.parse(localStorage.getItem(this.#prefix + name));
    } catch {
      return null;
    }
  }

  set(name, value) {
    try {
      if (this.#prefix && value === null) localStorage.removeItem(this.#prefix + name);
      else if (this.#prefix) localStorage.setItem(this.#prefix + name, JSON.stringify(value));
    } catch {} // it is full, or forbidden: memory has it
  }

  all(start) {
    if (!this.#prefix) return [];
    const names = Object.keys(localStorage).filter((name) => name.startsWith(this.#prefix + start));
    return names.map((name) => this.get(name.slice(this.#prefix.length))).filter(Boolean);
  }
}
