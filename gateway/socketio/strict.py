"""python-socketio's packets, read as strictly as the Socket.IO v5 document and the reference parser have it.

Owns what python-socketio takes and must not: numbers that JSON does not have, and attachments that are not there.
"""

from __future__ import annotations

import json
from typing import Any

from socketio import packet

from gateway.transport.codec import MalformedPacket, load_json


class StrictJson:
    """The JSON of packets, with the two functions of a JSON module that python-socketio uses."""

    dumps = staticmethod(json.dumps)

    @staticmethod
    def loads(text: str | bytes) -> Any:
        """Raises MalformedPacket for what is not JSON, NaN and Infinity among it; bytes come from other processes."""
        return load_json(text if isinstance(text, bytes) else text.encode())


class StrictPacket(packet.Packet):  # type: ignore[misc]
    """A packet whose places for attachments must name attachments."""

    json = StrictJson

    @classmethod
    def _reconstruct_binary_internal(cls, data: Any, attachments: list[bytes]) -> Any:
        """Puts attachments into their places. Raises MalformedPacket for a place without one."""
        if isinstance(data, dict) and data.get("_placeholder") is True:
            number = data.get("num")
            if type(number) is not int or not 0 <= number < len(attachments):
                raise MalformedPacket("an attachment that is not there")
            return attachments[number]
        if isinstance(data, list):
            return [cls._reconstruct_binary_internal(item, attachments) for item in data]
        if isinstance(data, dict):
            return {key: cls._reconstruct_binary_internal(value, attachments) for key, value in data.items()}
        return data
