"""What was said in a room and is not answered yet: in its order, each with the key under which it is repeated.

The gateway knows a key for 5 minutes. A message that has left, was not answered, and comes back to a connection
later than that would be stored twice if it had been stored: it fails with `no_answer`, and whoever said it decides.
What has not left yet waits as long as it must.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Generator, Mapping
from typing import Any

from gateway.client.errors import NO_ANSWER, ChatError

WAITING_MAX = 1000
"""How many messages of a room may wait; more are refused at once."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""One that goes on while the machine sleeps."""


def now_s() -> float:
    """Seconds since the machine started."""
    return time.clock_gettime(_CLOCK)


class Pending:
    """A message that was said here: `await` it for its position, or let it be.

    key            its idempotency key
    id             its position, once it is stored
    error          why it will not be stored; or, with `no_answer`, that nobody knows
    unsure_since_s since when it may have been stored without an answer; None if it was not
    """

    __slots__ = ("_done", "error", "id", "key", "meta", "room", "text", "unsure_since_s")

    def __init__(self, room: str, text: str, meta: Mapping[str, Any] | None = None) -> None:
        self.room, self.text, self.meta = room, text, meta
        self.key = str(uuid.uuid4())
        self.id: str | None = None
        self.error: ChatError | None = None
        self.unsure_since_s: float | None = None
        self._done = asyncio.Event()

    @property
    def state(self) -> str:
        """`waiting`, `sent` or `failed`."""
        return "failed" if self.error is not None else "waiting" if self.id is None else "sent"

    def said(self) -> dict[str, Any]:
        """The data of `send`."""
        meta = {} if self.meta is None else {"meta": dict(self.meta)}
        return {"room": self.room, "message": self.text, "idempotency_key": self.key, **meta}

    def settle(self, position: str) -> None:
        """It is stored."""
        self.id = position
        self._done.set()

    def fail(self, error: ChatError) -> None:
        """It is given up."""
        self.error = error
        self._done.set()

    def __await__(self) -> Generator[Any, None, str]:
        return self._result().__await__()

    async def _result(self) -> str:
        await self._done.wait()
        if self.id is None:
            assert self.error is not None
            raise self.error
        return self.id


class Outbox:
    """The messages of one room that are not answered yet; the first is on its way."""

    def __init__(self, key_life_s: float) -> None:
        self._waiting: deque[Pending] = deque()
        self._key_life_s = key_life_s

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def pending(self) -> list[Pending]:
        """All of them, in the order in which they were said."""
        return list(self._waiting)

    def add(self, pending: Pending) -> None:
        """One more. Raises ChatError where too many wait."""
        if len(self._waiting) >= WAITING_MAX:
            raise ChatError("queue_full", f"{WAITING_MAX} messages wait already.", retryable=True)
        self._waiting.append(pending)

    def first(self, at_s: float) -> Pending | None:
        """What is to be sent now. Gives up what cannot be repeated any more."""
        while self._waiting:
            pending = self._waiting[0]
            if pending.unsure_since_s is None or at_s - pending.unsure_since_s < self._key_life_s:
                return pending
            self._waiting.popleft().fail(
                ChatError(
                    NO_ANSWER, "Nobody knows whether it was stored, and its key is too old to ask again."
                )
            )
        return None

    def settle(self, pending: Pending, position: str) -> None:
        """It is stored."""
        self._remove(pending)
        pending.settle(position)

    def fail(self, pending: Pending, error: ChatError) -> None:
        """It was refused for good."""
        self._remove(pending)
        pending.fail(error)

    def fail_all(self, error: ChatError) -> None:
        """Nothing will be sent any more."""
        while self._waiting:
            self._waiting.popleft().fail(error)

    def _remove(self, pending: Pending) -> None:
        if pending in self._waiting:
            self._waiting.remove(pending)
