"""Many commands at once: one round trip and one wait for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TypeVar

from gateway.interfaces import CommandStore, Reply

BATCH = 100
"""Commands that go to the store at once where there are many: 20,000 rooms take 200 round trips, and a batch keeps the
worker's clients waiting for a few milliseconds."""

Item = TypeVar("Item")


def batched(whole: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """The whole in pieces of `BATCH`."""
    return (whole[at : at + BATCH] for at in range(0, len(whole), BATCH))


async def all_replies(store: CommandStore, commands: Sequence[tuple[bytes, bytes]]) -> list[Reply]:
    """Sends packed commands, each with its key; returns the replies in their order, a StoreError where one failed."""
    replies: list[Reply] = [None] * len(commands)
    done = asyncio.Event()
    left = len(commands)

    def on_reply(place: int, reply: Reply) -> None:
        nonlocal left
        replies[place] = reply
        left -= 1
        if not left:
            done.set()

    for place, (key, command) in enumerate(commands):
        store.submit(key, command, partial(on_reply, place))
    if commands:
        await done.wait()
    return replies
