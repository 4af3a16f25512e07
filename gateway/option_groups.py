"""The groups of options: what each option does, its unit, its default, its check.

A group is the object that its part of the gateway is given: the engine takes `EngineOptions`, the publisher
`PublishOptions`. An option that two parts need is a field of both groups and one variable. `settings.py` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.cpus import usable_cpus
from gateway.option_types import (
    choice,
    name_of,
    name_prefix,
    networks,
    option,
    origins,
    password,
    path_of,
    redis_url,
    seconds,
    short_text,
    switch,
    text_of,
    web_url,
    whole,
)

DAY_S = 86_400
MIB = 1024 * 1024

# An option per two or three lines, as a table: the formatter would make six of each.
# fmt: off


def _system_name() -> Any:
    return option("GATEWAY_SYSTEM_NAME", "ChatBot", short_text(64),
        "The name under which joins and leaves are announced; refused to people, with every name that looks like it. "
        "Change it to your product's.")


def _history_messages() -> Any:
    return option("GATEWAY_HISTORY_MESSAGES", 100, whole(1, 100, "messages"),
        "How many messages of a room are kept. Lower it only to save memory: "
        "who misses more is told `recovered: false`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Where a gateway listens, how many processes it has, and how they stop."""

    host: str = option("GATEWAY_HOST", "0.0.0.0", text_of("an address to listen on"),
        "The address to listen on. Set 127.0.0.1 when a balancer on the same host is the only way in.")
    port: int = option("PORT", 8006, whole(0, 65535),
        "The port to listen on; 0 takes a free one. Change it when something else listens there.")
    path: str = option("GATEWAY_PATH", "/socket.io", path_of("/socket.io"),
        "The path of the sessions. Set it when clients are built for another one (the option `path` of stock clients).")
    path_prefix: str = option("GATEWAY_PATH_PREFIX", "", path_of("/chat"),
        "What comes before every path, `/healthz` and the others too. Set it behind an ingress that cannot strip one.")
    workers: int = option("WEB_CONCURRENCY", usable_cpus(), whole(1, 1024, "processes"),
        "How many worker processes serve. The default counts the CPUs that the process may use, by affinity and by the "
        "quota of its cgroup. Lower it when others need them.",
        "one per CPU")
    run_dir: str | None = option("GATEWAY_RUN_DIR", None, text_of("a private folder for the workers' Unix sockets"),
        "The folder (mode 0700, at most 70 bytes long) through which workers pass connections; a new one by default. "
        "Set it where `/tmp` is not private to the service.")
    name: str = option("GATEWAY_NAME", "", name_of(16),
        "A short name of this gateway, with which the ids of its workers and sessions begin. Set another one on each "
        "gateway behind nginx, which finds the gateway of a session that polls by it: see `deploy/nginx.conf`.")
    loop: str = option("GATEWAY_LOOP", "auto", choice("auto", "asyncio", "uvloop"),
        "The event loop; `auto` takes uvloop where it is installed. Set `asyncio` for debugging.")
    drain_s: float = option("GATEWAY_DRAIN_S", 20.0, seconds(0, 3600),
        "Over how long a stopping worker closes its sessions. Raise it when a restart makes too many clients "
        "come back at once.")
    drain_min_s: float = option("GATEWAY_DRAIN_MIN_S", 0.0, seconds(0, 3600),
        "For how long at least a stopping worker goes on listening and answers 503, though it has no sessions left. "
        "Raise it to the time in which your balancer learns that a gateway is not ready (Kubernetes: 5 to 10 s).")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisOptions:
    """Which Redis, and when it counts as gone."""

    url: str | None = option("REDIS_URL", None, redis_url(),
        "The Redis or Valkey of all gateways. Set it for anything but a first try: without it an embedded Valkey "
        "starts.")
    sentinel_username: str | None = option("GATEWAY_SENTINEL_USERNAME", None, text_of("a user of the Sentinels"),
        "The user as whom Sentinels are asked. Set it, with its password, where they have users of their own (ACL).")
    sentinel_password: str | None = option("GATEWAY_SENTINEL_PASSWORD", None, password(),
        "The password of the Sentinels themselves (`requirepass`). User and password in `REDIS_URL` are those of the "
        "servers.")
    route: str = option("GATEWAY_ROUTE", "auto", choice("auto", "per-room", "shared", "cluster"),
        "Which channels carry the rooms. Set `shared` only while python-socketio servers serve the same rooms: "
        "every worker then hears every message.")
    prefix: str = option("GATEWAY_PREFIX", "", name_prefix(),
        "What the gateway's keys and channels begin with, `chat_history_<room>` excepted. Set one for each gateway "
        "when several use one Redis, each with a database of its own: channels know no databases.")
    is_prefix_historys_too: bool = option("GATEWAY_PREFIX_HISTORY", False, switch(),
        "Whether `chat_history_<room>` has the prefix, too. Turn it on when several gateways use one database.")
    timeout_s: float = option("GATEWAY_REDIS_TIMEOUT_S", 2.0, seconds(0.1, 60),
        "How long an event may wait for Redis before it is answered `unavailable`. Raise it when Redis is far away.")
    probe_s: float = option("GATEWAY_PROBE_S", 2.0, seconds(0.1, 60),
        "After how much silence of Redis' channels a worker sends a message to itself. "
        "Lower it to find broken connections sooner.")
    unresponsive_s: float = option("GATEWAY_DEAF_S", 5.0, seconds(0.2, 120),
        "After how much silence, its own message unheard too, a worker connects anew. "
        "Raise it when a slow Redis is taken for a broken one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedOptions:
    """The Valkey that starts when no REDIS_URL is set."""

    state_dir: str | None = option("GATEWAY_STATE_DIR", None, text_of("a folder for the embedded Valkey"),
        "Where the embedded Valkey keeps its data. Set it for each gateway of one host: a folder has one.",
        "the user's state folder")
    port: int = option("GATEWAY_EMBEDDED_PORT", 0, whole(0, 65535),
        "The embedded Valkey's port on loopback; 0 takes a free one. Set it to look into it with `valkey-cli`; "
        "its password is in the file `password` of the state folder.")
    max_mib: int = option("GATEWAY_EMBEDDED_MAX_MIB", 512, whole(16, 1_048_576, "MiB"),
        "The memory of the embedded Valkey. When it is full, sends are refused; no room is dropped.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a client may say: sizes in characters, numbers, and the name that is refused to people."""

    room_max: int = option("GATEWAY_ROOM_NAME_MAX", 128, whole(1, 1024, "characters"),
        "The longest name of a room. Raise it when your rooms have longer ids.")
    username_max: int = option("GATEWAY_USERNAME_MAX", 64, whole(1, 1024, "characters"),
        "The longest username. Raise it when your users have longer names.")
    message_max: int = option("GATEWAY_MESSAGE_MAX", 4096, whole(1, 1_000_000, "characters"),
        "The longest message. When you raise it, raise `GATEWAY_FRAME_MAX_BYTES` to 12 times as much and 7,168 more.")
    idempotency_key_max: int = 128
    """No option: the wire contract says it."""
    history_max: int = _history_messages()
    system_name: str = _system_name()
    rooms_per_connection: int = option("GATEWAY_ROOMS_PER_CONNECTION", 100, whole(1, 100_000, "rooms"),
        "In how many rooms one connection may be; one more is a `room_limit`. Raise it for clients that watch many.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOptions:
    """How much of a room Redis keeps, for how long, and how many replicas must have a message."""

    history_messages: int = _history_messages()
    history_ttl_s: int = option("GATEWAY_HISTORY_TTL_S", 30 * DAY_S, whole(1, 3650 * DAY_S, "s"),
        "How long the history of a quiet room is kept (30 days). Lower it to save memory in Redis.")
    position_ttl_s: int = option("GATEWAY_POSITION_TTL_S", 60 * DAY_S, whole(1, 3650 * DAY_S, "s"),
        "How long the position of a quiet room is kept (60 days). Keep it above the history's: "
        "without it all who return are told `recovered: false`.")
    empty_room_ttl_s: int = option("GATEWAY_EMPTY_ROOM_TTL_S", 900, whole(1, 30 * DAY_S, "s"),
        "How long the position of a room in which nothing was ever said is kept once everybody has left (15 minutes). "
        "Raise it when clients come back later to such rooms and must not be told `recovered: false`.")
    idempotency_ttl_s: int = option("GATEWAY_IDEMPOTENCY_TTL_S", 300, whole(1, 30 * DAY_S, "s"),
        "How long a repeated `idempotency_key` gets the first answer. Raise it when clients repeat for longer.")
    wait_replicas: int = option("GATEWAY_PUBLISH_WAIT_REPLICAS", 0, whole(0, 16, "replicas"),
        "How many replicas must have a message before it is acknowledged. Set 1 when no failover may lose one; "
        "each `send` then waits for it.")
    wait_s: float = 1.0
    """No option: how long it waits for the replicas, half of what Redis may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceOptions:
    """Who is announced to a room, and when people and workers count as gone."""

    system_name: str = _system_name()
    notices_users_max: int = option("GATEWAY_NOTICES_USERS_MAX", 200, whole(0, 1_000_000, "users"),
        "Up to how many users in a room joins and leaves are announced. Set 0 for no notices at all.")
    grace_s: float = option("GATEWAY_GRACE_S", 10.0, seconds(0, 3600),
        "How long a user who dropped still counts as present. Raise it for people on trains; "
        "at 0 each reload of a page is told to the room.")
    heartbeat_s: float = option("GATEWAY_HEARTBEAT_S", 3.0, seconds(0.1, 60),
        "How often a worker tells Redis that it lives. Lower it together with `GATEWAY_WORKER_DEAD_S`.")
    worker_dead_s: float = option("GATEWAY_WORKER_DEAD_S", 15.0, seconds(1, 600),
        "Without a heartbeat for so long a worker is presumed dead, and its people leave. "
        "Keep it at several times `GATEWAY_HEARTBEAT_S`; less than twice is refused.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the engine is told of connections: times, sizes, and whom to trust."""

    worker: str = ""
    """No option: the worker's id, with which the ids of its sessions begin."""
    max_payload_bytes: int = option("GATEWAY_FRAME_MAX_BYTES", 65_536, whole(1024, 64 * MIB, "bytes"),
        "The largest frame, or body of a polling request; and all attachments of one packet together. Raise it with "
        "`GATEWAY_MESSAGE_MAX`: a character may take 12 bytes.")
    outbound_mark_bytes: int = option("GATEWAY_OUTBOUND_MARK_BYTES", 262_144, whole(1024, 1024 * MIB, "bytes"),
        "With more unsent bytes a member gets no live messages until it has read them. "
        "Raise it for bursts that slow members should follow.")
    outbound_max_bytes: int = option("GATEWAY_OUTBOUND_MAX_BYTES", MIB, whole(66_560, 1024 * MIB, "bytes"),
        "With more unsent bytes a member is cut. Lower it where people are many and not trusted: "
        "each can take that memory.")
    stuck_s: float = option("GATEWAY_STUCK_S", 30.0, seconds(0.1, 3600),
        "A member that stays behind for so long is cut. Raise it for phones with bad networks.")
    ping_interval_s: float = option("GATEWAY_PING_INTERVAL_S", 25.0, seconds(0.05, 3600),
        "How often a client is pinged. Lower it when a balancer closes quiet connections sooner.")
    ping_timeout_s: float = option("GATEWAY_PING_TIMEOUT_S", 20.0, seconds(0.05, 3600),
        "How long a client may take to answer a ping. Lower it to notice dead clients sooner.")
    connect_timeout_s: float | None = option("GATEWAY_CONNECT_TIMEOUT_S", 10.0, seconds(0.05, 3600),
        "How long a client may take from its handshake to its CONNECT. Raise it for very slow networks.")
    compression: bool = option("GATEWAY_COMPRESSION", False, switch(),
        "Whether WebSocket messages may be compressed. Turn it on for long messages over narrow lines; it costs CPU.")
    io_uring: bool = option("GATEWAY_IO_URING", True, switch(),
        "Whether a message to many members is given to the kernel in one call, where it has io_uring (Linux 6.1 and "
        "newer) and lets us. Turn it off where io_uring is not to be used.")
    origins: tuple[str, ...] = option("GATEWAY_ORIGINS", ("*",), origins(),
        "The pages whose scripts may connect, such as `https://chat.example.org`. Set it on every public gateway.")
    trusted_proxies: tuple[str, ...] = option("GATEWAY_TRUSTED_PROXIES", (),
        networks(),
        "The balancers whose `X-Forwarded-For` counts. Set it when one is in front; "
        "never `*` on a port that others can reach.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessOptions:
    """Who may do what, how many are let in, and how many rooms each may make."""

    config_file: str | None = option("GATEWAY_CONFIG", None, text_of("a path"),
        "A TOML file with rules of rooms: who may join and send where, what is kept ([rooms.md](rooms.md)); and with "
        "keys of backends ([server-api.md](server-api.md)). It is read at the start and at HUP. Set it when rooms "
        "differ; without it all are open to whoever is let in.")
    join_hook: str | None = option("GATEWAY_JOIN_HOOK", None, web_url(),
        "What is asked about rooms whose rule says `hook`: by a POST, at each join ([rooms.md](rooms.md)). Set it when "
        "the application must decide and cannot write it into tokens.")
    join_hook_secret_file: str | None = option("GATEWAY_JOIN_HOOK_SECRET_FILE", None, text_of("a path"),
        "A file with the secret that signs these questions: base64 of at least 24 bytes. "
        "Set it when others than the gateway can reach that URL.")
    handshakes_per_s: int = option("GATEWAY_HANDSHAKES_PER_S", 2000, whole(0, 1_000_000, "a second"),
        "New sessions a second and worker; more wait for up to a second and are then answered 503. 0 is no limit. "
        "Lower it when a storm of reconnects overloads what is behind.")
    new_rooms_per_user: int = option("GATEWAY_NEW_ROOMS_PER_USER", 500, whole(0, 1_000_000, "an hour"),
        "How many rooms that did not exist one user may join in an hour, by each worker; for a guest, one connection. "
        "More are `rate_limited`. 0 is no limit. Raise it for a service that opens rooms for others.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """What is logged, and how it looks."""

    format: str = option("GATEWAY_LOG_FORMAT", "auto", choice("auto", "console", "json"),
        "How log lines look; `auto` writes for people on a terminal and JSON elsewhere. "
        "Set it when what collects them wants the other.")
    level: str = option("GATEWAY_LOG_LEVEL", "info", choice("debug", "info", "warning", "error"),
        "Below this level nothing is logged. At `info` every connection and join is a line; "
        "set `warning` when these are too many.")


# fmt: on
