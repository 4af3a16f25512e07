"""The chat gateway: Socket.IO rooms with one order for everybody, over many stateless workers and one Redis.

The way of a message:

    socket (delivery/carrier, sockets) → session (chat: parse, limits, membership) → delivery/publisher
      → one Lua script (state/scripts/publish.lua: number, store, publish) → the room's channel (delivery/routes)
      → the ears of every worker with a member there (delivery/ears, bus) → delivery/hub → delivery/feed: does it
        follow the last position? → delivery/fanout: one frame, the same bytes to every member's socket
      → and the acknowledgement to the sender, once the script has answered

Floors; a module imports from lower floors and its own, and import-linter checks it:

    0  settings, protocol, keys, metrics   options, the wire contract's words, names in Redis, counters; no I/O
    1  state/      what is true beyond one worker: links to Redis in RESP on our own transport (link, kept, store,
                   endpoints, sentinel, cluster), the scripts, history and positions, presence, workers
    2  delivery/   how bytes travel: frames, carrier and sockets under python-socketio (engine), wheel, fan-out,
                   feeds and the position check, routes, bus, publisher, python-socketio's channel (backplane)
    3  chat/       what people can do: sessions, handlers, roster (notices, grace, clean-up); knows no Redis
    4  server/     one process's life: app (the composition root), gunicorn's worker and configuration, handoff
                   between workers, drain, health, embedded Valkey, command line

What holds it together. Redis orders: a message has a position because the script gave it one, and everybody, the
sender's worker too, delivers what comes back. A worker keeps one position per room, not per member: whatever does
not follow it (a hole, another epoch, a subscription that was away) makes the feed read the history once and deliver
what was missed, or say `gap`. A joining member waits for a snapshot that was asked for after the channel was
confirmed; what the channel brings meanwhile is kept; both are joined in one turn of the event loop. A member that
is behind is held back and brought up from history by its own position. Workers hold no truth: kill any of them.

Where this differs from the design, because it turned out better:

- The connection is not duplicated out of aiohttp: its transport changes protocol (`engine.take_over`). That needs
  no second accept, and works under TLS. Only the handoff between workers duplicates a descriptor.
- A hash `{chat_history_<room>}:users` counts each user's sessions, so that a join need not read all members.
- The publish script gets the position that its caller has seen. A Redis behind it has lost data, and the room gets
  a new epoch in the same step; a feed that finds another message in the place of its last one forces that too.
- Two primaries may live at once: one that was replaced goes on until it hears of that. So an answer that took over
  a second is not believed where another server can take over, the Sentinel with the highest configuration epoch is,
  and a primary is left as soon as its replacement begins. What a worker heard or had acknowledged at a server that it
  left is held against the next one (`delivery/evidence`): where that lacks it, or began its epoch before it was seen
  (the meta hash knows when, in `begun`), the room begins one more epoch, and all members are told again.
- The channel is no KEY of the publish script: on a Cluster a script with a missing key is turned away while the
  slot moves.
- New connections, joins and ends keep to a pace (`delivery/pace`): a few per millisecond, a session's own work before
  newcomers, so that members never wait for a storm. A handshake that cannot be let in within a second gets 503.
- Heartbeats of workers are told by the store's clock, so that hosts need not agree on the time.
- The Unix sockets of the handoff are streams, so that a request of any size passes.
- A draining worker passes new handshakes to one of its host's ready workers, and refuses with 503 if there is none.
- On the shared route messages have the form of python-socketio's own emits: stock servers deliver them too.
"""
