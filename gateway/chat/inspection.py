"""A worker answers questions of those who run the gateway: what it has of a room, how busy it is, where a user is.

A question is the word `inspect` on `gateway:control`; the answer goes to the asker's own channel, at most once:

    {"do":"inspect","asker":"5f…","number":7,"what":"room","room":"tea"}

Owns which questions there are and how many it takes: `UNDER_WAY_MAX` at one time and `QUESTIONS` a second, because
anybody who reaches Redis can ask. What is more is dropped, and shows at the asker as no answer. An answer names at most
`ROOMS_MAX` rooms and `SESSIONS_MAX` sessions, and never a token or a message. Nothing is kept of a question.
"""

from __future__ import annotations

import asyncio
import heapq
import re
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

import orjson

from gateway import keys
from gateway.access.rates import Bucket, Rate
from gateway.background import Background
from gateway.chat.control import Word
from gateway.chat.room_rates import Recent, RoomRates
from gateway.chat.session import Session
from gateway.chat.sessions import Sessions
from gateway.errors import StoreError
from gateway.interfaces import CommandStore
from gateway.rooms.hub import Hub
from gateway.rooms.member import MemberState
from gateway.rooms.room_report import room_report

INSPECT = "inspect"
"""What the word is for."""

UNDER_WAY_MAX = 8
QUESTIONS = Rate.of(40, 80)
"""Questions a second and worker: a dozen people who watch, four times."""
ROOMS_MAX = 50
SESSIONS_MAX = 50
SLOWEST_MAX = 20
LOOK_S = 0.9
"""Who asks again sooner gets what was found before."""
PIECE = 1000
"""Sessions that are looked at in one turn of the event loop."""

Answer = Callable[[Word], Awaitable[dict[str, Any]]]
"""Finds the answer to a question."""

_ASKER = re.compile(r"[0-9a-f]{8,64}")


class HasState(Protocol):
    """Who knows how a worker is, and its id."""

    worker: str

    @property
    def state(self) -> str:
        """`ready`, `not_ready` or `draining`."""


class Inspection:
    """Answers for one worker."""

    def __init__(
        self,
        health: HasState,
        store: CommandStore,
        hub: Hub,
        sessions: Sessions,
        background: Background,
        recent: Recent | None = None,
    ) -> None:
        """`background` runs what answers; `recent` is what is kept for plots, where somebody draws them."""
        self._health, self._host = health, socket.gethostname()
        self._store = store
        self._hub = hub
        self._sessions = sessions
        self._background = background
        self._recent = recent
        self._rates = RoomRates(hub, time.monotonic)
        self._busy: dict[str, Any] = {}
        self._busy_s = float("-inf")
        self._looking = asyncio.Lock()
        self._bucket = Bucket(QUESTIONS)
        self._under_way = 0
        self._answers: dict[Any, Answer] = {
            "room": self._room, "worker": self._of_worker, "user": self._user
        }  # fmt: skip

    def answer(self, what: str, answer: Answer) -> None:
        """From now on questions about `what` are answered, too."""
        self._answers[what] = answer

    def on_word(self, word: Word) -> None:
        """A question came. Raises KeyError or ValueError for one that is malformed."""
        asker, number, what = word["asker"], word["number"], word["what"]
        if not (isinstance(asker, str) and _ASKER.fullmatch(asker) and isinstance(number, int)):
            raise ValueError("no asker")
        if not all(isinstance(word.get(about, ""), str) for about in ("room", "user")):
            raise ValueError("no name")
        answer = self._answers.get(what)
        if answer is None or self._under_way >= UNDER_WAY_MAX or self._bucket.take(time.monotonic()):
            return
        self._under_way += 1
        self._background.run(
            self._answer(keys.answers(asker), number, answer, word), f"answer about a {what}"
        )

    async def _answer(self, channel: bytes, number: int, answer: Answer, word: Word) -> None:
        try:
            told = await answer(word)
            head = {"number": number, "worker": self._health.worker, "host": self._host}
            answer_json = orjson.dumps({**head, "state": self._health.state, **told})
            await self._store.call(channel, "PUBLISH", channel, answer_json)
        except StoreError:
            pass  # the asker sees that there is no answer
        finally:
            self._under_way -= 1

    async def _room(self, word: Word) -> dict[str, Any]:
        """This worker's part of a room; `room` is None where it has none."""
        room = self._hub.rooms.get(word.get("room", ""))
        if room is None:
            return {"room": None}
        unsent = [member.socket.sid for member in room.members.values() if member.socket.is_behind]
        return {"room": room_report(room, time.monotonic()), "slow": unsent[:SLOWEST_MAX]}

    async def _of_worker(self, word: Word) -> dict[str, Any]:
        """How busy it is: its rooms, its slowest members and, where they are kept, the last minutes."""
        async with self._looking:
            if time.monotonic() - self._busy_s > LOOK_S:
                self._busy, self._busy_s = await self._look(), time.monotonic()
        recent = self._recent.report() if self._recent is not None and word.get("recent") else None
        return {**self._busy, "connections": len(self._sessions), "recent": recent}

    async def _look(self) -> dict[str, Any]:
        found = await self._rates.look(ROOMS_MAX)
        slow = heapq.nlargest(
            SLOWEST_MAX, [each async for each in self._slow()], key=lambda each: each["unsent_bytes"]
        )
        return {
            "rooms": found.rooms, "memberships": found.members,
            "messages_s": round(found.messages_s, 2), "deliveries_s": round(found.deliveries_s, 2),
            "busiest": [[each.room, round(each.messages_s, 2), each.members] for each in found.busiest],
            "largest": [[each.room, each.members] for each in found.largest],
            "slowest": slow, "has_rates": found.has_rates,
        }  # fmt: skip

    async def _slow(self) -> Any:
        """Sessions that hold unsent bytes and are behind, or about to be."""
        async for session in self._in_pieces(self._sessions.all()):
            if session.socket.unsent_bytes:
                yield self._told(session)

    async def _user(self, word: Word) -> dict[str, Any]:
        """The sessions of a user, by the id that tokens say; or of guests, by a name under which they are somewhere."""
        user = word.get("user", "")
        found = self._sessions.of_user(user)
        if not found:
            found = [each async for each in self._in_pieces(self._sessions.all()) if _is_guest(each, user)]
        return {"sessions": [self._told(each) for each in found[:SESSIONS_MAX]], "count": len(found)}

    def _told(self, session: Session) -> dict[str, Any]:
        rooms = list(session.rooms.items())
        lagging = [member for _, member in rooms if member.state is MemberState.LAGGING]
        return {
            "session": session.sid,
            "user": session.identity.user,
            "address": session.address,
            "unsent_bytes": session.socket.unsent_bytes,
            "behind": len(lagging),
            "lag": max(
                (each.room.seq - each.position.seq for each in lagging if each.position is not None),
                default=0,
            ),
            "rooms": {name: member.username for name, member in rooms[:ROOMS_MAX]},
        }

    async def _in_pieces(self, sessions: list[Session]) -> Any:
        for at in range(0, len(sessions), PIECE):
            for session in sessions[at : at + PIECE]:
                yield session
            await asyncio.sleep(0)


def _is_guest(session: Session, username: str) -> bool:
    names: Iterable[str] = (member.username for member in session.rooms.values())
    return not session.identity.user and username in names
