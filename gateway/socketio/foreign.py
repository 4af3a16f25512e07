"""What other processes publish on python-socketio's channel, read before anything is done with it.

Owns which messages there are and what each must hold. Promises that whatever is not one of them raises `Unreadable`
with the kind under which it is counted, and a sentence for who runs the publisher. Functions of values without I/O.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from gateway.transport.codec import MalformedPacket, load_json


class Unreadable(Exception):
    """A message that the gateway cannot read or do; `kind` is a reason of `metrics.emits_refused`."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.sentence = sentence


NODES = (
    "socketio_redis_adapter",
    "Node's Redis adapter and emitters are not understood: publish as python-socketio does.",
)
"""Kind and sentence of whatever comes on a channel of Node's."""


def read_message(payload: bytes) -> dict[str, Any] | None:
    """The message in a payload; None for one that is nobody's fault and means nothing here. Raises Unreadable."""
    try:
        message = load_json(payload)
    except MalformedPacket as error:
        raise _foreign(payload) from error
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        raise Unreadable("not_a_message", "JSON without a method, which is no message of python-socketio.")
    if message["method"] in _IGNORED:
        return None
    if (check := _CHECKS.get(message["method"])) is None:
        raise Unreadable("not_a_message", "The method is none of python-socketio's.")
    check(message)
    return message


def _foreign(payload: bytes) -> Unreadable:
    """By its first bytes: a pickle says its protocol, msgpack begins with a map or a list."""
    first, second = payload[:1], payload[1:2]
    if first == b"\x80" and second in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return Unreadable(
            "pickle",
            "Pickles are never read, as they can run code: python-socketio 5.14 or newer writes JSON.",
        )
    if b"\x80" <= first <= b"\x9f" or first in (b"\xdc", b"\xdd", b"\xde", b"\xdf"):
        return Unreadable("msgpack", "msgpack is not read: leave the publisher's option `json` as it is.")
    return Unreadable("not_a_message", "Neither JSON nor anything else that publishers are known to write.")


def _need(is_so: bool, sentence: str) -> None:
    if not is_so:
        raise Unreadable("malformed", sentence)


def _check_emit(message: dict[str, Any]) -> None:
    event, callback, data = message.get("event"), message.get("callback"), message.get("data")
    _need(isinstance(event, str), "An emit needs an 'event', which is a string.")
    _check_namespace(message)
    for field in ("room", "skip_sid"):
        value = message.get(field)
        names = value if isinstance(value, list) else [value]
        _need(all(map(_is_name, names)), f"The '{field}' of an emit is a name, or a list of names.")
    _need(
        callback is None or (isinstance(callback, list) and len(callback) == 3),
        "The 'callback' of an emit is a list of three.",
    )
    if message.get("binary"):
        is_whole = isinstance(data, list) and len(data) > 0 and all(map(_is_base64, data[1:]))
        _need(is_whole, "The 'data' of a binary emit is a list of the data and its attachments in base64.")


def _check_client(message: dict[str, Any]) -> None:
    _need(isinstance(message.get("sid"), str), "A change of a client needs a 'sid', which is a string.")
    _check_namespace(message)


def _check_room(message: dict[str, Any]) -> None:
    is_room = message.get("room") is not None and _is_name(message["room"])
    _need(is_room, "A change of a room needs a 'room', which is a name.")
    _check_namespace(message)


def _check_clients_room(message: dict[str, Any]) -> None:
    _check_client(message)
    _check_room(message)


def _check_callback(message: dict[str, Any]) -> None:
    _need(isinstance(message.get("sid"), str), "A callback needs a 'sid', which is a string.")
    _need(isinstance(message.get("args"), list), "A callback needs 'args', which is a list.")


def _check_namespace(message: dict[str, Any]) -> None:
    namespace = message.get("namespace")
    _need(namespace is None or isinstance(namespace, str), "A 'namespace' is a string.")


def _is_base64(value: Any) -> bool:
    try:
        return isinstance(value, str) and base64.b64decode(value, validate=True) is not None
    except ValueError:
        return False


def _is_name(value: Any) -> bool:
    """Rooms of python-socketio may have any JSON value for a name that can be looked up; None is no room at all."""
    return value is None or isinstance(value, str | int | float)


_CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "emit": _check_emit,
    "disconnect": _check_client,
    "enter_room": _check_clients_room,
    "leave_room": _check_clients_room,
    "close_room": _check_room,
    "callback": _check_callback,
}

_IGNORED = ("position",)
"""What gateways on the route `shared` tell each other; one on another route may hear it."""
