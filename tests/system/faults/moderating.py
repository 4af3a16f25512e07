"""A moderator who changes messages while things break, where `FAULTS_CHANGES=1` asks for it: the same faults once more,
with `meta` on each message and thousands of changes.

Owns how a changed text is known again: each change puts a mark behind it, so that the ledger sees the message that was
sent, and who shows fewer marks than a newcomer missed a change.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import aiohttp

from gateway.access.api_keys import digest_of

IS_ON = os.environ.get("FAULTS_CHANGES") == "1"
KEY = "gwk_of_the_fault_tests"
ENVIRONMENT = {"GATEWAY_API_KEYS": f"faults:{digest_of(KEY).hex()}"} if IS_ON else {}
MARK = "\N{PENCIL}"
SHOWN_MAX = 300
"""Messages whose texts a person keeps: more than a room keeps."""
PACE_S = 0.1
CALL_S = 3.0


class Reader(Protocol):
    """Who shows messages of a room: texts by id."""

    name: str
    room: str
    shown: dict[str, str]


def original(text: str) -> str:
    """The text as it was sent."""
    return text.rstrip(MARK)


def show(shown: dict[str, str], id: str, text: str) -> None:
    """Keeps what is shown of the last messages."""
    shown[id] = text
    while len(shown) > SHOWN_MAX:
        del shown[next(iter(shown))]


def outdated(people: Sequence[Reader], newcomers: Sequence[Reader]) -> list[str]:
    """Messages that somebody shows as they were before a change that a newcomer of the room is shown."""
    now = {newcomer.room: newcomer.shown for newcomer in newcomers}
    return [
        f"{person.name} shows {id} as {person.shown[id]!r} and not as {text!r}"
        for person in people
        for id, text in now[person.room].items()
        if id in person.shown and person.shown[id].count(MARK) < text.count(MARK)
    ]


class Moderator:
    """Changes one of the last messages of somebody's room again and again, until it is stopped."""

    def __init__(self, urls: Sequence[str], people: Sequence[Reader], seed: int) -> None:
        self.answers: Counter[int] = Counter()  # by status; 0 is none
        self._urls, self._people = urls, people
        self._random = random.Random(seed)
        self._is_over = False

    def stop(self) -> None:
        """Nothing is changed any more; what is under way is answered."""
        self._is_over = True

    async def run(self) -> None:
        """Ends after `stop`."""
        timeout = aiohttp.ClientTimeout(total=CALL_S)
        async with aiohttp.ClientSession(timeout=timeout, headers={"X-API-Key": KEY}) as session:
            while not self._is_over:
                await asyncio.sleep(PACE_S * self._random.random())
                person = self._random.choice(self._people)
                if person.shown:
                    id = self._random.choice(list(person.shown)[-20:])
                    change = {"room": person.room, "id": id, "message": person.shown[id] + MARK}
                    self.answers[await self._edit(session, change)] += 1

    async def _edit(self, session: aiohttp.ClientSession, change: dict[str, str]) -> int:
        url = f"{self._random.choice(self._urls)}/api/v1/edit"
        try:
            async with session.post(url, json=change) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0
