/** Chat rooms over the gateway: docs/chat-js.md. */

export interface Options {
  /** The gateway's address; the page's own if left out. */
  url?: string;
  /** The path of the sessions: GATEWAY_PATH_PREFIX and GATEWAY_PATH; `/socket.io` if left out. */
  path?: string;
  /** The name to join under. Leave it out where tokens name people. */
  username?: string;
  /** Called at each connect, and when the token is about to end. If it throws, the client tries again later. */
  token?: () => Promise<string | undefined>;
  /** Whether messages that wait, and marks of what was read, outlive the page (localStorage). */
  persist?: boolean;
  /** The stock client's `io`, for polling and old browsers; without it WebSocket is spoken. */
  io?: (url: string, options: object) => unknown;
  /** As `chat.on('gap', …)`. */
  onGap?: (room: Room) => void;
}

/** What the gateway answers: `ok`, and what docs/protocol.md says of the event; else a code of its table. */
export interface Answer {
  ok: boolean;
  /** `no_answer`: nobody knows whether it happened. */
  code?: string;
  message?: string;
  retryable?: boolean;
  retry_after_ms?: number;
  [more: string]: unknown;
}

/** `sending` until it is known to be stored, then `sent`; `failed` when it was refused or nobody knows. */
export type State = 'sending' | 'sent' | 'failed';

/** An own entry that is on its way, or failed, has its key; what failed says why. */
export type Message = Entry & ({ state: 'sent' } | { state: 'sending'; key: string } | { state: 'failed'; key: string; error: Answer });

interface Entry {
  /** The position, of stored messages. */
  id?: string;
  /** The idempotency key, of own messages of this client. */
  key?: string;
  room: string;
  /** Input of strangers: show it as text, never as HTML. `message` and `meta` too. */
  username?: string;
  user?: string;
  message: string;
  meta?: Record<string, unknown>;
  /** When it was stored, in ms since 1970. */
  __createdtime__?: number;
  /** When `send` was called, of own messages of this client. */
  at?: number;
  changed?: { kind: 'redacted' | 'edited'; by: string; at: number };
  error?: Answer;
}

export interface Signal {
  room: string;
  kind: string;
  username: string;
  user?: string;
  data?: unknown;
}

export interface Room {
  readonly name: string;
  readonly state: 'joining' | 'joined' | 'refused' | 'left';
  /** Why it was refused. */
  readonly error: Answer | null;
  /** How many users there were at the last join. */
  readonly count: number;
  /** Stored messages by position, one per id, then own ones that are not known to be stored. A new array at each change. */
  readonly messages: readonly Message[];
  /** The id of the first message after a gap: draw a line above it. */
  readonly missedBefore: string | null;
  /** The position up to which nothing is missing here. */
  readonly position: string | null;
  readonly readUpTo: string | null;
  readonly unread: number;
  readonly hasEarlier: boolean;
  /** Who is typing. */
  readonly typers: readonly string[];
  /** Queues a message; it is sent when it can be, once. Throws RangeError when 100 wait. */
  send(message: string, meta?: Record<string, unknown>): Message & { key: string };
  /** Says a failed message again, as a new one. */
  retry(key: string): void;
  discard(key: string): void;
  /** Loads older messages; returns how many came. */
  loadEarlier(limit?: number): Promise<number>;
  /** What is shown has been read, up to the newest or to `id`. */
  markRead(id?: string): void;
  /** Call it for each key that is pressed; others are told at most every 4 s. */
  typing(): void;
  signal(kind: string, data?: unknown): void;
  members(): Promise<Answer>;
  leave(): Promise<Answer>;
  on(event: 'change' | 'gap', listener: (room: Room) => void): () => void;
  on(event: 'signal', listener: (signal: Signal) => void): () => void;
  on(event: 'notice', listener: (notice: { room: string; username: string; message: string; __createdtime__: number }) => void): () => void;
  on(event: 'read', listener: (mark: { room: string; user: string; username?: string; id: string }) => void): () => void;
}

export interface Chat {
  /** `waiting` is between two tries; `refused` is for good, until `connect()` is called. */
  readonly state: 'connecting' | 'online' | 'waiting' | 'refused' | 'closed';
  readonly isOnline: boolean;
  /** Why it was refused, or what was last said of the connection. */
  readonly error: Answer | null;
  /** While `waiting`: when the next try is (ms since 1970). */
  readonly retryAt: number | null;
  /** The user's id, where a token was shown. */
  readonly user: string | null;
  readonly username?: string;
  readonly rooms: readonly Room[];
  /** The room of that name; the first call joins it. */
  room(name: string): Room;
  /** Connects now. */
  connect(): void;
  close(): void;
  /** Sends any event of docs/protocol.md and returns its acknowledgement. Never throws. */
  ask(event: string, data: object): Promise<Answer>;
  on(event: 'state', listener: (state: Chat['state']) => void): () => void;
  on(event: 'change' | 'gap', listener: (room: Room) => void): () => void;
  on(event: 'error', listener: (error: Answer) => void): () => void;
  on(event: 'welcome', listener: (you: { user: string; username?: string; expires_at: number; now: number }) => void): () => void;
}

/** Connects, and stays connected. Name the rooms right away: they are joined with the connection. */
export function connect(options?: Options): Chat;
