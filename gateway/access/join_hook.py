"""The application decides about rooms whose rule says `hook`: it is asked by one POST, and its answer is remembered.

Owns when it is asked, and what holds while it is away:

- It is asked once at a time about the same user and room; who asks meanwhile gets the same answer.
- An answer with `ttl_s` is remembered for so long, at most for `REMEMBERED_S`.
- At most `IN_FLIGHT_MAX` questions are under way. While half of the last `WINDOW` have failed, it is left alone for
  `PAUSE_S`.
- A question that fails is not repeated: the join is refused as `unavailable`, and the client may try again. Nothing is
  ever allowed because the hook is away.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

import structlog

from gateway.access.application import IN_FLIGHT_MAX, PAUSE_S, Breaker
from gateway.access.identity import Identity
from gateway.access.permissions import HookAway
from gateway.access.rights import Rights
from gateway.background import Background
from gateway.metrics import hook_answers

log = structlog.get_logger("gateway.access")

REMEMBERED_S = 300.0
"""Longest time for which an answer holds."""

REMEMBERED_MAX = 20_000
"""Answers that are remembered; of more, those that were used least recently are forgotten."""

Key = tuple[str, str]
"""User and room. All guests are one: the hook is told nothing that tells them apart."""


class Answer(NamedTuple):
    """What the hook allows, and for how many seconds that holds."""

    rights: Rights
    ttl_s: float


class Questions(Protocol):
    """The way to the application."""

    async def ask(self, identity: Identity, room: str) -> Answer:
        """Puts one question. Raises HookAway."""

    async def close(self) -> None:
        """Closes the way."""


class JoinHook:
    """What the application allows (`permissions.Hook`)."""

    def __init__(self, questions: Questions, clock: Callable[[], float] = time.monotonic) -> None:
        self._questions = questions
        self._clock = clock
        self._background = Background("join hook")
        self._remembered: OrderedDict[Key, tuple[float, Rights]] = OrderedDict()
        self._asking: dict[Key, asyncio.Task[Rights | None]] = {}
        self._breaker = Breaker()

    async def allowed(self, identity: Identity, room: str) -> Rights:
        """What it allows. Raises HookAway."""
        key = (identity.user, room)
        remembered = self._remembered.get(key)
        if remembered is not None and remembered[0] > self._clock():
            self._remembered.move_to_end(key)
            return remembered[1]
        asking = self._asking.get(key) or self._begin(key, identity)
        rights = await asyncio.shield(asking)  # who gives up waiting must not cancel it for the others
        if rights is None:
            raise HookAway
        return rights

    def _begin(self, key: Key, identity: Identity) -> asyncio.Task[Rights | None]:
        if self._breaker.is_open(self._clock()):
            hook_answers.because("paused")
            raise HookAway
        if len(self._asking) >= IN_FLIGHT_MAX:
            hook_answers.because("too_many")
            raise HookAway
        asking = self._asking[key] = self._background.run(self._ask(key, identity), "question")
        return asking

    async def _ask(self, key: Key, identity: Identity) -> Rights | None:
        """None if there is no answer."""
        try:
            answer = await self._questions.ask(identity, key[1])
        except HookAway as away:
            self._note(str(away))
            return None
        finally:
            del self._asking[key]
        self._note("")
        hook_answers.because("allowed" if answer.rights else "refused")
        self._remember(key, answer)
        return answer.rights

    def _remember(self, key: Key, answer: Answer) -> None:
        self._remembered.pop(key, None)
        if answer.ttl_s > 0:
            self._remembered[key] = (self._clock() + min(answer.ttl_s, REMEMBERED_S), answer.rights)
            if len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)

    def _note(self, failure: str) -> None:
        """One question has ended; `failure` says why it failed, if it did."""
        if failure:
            hook_answers.because("failed")
            if self._breaker.is_calm:
                log.warning("join_hook_failed", why=failure)
        if self._breaker.note(not failure, self._clock()):
            log.error("join_hook_paused", why=failure, for_s=PAUSE_S)

    async def close(self) -> None:
        """Gives up the questions that are under way."""
        await self._background.close()
        await self._questions.close()
