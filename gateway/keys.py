"""Every Redis key and channel, in one place.

The history list keeps the plain name that the old service gave it. All other keys of a room carry that whole
name as their hash tag, so that on a Cluster they share its slot. Names are bytes: they go to Redis as they are.

Two gateways on one Redis keep apart by a prefix, which all names but the history's get (channels have no database: what
one publishes, all databases hear). A process has one prefix, as it has one worker; `use_prefix` is called once, by
whoever builds the worker, before any name is made.
"""

from __future__ import annotations

WORKERS = b"gateway:heartbeats"
"""Sorted set: worker id, scored with the time of its last heartbeat (s since 1970); below zero once it departed."""

OLDER_WORKERS = b"gateway:workers"
"""The same of gateways before 0.1, whose sessions are in `older_members`. Those do not know of `members`, so they must
not clean up after newer ones."""

SOCKETIO_CHANNEL = b"socketio"
"""Channel of python-socketio's managers; chat messages too when the route is `shared`."""

CONTROL = b"gateway:control"
"""Channel on which workers are told that something which they keep in memory has changed. It says so sooner than they
would find out by themselves; nothing depends on it."""

REVOKED = b"gateway:revoked"
"""Hash: what is revoked or banned (`state/revocations.py`)."""

REVOKED_VERSION = b"gateway:{gateway:revoked}:version"
"""String: another one after each change of `REVOKED`. On a Cluster both lie in one slot."""

MODERATED = b"gateway:moderated"
"""Sorted set: room, scored with the time when moderators last decided something about it (ms), for an hour."""

HOOK_WORKERS = b"gateway:hooks:workers"
"""Sorted set: id of a worker that can post to webhooks, scored with the time of its last word (s since 1970)."""

HOOKS_SINCE = b"gateway:hooks:since"
"""Hash: name of a webhook -> when a worker first knew of it (ms since 1970): what is older is not posted to it."""

_NODE = b"socket.io#/#"
NODE_PATTERN = _NODE + b"*"
NODE_CHANNELS = (NODE_PATTERN, b"socket.io-request#/#")
"""Where Node's Redis adapter and emitters speak: emits to all, or to several rooms; to one room (`socket.io#/#tea#`);
and requests. The gateway does not understand them: it says so. They are others' names, so they have no prefix."""

_PREFIX = b""
_HISTORY = b"chat_history_"
_BESIDE = b"{chat_history_"


def use_prefix(prefix: str, is_historys_too: bool) -> None:
    """All names begin with `prefix` from now on; those of the histories only where that is asked for."""
    global WORKERS, OLDER_WORKERS, SOCKETIO_CHANNEL, CONTROL, REVOKED, REVOKED_VERSION, MODERATED
    global HOOK_WORKERS, HOOKS_SINCE, _PREFIX, _HISTORY, _BESIDE
    before = _PREFIX = prefix.encode()
    WORKERS, OLDER_WORKERS = before + b"gateway:heartbeats", before + b"gateway:workers"
    SOCKETIO_CHANNEL, CONTROL = before + b"socketio", before + b"gateway:control"
    MODERATED = before + b"gateway:moderated"
    HOOK_WORKERS, HOOKS_SINCE = before + b"gateway:hooks:workers", before + b"gateway:hooks:since"
    REVOKED = before + b"gateway:revoked"
    REVOKED_VERSION = before + b"gateway:{" + REVOKED + b"}:version"
    _HISTORY = (before if is_historys_too else b"") + b"chat_history_"
    _BESIDE = b"{" + _HISTORY if is_historys_too else before + b"{" + _HISTORY


def history(room: str) -> bytes:
    """The list of a room's last messages, oldest first, each the old service's JSON of three fields."""
    return _HISTORY + room.encode()


def _beside(room: str, name: bytes) -> bytes:
    return _BESIDE + room.encode() + b"}:" + name


def meta(room: str) -> bytes:
    """Hash `epoch`, `seq`: the position of the newest entry of the history."""
    return _beside(room, b"meta")


def more(room: str) -> bytes:
    """Hash: seq → JSON object of what is known of that entry beside its three fields: `user`, `meta`, `changed`. The
    scripts name it after `meta`, whose field `more` says whether there is one, and the highest seq that was changed.
    Other fields are none of an entry's."""
    return _beside(room, b"more")


def moderated(room: str) -> bytes:
    """Hash: what moderators have decided about the room (`state/moderation.py`). The scripts name it after `meta`,
    whose field `mod` says until when there is anything."""
    return _beside(room, b"moderated")


def mutes(room: str) -> bytes:
    """Hash: who is muted in the room → until when (ms)."""
    return _beside(room, b"mutes")


def idempotency(room: str, user: str, username: str, key: str) -> bytes:
    """String: the position that this sender's idempotency key got, and the digest of what it was sent with. A sender is
    a user, or for guests, who have none, a username. Its length stands before it, so that no name and no key can be
    written that make another sender's."""
    sender = b"u%d:%b" if user else b"g%d:%b"
    name = (user or username).encode()
    return _beside(room, b"sent:" + sender % (len(name), name) + b":" + key.encode())


def older_idempotency(room: str, key: str) -> bytes:
    """The same of gateways that did not look at the sender: the position alone."""
    return _beside(room, b"idem:" + key.encode())


def slow(room: str, user: str, username: str) -> bytes:
    """String: exists while the next message of a user, or of a guest, who has no more than a username, would be too
    soon."""
    return _beside(room, b"slow:" + user.encode() if user else b"slow-guest:" + username.encode())


def members(room: str, worker: str) -> bytes:
    """Hash: session id of that worker → JSON of username, since and, while it is away, leaving."""
    return _beside(room, b"members:" + worker.encode())


def older_members(room: str) -> bytes:
    """Hash of gateways before 0.1: session id → JSON of username, worker, since and leaving."""
    return _beside(room, b"members")


def users(room: str) -> bytes:
    """Hash: username → number of its sessions. Saves reading all of `members` at each join and leave."""
    return _beside(room, b"users")


def counts(room: str) -> bytes:
    """Hash: worker → number of its sessions and when it said so, where members are only counted. Else there is none."""
    return _beside(room, b"counts")


def verified(room: str) -> bytes:
    """Hash: skeleton of a verified user's name (`gateway/names.py`) → number of its sessions, and the user's id."""
    return _beside(room, b"verified")


def read(room: str) -> bytes:
    """Hash: user → position up to which it has read."""
    return _beside(room, b"read")


def live(room: str) -> bytes:
    """Channel: what happens in the room, in order."""
    return _beside(room, b"live")


def hooked(room: str, hook: str) -> bytes:
    """Hash: how far a webhook was told of the room. `at` is the position of the last message, `told` the version of the
    last state, `gap` where what it misses begins, `fence` the number of the lease under which that was written."""
    return _beside(room, b"hooked:" + hook.encode())


def occupied(room: str) -> bytes:
    """Hash: whether webhooks are told that somebody is in the room (`is`), and the room's versions."""
    return _beside(room, b"occupied")


def hook_lease(part: int) -> bytes:
    """Hash: which worker posts to webhooks what happens in a sixteenth of the rooms, until when, and under which
    number. The keys beside it share its slot."""
    return b"%bgateway:hooks:lease:%d" % (_PREFIX, part)


def hook_marks(part: int) -> bytes:
    """Set: where in those rooms something has happened that no holder of the lease has seen yet."""
    return b"%bgateway:hooks:{%b}:dirty" % (_PREFIX, hook_lease(part))


def hook_pending(part: int, hook: str) -> bytes:
    """Sorted set: what of that a webhook must still be told, scored with the time since when (s since 1970)."""
    return b"%bgateway:hooks:{%b}:pending:%b" % (_PREFIX, hook_lease(part), hook.encode())


def hook_occupied(part: int) -> bytes:
    """Set: those of the rooms in which somebody is, by what webhooks are told."""
    return b"%bgateway:hooks:{%b}:occupied" % (_PREFIX, hook_lease(part))


def worker_rooms(worker: str) -> bytes:
    """Set: rooms in which the worker has sessions, for those who clean up after it."""
    return _PREFIX + b"gateway:worker:" + worker.encode() + b":rooms"


def worker_state(worker: str) -> bytes:
    """String: what the worker says of itself to the server API, as JSON, for as long as a heartbeat counts."""
    return _PREFIX + b"gateway:worker:" + worker.encode() + b":state"


def answers(asker: str) -> bytes:
    """Channel on which somebody who asked workers about themselves hears the answers."""
    return _PREFIX + b"gateway:answers:" + asker.encode()


def worker_probe(worker: str) -> bytes:
    """Channel on which a worker hears its own probes."""
    return _PREFIX + b"gateway:worker:" + worker.encode() + b":probe"


def slot_probe(tag: bytes, worker: str) -> bytes:
    """The same on a Cluster: a channel in the slot of `tag`."""
    return b"%b{%b}:gateway:probe:%b" % (_PREFIX, tag, worker.encode())


def jwks(url_hash: str) -> bytes:
    """String: when the keys at that address were read, and what they were. The address is named by its SHA-256."""
    return _PREFIX + b"gateway:jwks:" + url_hash.encode()


def check(word: bytes) -> bytes:
    """Key and channel with which `gateway check` tries Redis; `word` is random."""
    return _PREFIX + b"gateway:check:" + word


def may_be_refused(channel: bytes) -> bool:
    """Whether a worker can do without a channel that its user of Redis may not listen to."""
    return channel == CONTROL


def is_nodes(channel: bytes) -> bool:
    """Whether Node's adapters and emitters speak on a channel."""
    return channel.startswith(_NODE) or channel in NODE_CHANNELS


def is_plain(channel: bytes) -> bool:
    """Whether a channel is no room's: such channels are not sharded on a Cluster. Only rooms' have a hash tag."""
    return b"{" not in channel
