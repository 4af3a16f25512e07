"""The commands that publish: EVALSHA of a script and its arguments, in RESP.

Owns their form. What all messages of a room share is made once per room and epoch. Of nearly all messages only three or
four arguments are their own, and one formatting puts them behind that: 0.4 µs, where joining single ones takes 2.5.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from gateway import keys
from gateway.interfaces import CommandStore
from gateway.option_groups import PublishOptions
from gateway.redis.script import Script
from gateway.rooms.room import Room
from gateway.rooms.routes import Route
from gateway.state.history import new_epoch
from gateway.state.keeping import RoomKeeping
from gateway.state.publish_scripts import Publishing, publish_scripts, spare_epoch

SHARED = 8
"""Arguments that all messages of a room share, the words before the keys and the keys among them."""

PLAIN = b"*11\r\n%b$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
"""A message that has nothing particular: what the room's messages share; epoch and seq of what was observed, and the
entry's head, each after its length."""

WITH_MORE = b"*12\r\n%b$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
"""The same, and the JSON members that go with it: where users are known, each message has some."""


class Once(NamedTuple):
    """What tells a message that is sent again from another one: who sends it, its key, and its text."""

    user: str
    username: str
    key: str
    message: str

    @property
    def content(self) -> bytes:
        """A digest of sender and text: 80 bits, as nobody but the sender could gain by two that are alike."""
        text = f"{self.user or self.username}\0{self.message}"
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:20].encode()


class PublishCommands:
    """Makes the commands of one worker."""

    def __init__(self, store: CommandStore, route: Route, options: PublishOptions, kept: RoomKeeping) -> None:
        self.scripts = publish_scripts(publishing(route, options, store.has_origins))
        self._route = route
        self._options = options
        self._kept = kept

    def prepare(self, room: Room) -> bytes:
        """What the commands of a room's messages share; kept with the room until its spare epoch may be taken."""
        name = room.name
        spare = spare_epoch(new_epoch(), self._kept.keeping(name), self._options)
        room.publish_head = b"".join(map(bulk, (
            b"EVALSHA", self.scripts.plain.digest, b"2", keys.history(name), keys.meta(name),
            self._route.channel(name), room.name_json, spare,
        )))  # fmt: skip
        return room.publish_head

    def particular(
        self, room: Room, head: bytes, once: Once | None, more: bytes, looks_back: bool, is_exempt: bool
    ) -> bytes:
        """The command of a message that has an idempotency key, or may be sent at any time, or is told to a Redis that
        may have lost something. With `looks_back` also what gateways of before called the key is looked up."""
        epoch, seq, other, ms_ago = room.observed.arguments()
        content = once.content if once is not None else b""
        own = [epoch, seq, head, more, content, other, ms_ago, b"1" if is_exempt else b""]
        while not own[-1]:  # the last five may be left out
            own.pop()
        shared, names = room.publish_head or self.prepare(room), list[bytes]()
        if once is not None:
            names = _idempotency_keys(room.name, once, looks_back)
            shared = _with_keys(shared, room.name, names)
        count = SHARED + len(names) + len(own)
        return b"".join((b"*%d\r\n" % count, shared, *map(bulk, own)))

    def slowly(self, command: bytes, slow_key: bytes, slow_ms: int) -> bytes:
        """A publish command made one of the script that looks at the sender's slow key first."""
        count, _, rest = command.partition(_names(self.scripts.plain))
        keys_count, _, rest = rest.removeprefix(b"$1\r\n").partition(b"\r\n")
        head = b"%b%b$1\r\n%d\r\n" % (_two_more(count), _names(self.scripts.slowly), int(keys_count) + 1)
        return b"".join((head, bulk(slow_key), rest, bulk(b"%d" % slow_ms)))

    def traced(self, command: bytes, note: tuple[bytes, bytes]) -> bytes:
        """A publish command made one that tells a note; any other (WAIT) as it is."""
        count, names_script, rest = command.partition(_names(self.scripts.plain))
        if not names_script:
            return command
        return b"".join((_two_more(count), _names(self.scripts.traced), rest, *map(bulk, note)))


def publishing(route: Route, options: PublishOptions, has_origins: bool) -> Publishing:
    """What is the same for all messages of a worker."""
    return Publishing(route.publish_verb, route.wrapping(), options, has_origins)


def bulk(data: bytes) -> bytes:
    """An argument of a command."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


def _idempotency_keys(room: str, once: Once, looks_back: bool) -> list[bytes]:
    found = [keys.idempotency(room, once.user, once.username, once.key)]
    return [*found, keys.older_idempotency(room, once.key)] if looks_back else found


def _with_keys(shared: bytes, room: str, names: list[bytes]) -> bytes:
    """With more keys behind those of the room."""
    both = bulk(keys.history(room)) + bulk(keys.meta(room))
    before, _, after = shared.partition(bulk(b"2") + both)
    return b"".join((before, bulk(b"%d" % (2 + len(names))), both, *map(bulk, names), after))


def _names(script: Script) -> bytes:
    return b"\r\n$7\r\nEVALSHA\r\n" + bulk(script.digest)


def _two_more(count: bytes) -> bytes:
    return b"*%d" % (int(count[1:]) + 2)
