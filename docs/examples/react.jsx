// React: a hook and a component over /chat.js (docs/chat-js.md). Make the client once, outside of components:
//   const chat = connect({ token });
import { useEffect, useState, useSyncExternalStore } from 'react';

/** The room of a client, joined by itself. Draws anew at each change. */
export function useRoom(chat, name) {
  const room = chat.room(name);
  useSyncExternalStore(
    (changed) => chat.on('change', (its) => its === room && changed()),
    () => room.messages, // a new array at each change
  );
  return room;
}

export function Room({ chat, name }) {
  const room = useRoom(chat, name);
  const [text, setText] = useState('');
  useEffect(() => room.markRead(), [room, room.messages]);
  const send = (event) => {
    event.preventDefault();
    room.send(text);
    setText('');
  };
  return (
    <section>
      <ol role="log" aria-live="polite">
        {room.messages.map((each) => (
          <li key={each.key ?? each.id} data-state={each.state}>
            <b>{each.username}</b> {each.changed?.kind === 'redacted' ? <i>removed</i> : each.message}
            {each.state === 'failed' && <button onClick={() => room.retry(each.key)}>Retry</button>}
          </li>
        ))}
      </ol>
      <form onSubmit={send}>
        <input value={text} onChange={(event) => setText(event.target.value)} />
      </form>
    </section>
  );
}
