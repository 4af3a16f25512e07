"""What the dashboard shows, found out: from the workers (`chat/questions.py`) and from what Redis keeps.

Owns how often workers are asked: everybody who looks shares one answer for `SHARED_S`. Raises a StoreError while Redis
does not answer.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

from gateway.chat.questions import Answer, Questions
from gateway.interfaces import CommandStore
from gateway.state.census import Census, RoomFacts
from gateway.state.people import people_in

SHARED_S = 1.0
ROOMS_SHOWN = 50


class Overview(NamedTuple):
    """All workers: their answers, those that live and did not answer, and the largest rooms with their users."""

    answers: dict[str, Answer]
    silent: list[str]
    rooms: list[tuple[str, int]]


class RoomView(NamedTuple):
    """One room: what the store has, what each worker has, and who did not answer."""

    name: str
    facts: RoomFacts
    workers: dict[str, Answer]
    silent: list[str]


class UserView(NamedTuple):
    """One user: its sessions, each with its worker, and how many there are."""

    user: str
    sessions: list[dict[str, Any]]
    number: int


class Looking:
    """Looks for all who are signed in at this worker."""

    def __init__(self, questions: Questions, census: Census, store: CommandStore) -> None:
        self._questions = questions
        self._census = census
        self._store = store
        self._lock = asyncio.Lock()
        self._overview: Overview | None = None
        self._looked_s = 0.0

    async def overview(self) -> Overview:
        """All workers and the largest rooms, at most `SHARED_S` old."""
        async with self._lock:
            if self._overview is None or time.monotonic() - self._looked_s > SHARED_S:
                self._overview, self._looked_s = await self._look(), time.monotonic()
            return self._overview

    async def _look(self) -> Overview:
        living = await self._census.living()
        answers = await self._questions.ask("worker", living, recent=True)
        members: dict[str, int] = {}
        for told in answers.values():
            for room, count in told["largest"]:
                members[room] = members.get(room, 0) + count
        largest = sorted(members, key=lambda room: (-members[room], room))[:ROOMS_SHOWN]
        users = await people_in(self._store, largest)
        rooms = sorted(zip(largest, users, strict=True), key=lambda each: (-each[1], each[0]))
        return Overview(answers, sorted(set(living) - set(answers)), [each for each in rooms if each[1]])

    async def room(self, name: str) -> RoomView:
        """One room."""
        facts, living = await asyncio.gather(self._census.room(name), self._census.living())
        answers = await self._questions.ask("room", living, room=name)
        here = {worker: told for worker, told in answers.items() if told.get("room") is not None}
        return RoomView(name, facts, here, sorted(set(living) - set(answers)))

    async def user(self, user: str) -> UserView:
        """One user, by the id that tokens say, or a guest by its name."""
        answers = await self._questions.ask("user", await self._census.living(), user=user)
        found = [{**each, "worker": name} for name, told in answers.items() for each in told["sessions"]]
        return UserView(user, found[:200], sum(told["count"] for told in answers.values()))
