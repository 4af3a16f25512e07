"""Asking all workers of all hosts about themselves, on `gateway:control` (`inspection.py` answers).

Owns the questions that are open and the channel on which answers come. Promises that a question is over after
`ANSWER_S`, or once all that live have answered, and that nothing of it stays. A worker that does not answer, because it
is older, held up or gone, is for the caller to name: it knows who lives.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Collection
from typing import Any

import orjson

from gateway import keys
from gateway.chat.inspection import INSPECT
from gateway.interfaces import CommandStore, PubSub

ANSWER_S = 0.5
"""How long an answer may take."""
ANSWERS_MAX = 1000
"""Answers to one question: workers of one gateway."""
ANSWER_BYTES_MAX = 262_144

Answer = dict[str, Any]


class _Open:
    """A question that is open."""

    def __init__(self, living: Collection[str]) -> None:
        self.missing = set(living)
        self.answers: dict[str, Answer] = {}
        self.is_complete = asyncio.Event()


class Questions:
    """Asks, in the name of one process."""

    def __init__(self, store: CommandStore, pubsub: PubSub) -> None:
        self._store = store
        self._pubsub = pubsub
        self._asker = secrets.token_hex(16)
        self._numbers = itertools.count(1)
        self._open: dict[int, _Open] = {}
        self.channel = keys.answers(self._asker)

    async def ask(
        self, what: str, living: Collection[str], limit_s: float = ANSWER_S, **about: Any
    ) -> dict[str, Answer]:
        """The answers, by worker; `living` are those whose answers are waited for. Raises a StoreError."""
        number, question = next(self._numbers), _Open(living)
        self._open[number] = question
        word = orjson.dumps({"do": INSPECT, "asker": self._asker, "number": number, "what": what, **about})
        try:
            async with asyncio.timeout(limit_s):
                # Not awaited itself: others may wait for the same subscription.
                await asyncio.wait([self._pubsub.subscribe(self.channel)])
                await self._store.call(keys.CONTROL, "PUBLISH", keys.CONTROL, word)
                await question.is_complete.wait()
        except TimeoutError:
            pass
        finally:
            del self._open[number]
        return question.answers

    def close(self) -> None:
        """Asks no more."""
        self._pubsub.unsubscribe(self.channel)

    def take(self, payload: bytes) -> None:
        """An answer came. One that nobody waits for, or that nobody can read, is dropped."""
        if len(payload) > ANSWER_BYTES_MAX:
            return
        try:
            answer = orjson.loads(payload)
            question, worker = self._open[answer["number"]], answer["worker"]
        except (ValueError, KeyError, TypeError):
            return
        if not isinstance(worker, str) or len(question.answers) >= ANSWERS_MAX:
            return
        question.answers[worker] = answer
        question.missing.discard(worker)
        if not question.missing:
            question.is_complete.set()
