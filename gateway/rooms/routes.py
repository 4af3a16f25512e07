"""Routes: how a room's messages come back from Redis to the workers that have members there.

One small class each. A route names the channel of a room, the words that publish to it, and what it must be
subscribed to; `unwrap` turns what a channel brought into (room channel, payload). Sentinel is no route.
"""

from __future__ import annotations

from typing import Protocol

import orjson

from gateway import keys
from gateway.state.publish_scripts import Wrapping


class Route(Protocol):
    """One way for messages to come back."""

    publish_verb: bytes
    subscribe_verb: bytes
    is_per_room: bool

    def channel(self, room: str) -> bytes:
        """The channel on which a room's messages are published."""

    def wrapping(self, event: str = "receive") -> Wrapping:
        """What is put around the head and the data of an event (`payloads.py`)."""

    def position(self, room: str, position: str) -> bytes:
        """What tells a room's position, without a message."""

    def unwrap(self, channel: bytes, payload: bytes) -> tuple[bytes, bytes] | None:
        """(the room's own channel name, `<head> <JSON>`), or None if this is no room's message. Without JSON the head
        is the room's position."""


class RoomRoute:
    """The default: a channel per room, heard only by workers with members there."""

    publish_verb = b"PUBLISH"
    subscribe_verb = b"SUBSCRIBE"
    is_per_room = True

    def channel(self, room: str) -> bytes:
        return keys.live(room)

    def wrapping(self, event: str = "receive") -> Wrapping:
        return Wrapping(b"", (b" ",), b"")

    def position(self, room: str, position: str) -> bytes:
        return position.encode()

    def unwrap(self, channel: bytes, payload: bytes) -> tuple[bytes, bytes] | None:
        """While a deployment goes from the shared route to this one, workers of both are there. What the others say
        comes on python-socketio's channel, with its position: a room's message, and no emit of a stranger."""
        if channel == keys.SOCKETIO_CHANNEL:
            return SharedRoute().unwrap(channel, payload)
        return channel, payload


class ClusterRoute(RoomRoute):
    """The same on a Redis Cluster, by sharded channels that live where the room's keys are."""

    publish_verb = b"SPUBLISH"
    subscribe_verb = b"SSUBSCRIBE"


class SharedRoute:
    """One channel for all rooms, python-socketio's own, in the form of AsyncRedisManager: any stock server on that
    channel delivers the messages too."""

    publish_verb = b"PUBLISH"
    subscribe_verb = b"SUBSCRIBE"
    is_per_room = False
    _HEAD = b'{"gateway":["'
    _BEFORE_ROOM = b'",'
    _AFTER_ROOM = b'],"method":"emit"'
    _BEFORE_DATA = b'"data":['
    _NO_DATA = b'],"method":"position"}'

    def channel(self, room: str) -> bytes:
        return keys.SOCKETIO_CHANNEL

    def wrapping(self, event: str = "receive") -> Wrapping:
        until_room = b'],"method":"emit","event":"%b","namespace":"/","room":' % event.encode()
        until_data = b',"skip_sid":null,"callback":null,"binary":false,"host_id":"gateway","data":['
        return Wrapping(self._HEAD, (self._BEFORE_ROOM, until_room, until_data), b"]}")

    def position(self, room: str, position: str) -> bytes:
        return self._HEAD + position.encode() + self._BEFORE_ROOM + orjson.dumps(room) + self._NO_DATA

    def unwrap(self, channel: bytes, payload: bytes) -> tuple[bytes, bytes] | None:
        if not payload.startswith(self._HEAD):
            return None
        try:
            return self._opened(payload)
        except (ValueError, AttributeError, TypeError):  # it only begins like one of ours
            return None

    def _opened(self, payload: bytes) -> tuple[bytes, bytes]:
        head, _, rest = payload[len(self._HEAD) :].partition(self._BEFORE_ROOM)
        if rest.endswith(self._NO_DATA):
            return keys.live(orjson.loads(rest[: -len(self._NO_DATA)])), head
        room, _, rest = rest.partition(self._AFTER_ROOM)
        data = rest[rest.index(self._BEFORE_DATA) + len(self._BEFORE_DATA) : -2]
        return keys.live(orjson.loads(room)), head + b" " + data


def route_for(name: str, is_cluster: bool) -> Route:
    """The route of that name; `auto` is `cluster` on a Cluster and `per-room` elsewhere."""
    if name == "shared":
        return SharedRoute()
    if name == "cluster" or (name == "auto" and is_cluster):
        return ClusterRoute()
    return RoomRoute()
