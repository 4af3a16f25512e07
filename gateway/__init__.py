"""The chat gateway: Socket.IO rooms with one order for everybody, over many stateless workers and one Redis.

The way of a message:

    transport/connection, socket → chat/handlers (parse, membership) → rooms/publisher → state/scripts/publish.lua
      (number, store, publish) → the room's channel (rooms/routes) → redis/subscriber_connection of every worker with
      a member there → rooms/hub → rooms/room: does it follow the last position? → rooms/fanout: one frame, the same
      bytes to every member's socket; and the acknowledgement to the sender, once the script has answered

Floors; a module imports from lower floors and its own, no circle; import-linter checks it:

    server/       one process's life: the composition root, gunicorn, handoff, drain, health, command line
    webhooks/     what the application is told: messages, with the history as outbox, and who is there
    api/          what the application's backend does, over HTTP: one table of methods; knows no Redis
    admin/        what operators see and press in a browser; acts by the API's methods
    web/          what browsers load: the page at `/`, `chat.js`, and the stock client
    chat/         what people do: sessions, events, joining, presence, signals, marks; knows no Redis
    access/       who somebody is (tokens, keys), who may do what (rules, grants), and how much is too much
    socketio/     python-socketio on top of the engine, and its channel between processes
    rooms/        one worker's rooms: live path, repair by position, fan-out, publishing
    transport/    Engine.IO: sessions over polling and WebSocket; rooms and transport do not know each other
    state/        what Redis holds: history, presence, workers, the Lua scripts
    redis/        bytes to and from Redis: one server, Sentinel, Cluster
    websocket/    RFC 6455 and 7692 as functions of bytes
    backend/      the client of that API for other programs, which imports nothing else of this package
    client/       the chat client for Python programs, which imports nothing else of it but pauses
    settings, option_types, identity_options, api_key_options, webhook_options, page_options, protocol, names, keys,
    metric_kinds, metrics, errors, background, pauses, timers, admission, interfaces, tracing

Redis orders: a message has a position because the script gave it one, and everybody, the sender's worker too, delivers
what comes back. Workers hold no truth: kill any of them. `docs/architecture.md` follows one message and one failover;
`docs/decisions/` says why it is built this way.
"""

__version__ = "0.1.0"
