"""The Lua scripts: one operation per file, each naming its KEYS and ARGV at the top.

Owns their texts and digests. A connection loads them when it opens, so that EVALSHA finds them. Those that publish are
made in `publish_scripts.py`, each worker's for its options.
"""

from __future__ import annotations

import hashlib
from importlib import resources

from gateway.redis.script import Script

MODERATED = b"--@moderated\n"
"""The line of a script in whose place the text of moderated.lua stands."""


def read(name: str) -> bytes:
    """The text of a file, as it is part of a script."""
    text = resources.files(__package__).joinpath(f"{name}.lua").read_bytes()
    return text.replace(MODERATED, read("moderated")) if MODERATED in text else text


def script_of(name: str, *parts: bytes) -> Script:
    """A script with this text."""
    text = b"".join(parts)
    return Script(name, text, hashlib.sha1(text).hexdigest().encode())


def _load(name: str, *needs: str) -> Script:
    return script_of(name, *map(read, (*needs, name)))


SNAPSHOT = _load("snapshot", "epoch")
PRESENCE_JOIN = _load("presence_join", "verified", "let_in")
PRESENCE_LEAVE = _load("presence_leave", "verified")
PRESENCE_AWAY = _load("presence_away")
PRESENCE_SWEEP = _load("presence_sweep", "verified", "counted")
MEMBERS = _load("members", "counted")
COUNT_JOIN = _load("count_join", "counted", "let_in")
COUNT_WRITE = _load("count_write", "counted")
IDENTIFIED = _load("identified")
MARK_READ = _load("mark_read")
UNREAD = _load("unread")
WORKER_BEAT = _load("worker_beat")
READY = _load("ready")
REVOKE = _load("revoke")
CHANGE = _load("change")
MODERATE = _load("moderate")
HOOK_WORKERS = _load("hook_workers")
HOOK_LEASE = _load("hook_lease")
HOOK_MOVE = _load("hook_move")
HOOK_DONE = _load("hook_done")
HOOK_READ = _load("hook_read")
HOOK_ADVANCE = _load("hook_advance")
HOOK_OCCUPIED = _load("hook_occupied", "counted")
HOOK_MEMBER = _load("hook_member")
HOOK_TOLD = _load("hook_told")

ALL = (
    SNAPSHOT,
    PRESENCE_JOIN,
    PRESENCE_LEAVE,
    PRESENCE_AWAY,
    PRESENCE_SWEEP,
    MEMBERS,
    COUNT_JOIN,
    COUNT_WRITE,
    IDENTIFIED,
    MARK_READ,
    UNREAD,
    WORKER_BEAT,
    READY,
    REVOKE,
    CHANGE,
    MODERATE,
    HOOK_WORKERS,
    HOOK_LEASE,
    HOOK_MOVE,
    HOOK_DONE,
    HOOK_READ,
    HOOK_ADVANCE,
    HOOK_OCCUPIED,
    HOOK_MEMBER,
    HOOK_TOLD,
)
