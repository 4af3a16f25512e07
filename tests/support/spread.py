"""Members on every worker, though the kernel picks who accepts: session ids tell where one landed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from tests.support.clients import Member, Transport
from tests.support.gateways import Gateway

BATCH = 8
LIMIT_S = 30.0


def worker_of(member: Member, names: set[str]) -> str:
    """The worker that holds a member's session, whose id is `<worker>.<random>`."""
    name = member.sid.partition(".")[0]
    assert name in names, f"session id {member.sid} does not begin with one of {names}"
    return name


async def one_on_each(
    gateway: Gateway, connect: Callable[..., Awaitable[Member]], transport: Transport = "websocket"
) -> list[Member]:
    """One member on every worker; those that landed where one is already are closed again."""
    names = await gateway.worker_names()
    placed: dict[str, Member] = {}
    begun = time.monotonic()
    while time.monotonic() - begun < LIMIT_S:
        for member in await asyncio.gather(*(connect(gateway.url, transport) for _ in range(BATCH))):
            if placed.setdefault(worker_of(member, names), member) is not member:
                await member.close()
        if len(placed) == len(names):
            return [placed[name] for name in sorted(names)]
    raise AssertionError(f"no connection ever reached {names - set(placed)}")
