"""The scripts that publish, made for one way of publishing.

Owns what stands in their text and is no argument: all that is the same for each message of a worker. Written as
arguments, these nine values cost Redis an eighth of what a publish takes there (0.87 of it without them; 41 rounds of
8,000 publishes over 50 rooms; 0.84 to 0.91 in the middle half). Workers with other options have scripts of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from gateway.option_groups import PublishOptions
from gateway.redis.script import Script
from gateway.state.keeping import Keeping
from gateway.state.scripts import read, script_of

CONSTANTS = b"--@constants\n"
"""The line of publish.lua in whose place they stand."""

TRACED = b"--@traced\n"
"""The line of publish.lua in whose place the trace is told, where one is."""

SET_SLOW_MS = b"local set_slow_ms -- the time between two messages, where moderators have set one\n"

TAKE_TRACE = b"local after_traced, before_traced = table.remove(ARGV), table.remove(ARGV)\n"
TELL_TRACE = b"call(publish_command, channel, before_traced .. position .. after_traced)\n"
"""What goes before a traced message on its channel: `rooms/traced_notes.py` knows its form."""


class Wrapping(NamedTuple):
    """What a channel's payload has around the head and the JSON of a message (`rooms/routes.py`): before both, between
    them, in parts between which the room's name stands as JSON, and after both."""

    before: bytes
    between: tuple[bytes, ...]
    after: bytes


@dataclass(frozen=True, slots=True)
class Publishing:
    """What is the same for each message that a worker publishes.

    verb        PUBLISH, or SPUBLISH for sharded channels
    wrapping    what is around a message on its channel
    options     how long things are kept where no rule says more
    has_origin  whether the channel says which server a message comes from: nodes of a Cluster bring each other's
    """

    verb: bytes
    wrapping: Wrapping
    options: PublishOptions
    has_origin: bool = False


class PublishScripts(NamedTuple):
    """The same script in three forms: as it is, after a look at the sender's slow key, and with its trace told."""

    plain: Script
    slowly: Script
    traced: Script


@lru_cache(maxsize=8)
def publish_scripts(publishing: Publishing) -> PublishScripts:
    """The scripts of a worker."""
    constants = _constants(publishing)
    epoch, text = read("epoch"), read("publish").replace(CONSTANTS, constants)
    plain = SET_SLOW_MS + text.replace(TRACED, b"")
    return PublishScripts(
        plain=script_of("publish", epoch, plain),
        slowly=script_of(
            "slowly", epoch, SET_SLOW_MS, b"local function publish()\n", text.replace(TRACED, b""), b"\nend\n",
            read("slowly"),
        ),
        traced=script_of("publish_traced", TAKE_TRACE, epoch, SET_SLOW_MS, text.replace(TRACED, TELL_TRACE)),
    )  # fmt: skip


def spare_epoch(epoch: str, kept: Keeping, options: PublishOptions) -> bytes:
    """The argument of that name: the epoch, and how the room is kept where that is not what the options say."""
    numbers = (kept.messages, kept.history_ttl_s, kept.position_ttl_s)
    if numbers == (options.history_messages, options.history_ttl_s, options.position_ttl_s):
        return epoch.encode()
    return b"%b %d %d %d" % (epoch.encode(), *numbers)


def _constants(publishing: Publishing) -> bytes:
    options, wrapping = publishing.options, publishing.wrapping
    lines = (
        b"local publish_command, before_position, after_data = %b, %b, %b"
        % tuple(map(_literal, (publishing.verb, wrapping.before, wrapping.after))),
        b"local before_data = " + b" .. room_json .. ".join(map(_literal, wrapping.between)),
        b"local entries_max, history_ttl_s, meta_ttl_s, idempotency_ttl_s = %d, %d, %d, %d"
        % (
            options.history_messages,
            options.history_ttl_s,
            options.position_ttl_s,
            options.idempotency_ttl_s,
        ),
        b"local has_origin = " + (b"true" if publishing.has_origin else b"false"),
    )
    return b"".join(line + b"\n" for line in lines)


def _literal(text: bytes) -> bytes:
    """A string of Lua: each byte that is no letter by its number."""
    return b'"%b"' % b"".join(
        bytes((each,)) if chr(each).isalnum() and each < 128 else b"\\%03d" % each for each in text
    )
