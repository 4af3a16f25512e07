// React: a hook and a component over /chat.js (docs/chat-js.md). Make the client once, outside of components:
//   const chat = connect({ token });
import { useCallback, useEffect, useState, useSyncExternalStore } from 'react';

/**
 * The room of that name, which is joined by it. Draws anew at each change: of messages, of who is typing, of its state.
 * @param {import('../../gateway/web/static/chat.js').Chat} chat
 * @param {string} name
 */
export function useRoom(chat, name) {
  const room = chat.room(name);
  useSyncExternalStore(
    useCallback((changed) => room.on('change', changed), [room]),
    () => room.messages, // a new array at each change
  );
  return room;
}

/** @param {{ chat: import('../../gateway/web/static/chat.js').Chat, name: string }} props */
export function Room({ chat, name }) {
  const room = useRoom(chat, name);
  const [text, setText] = useState('');
  useEffect(() => room.markRead(), [room, room.messages]);
  const send = (/** @type {import('react').FormEvent} */ event) => {
    event.preventDefault();
    if (!text.trim()) return;
    room.send(text);
    setText('');
  };
  return (
    <section>
      <ol role="log" aria-live="polite">
        {room.messages.map((each) => <Message key={each.key ?? each.id} room={room} entry={each} />)}
      </ol>
      <p aria-live="polite">{room.typers.length > 0 && `${room.typers.join(', ')} …`}</p>
      <form onSubmit={send}>
        <input aria-label="Message" value={text} onChange={(event) => { setText(event.target.value); room.typing(); }} />
      </form>
    </section>
  );
}

/** @param {{ room: import('../../gateway/web/static/chat.js').Room, entry: import('../../gateway/web/static/chat.js').Message }} props */
function Message({ room, entry }) {
  return (
    <li data-state={entry.state}>
      <b>{entry.username}</b> {entry.changed?.kind === 'redacted' ? <i>removed</i> : entry.message}
      {entry.state === 'failed' && (
        <span role="alert">
          {entry.error?.message} <button onClick={() => room.retry(entry.key)}>Retry</button>
          <button onClick={() => room.discard(entry.key)}>Discard</button>
        </span>
      )}
    </li>
  );
}
