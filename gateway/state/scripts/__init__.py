"""The Lua scripts: one operation per file, each naming its KEYS and ARGV at the top.

Owns their texts and digests. A link loads all of them when it opens, so that EVALSHA finds them.
"""

from __future__ import annotations

import hashlib
from importlib import resources

from gateway.redis.script import Script

MODERATED = b"--@moderated\n"
"""The line of a script in whose place the text of moderated.lua stands."""

SET_SLOW_MS = b"local set_slow_ms -- the time between two messages, where moderators have set one\n"


TRACED = b"--@traced\n"
"""The line of publish.lua in whose place the trace is told, where one is."""

TAKE_TRACE = b"local after_traced, before_traced = table.remove(ARGV), table.remove(ARGV)\n"
TELL_TRACE = b"call(publish_command, channel, before_traced .. position .. after_traced)\n"
"""What goes before a traced message on its channel: `rooms/traced_notes.py` knows its form."""


def _file(name: str) -> bytes:
    return resources.files(__package__).joinpath(f"{name}.lua").read_bytes()


def _text(name: str) -> bytes:
    return _file(name).replace(MODERATED, _file("moderated")).replace(TRACED, b"")


def _script(name: str, *parts: bytes) -> Script:
    text = b"".join(parts)
    return Script(name, text, hashlib.sha1(text).hexdigest().encode())


def _load(name: str, *needs: str) -> Script:
    return _script(name, *(_text(part) for part in (*needs, name)))


def _load_slowly() -> Script:
    """Publishing with a least time between two messages of one user: the publish script as a function of another."""
    as_function = (b"local function publish()\n", _text("publish"), b"\nend\n")
    return _script("slowly", _text("epoch"), SET_SLOW_MS, *as_function, _text("slowly"))


def _load_traced() -> Script:
    """Publishing with the trace told before the message: the publish script with two arguments more at its end."""
    text = _file("publish").replace(MODERATED, _file("moderated")).replace(TRACED, TELL_TRACE)
    return _script("publish_traced", TAKE_TRACE, _text("epoch"), SET_SLOW_MS, text)


PUBLISH = _script("publish", _text("epoch"), SET_SLOW_MS, _text("publish"))
PUBLISH_SLOWLY = _load_slowly()
PUBLISH_TRACED = _load_traced()
"""Not in `ALL`: servers are made to know it where tracing is on."""
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
    PUBLISH,
    PUBLISH_SLOWLY,
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
