"""Commands that wait because a Cluster's slot moves to another node."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from gateway.errors import StoreError, StoreMoved, StoreUnavailable
from gateway.interfaces import OnReply, Reply
from gateway.redis.cluster.slot_map import Address
from gateway.redis.connection import pack

AGAIN_S = 0.02
"""Wait before a command is tried again whose keys are moving at this moment."""

ASKING = pack(b"ASKING")


@dataclass(slots=True)
class RedirectedCommand:
    """A command that was sent or waits: what it is, who hears of it, and until when it may be tried."""

    command: bytes
    on_reply: OnReply
    until_s: float
    ask: Address | None = None
    limit: asyncio.TimerHandle | None = None
    is_answered: bool = False

    def begin_to_wait(self) -> None:
        """The time that a command has counts from when it was submitted, whatever it waits for on its way."""
        if self.limit is None:
            late = StoreUnavailable("the store did not answer in time")
            wait_s = max(0.0, self.until_s - time.monotonic())
            self.limit = asyncio.get_running_loop().call_later(wait_s, self.answer, late)

    def answer(self, reply: Reply) -> None:
        """Hands on the first reply; one that comes after the time is up, or after that, is nobody's."""
        if not self.is_answered:
            self.is_answered = True
            self.on_reply(reply)
        if self.limit is not None:
            self.limit.cancel()


@dataclass(slots=True)
class SlotRedirect:
    """One slot on the move: what a node turned away, then what was submitted meanwhile."""

    turned: list[RedirectedCommand] = field(default_factory=list)
    held: list[RedirectedCommand] = field(default_factory=list)
    not_before_s: float = 0.0


def is_redirect(reply: Reply) -> bool:
    """Whether a node turned a command away because of its slot: MOVED, ASK or TRYAGAIN."""
    return isinstance(reply, StoreMoved) or (
        isinstance(reply, StoreError) and str(reply).startswith("TRYAGAIN")
    )


def ignore(reply: Reply) -> None:
    """Nobody waits for the answer to ASKING."""
