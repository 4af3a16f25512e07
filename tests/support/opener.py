"""What the fixture `connect` gives."""

from __future__ import annotations

from typing import Any, Protocol

from tests.support.clients import Member, Transport


class Opener(Protocol):
    """Opens members as `Member.connect` does; they are closed when the test is over."""

    async def __call__(self, url: str, transport: Transport = "websocket", **more: Any) -> Member: ...
