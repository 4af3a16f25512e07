// The messages of one room as a page shows them, for chat.js: stored ones by position, one per id, then own ones that are
// not known to be stored. No connection and no timer here.

const KEY_LIFE_MS = 290_000; // the gateway knows a key for 300 s
const CLOCKS_DIFFER_MS = 60_000;
const KEPT_MAX = 1_000;
const UNKNOWN = Object.freeze({ ok: false, retryable: false, code: 'unknown', message: 'Nobody knows whether it was stored.' });

export const seqOf = (id) => Number(id.slice(id.indexOf(':') + 1));
export const epochOf = (id) => id.slice(0, id.indexOf(':'));
export const isAfter = (one, other) => epochOf(one) === epochOf(other) && seqOf(one) > seqOf(other);

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is only there on https and localhost
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class Messages {
  list = [];
  queue = [];
  #shown = null;

  get shown() { return (this.#shown ??= [...this.list, ...this.queue.filter((each) => !each.heardAs)]); }

  changed() { this.#shown = null; }
  next() { return this.queue.find((each) => each.state === 'sending'); }
  failed(key) { return this.queue.find((each) => each.key === key && each.state === 'failed'); }
  drop(entry) { this.queue = this.queue.filter((each) => each !== entry); }
  trim() { if (this.list.length > KEPT_MAX) this.list.splice(0, KEPT_MAX / 10); }

  add(what) {
    const entry = { ...what, key: randomKey(), state: 'sending' };
    this.queue.push(entry);
    return entry;
  }

  /** Takes what was received. It may be what is under way: then it is shown once, and the acknowledgement tells. */
  hear(data) {
    const flying = this.next();
    const isIt = flying && !flying.heardAs && isLike(flying, data);
    if (this.insert({ ...data, state: 'sent', ...(isIt && { key: flying.key }) }) && isIt) flying.heardAs = data.id;
  }

  /** It is stored at `id`; if nothing was heard of it yet, it stands there until it is. */
  stored(entry, id, position) {
    Object.assign(entry, { id, state: 'sent' });
    const heard = this.list.find((each) => each.id === id), taken = this.list.find((each) => each.key === entry.key);
    if (taken && taken !== heard) delete taken.key; // somebody else of the same name said the same
    if (heard) heard.key = entry.key;
    else if (!position || isAfter(id, position)) this.insert({ ...entry, __createdtime__: Date.now(), isUnheard: true });
  }

  /** Puts an entry where its position says. False if there was one of that id, which it replaces. */
  insert(entry) {
    let at = this.list.length;
    while (at && isAfter(this.list[at - 1].id, entry.id)) at--;
    const same = this.list[at - 1]?.id === entry.id;
    if (same) this.list[at - 1] = { ...(this.list[at - 1].key && { key: this.list[at - 1].key }), ...entry };
    else this.list.splice(at, 0, entry);
    return !same;
  }

  change({ id, kind, message, by, at }, replay) {
    for (const entry of [...this.list, ...replay]) {
      if (entry.id === id && !(entry.changed?.at > at)) Object.assign(entry, { message, changed: { kind, by, at } });
    }
  }

  /** Of an entry whose key may be forgotten: to repeat it could say it twice. Is it there? If not, a person decides. */
  judgeOld(entry) {
    if (!entry.triedAt || Date.now() - entry.triedAt < KEY_LIFE_MS) return null;
    const found = this.list.find((each) => (!each.key || each.key === entry.key) && isLike(entry, each));
    return found ? { ok: true, id: found.id } : UNKNOWN;
  }
}

function isLike(tried, data) {
  return tried.triedAt !== undefined && tried.message === data.message && tried.username === data.username
    && data.__createdtime__ > tried.triedAt - CLOCKS_DIFFER_MS;
}
