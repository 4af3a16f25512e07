"""The Lua scripts: one operation per file, each naming its KEYS and ARGV at the top.

Owns their texts and digests. A link loads all of them when it opens, so that EVALSHA finds them.
"""

from __future__ import annotations

import hashlib
from importlib import resources

from gateway.redis.script import Script


def _text(name: str) -> bytes:
    return resources.files(__package__).joinpath(f"{name}.lua").read_bytes()


def _load(name: str, *needs: str) -> Script:
    text = b"".join(_text(part) for part in (*needs, name))
    return Script(name, text, hashlib.sha1(text).hexdigest().encode())


PUBLISH = _load("publish", "epoch")
SNAPSHOT = _load("snapshot", "epoch")
PRESENCE_JOIN = _load("presence_join", "verified")
PRESENCE_LEAVE = _load("presence_leave", "verified")
PRESENCE_AWAY = _load("presence_away")
PRESENCE_SWEEP = _load("presence_sweep", "verified")
MEMBERS = _load("members")
WORKER_BEAT = _load("worker_beat")
READY = _load("ready")

ALL = (
    PUBLISH,
    SNAPSHOT,
    PRESENCE_JOIN,
    PRESENCE_LEAVE,
    PRESENCE_AWAY,
    PRESENCE_SWEEP,
    MEMBERS,
    WORKER_BEAT,
    READY,
)
