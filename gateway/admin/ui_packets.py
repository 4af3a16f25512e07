"""What is sent to the Admin UI, as packets: events of the namespace `/admin`."""

from __future__ import annotations

from typing import Any

import orjson

NAMESPACE = "/admin"
"""Where that UI connects unless it is told another one."""

FEATURES = ("AGGREGATED_EVENTS",)
"""What it is told that there is: numbers. No emit, join, leave or disconnect, and no list of sockets."""


def packet(event: str, data: Any) -> bytes:
    """An Engine.IO text packet: MESSAGE, Socket.IO EVENT of `/admin`, the event and its argument."""
    return b"42%b,%b" % (NAMESPACE.encode(), orjson.dumps([event, data]))


def greeting(session_id: str) -> list[bytes]:
    """What comes first: the id by which a page that is loaded again signs in, what there is, and no sockets."""
    return [
        packet("session", session_id),
        packet("config", {"supportedFeatures": FEATURES}),
        packet("all_sockets", []),
    ]
