"""People who chat while things break: they reconnect, rejoin with `since`, and repeat what was not answered.

Owns what a careful client does by the gateway's contract. Tells the ledger of everything at the moment it
happens; judges nothing. Unexpected answers are kept in `surprises`, for the test to fail on.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

import aiohttp

from loadtest.ledger import Ledger
from tests.support.clients import HandshakeRefused, Transport
from tests.system.faults import moderating
from tests.system.faults.personal_connection import PersonalConnection

CONNECT_LIMIT_S = 5.0
ANSWER_LIMIT_S = 6.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 1.0
RETRY_AFTER_MAX_S = 3.0
NOT_YET = ("unavailable", "shutting_down", "not_joined", "rate_limited", "internal")
"""Refusals after which a careful client tries again."""

_NO_CONNECTION = (OSError, TimeoutError, aiohttp.ClientError, aiohttp.WSMessageTypeError)


class Person:
    """One member of one room, on one connection at a time.

    `pace_s` is the mean time between messages; None listens only. `sent_at` is shared by all: when each text
    first left, so that everybody can tell how long it took.
    """

    def __init__(
        self,
        name: str,
        room: str,
        urls: list[str],
        ledger: Ledger,
        seed: str,
        sent_at: dict[str, float],
        pace_s: float | None = None,
        padding: int = 0,
    ) -> None:
        self.name, self.room = name, room
        self.is_joined = False
        self.is_talking, self.is_retired = True, False  # says new things; does not come back
        self.last_id: str | None = None  # the newest position seen: the next join's `since`
        self.connection: PersonalConnection | None = None
        self.connections = self.gaps = 0  # how many there were so far
        self.unanswered: dict[str, float] = {}  # texts without acknowledgement, and when they were said last
        self.notices: list[tuple[float, str]] = []  # when, text
        self.latencies: list[tuple[float, float]] = []  # when a live message came, how long it took
        self.shown: dict[str, str] = {}  # the texts of the last messages as they are shown now, by id
        self.errors: Counter[str] = Counter()  # by code
        self.surprises: list[str] = []  # what the contract does not know
        self._urls, self._ledger, self._sent_at = urls, ledger, sent_at
        self._pace_s, self._padding = pace_s, padding
        self._random = random.Random(seed)
        self._number = 0  # of the last new text
        self._again: list[str] = []  # texts to be said again as soon as the room is joined

    async def live(self) -> None:
        """Connects, joins and talks; comes back whenever the connection ends, until it is retired."""
        wait_s = FIRST_WAIT_S
        talking = asyncio.create_task(self._talk())
        try:
            while not self.is_retired:
                try:
                    await self._live_once()
                    wait_s = FIRST_WAIT_S
                except HandshakeRefused as refused:
                    wait_s = _retry_after_s(refused)
                except _NO_CONNECTION:
                    wait_s = min(wait_s * 2, LONGEST_WAIT_S)
                await asyncio.sleep(wait_s * self._random.random())  # a client's back-off
        finally:
            talking.cancel()
            await asyncio.wait([talking])
            if not talking.cancelled():
                talking.result()

    def auth(self) -> dict[str, Any] | None:
        """What it says at each CONNECT."""
        return None

    def transport(self) -> Transport:
        """How it connects."""
        return "websocket"

    def cut(self) -> None:
        """Cuts its TCP connection, if it has one."""
        if self.connection is not None:
            self.connection.abort()

    def has_received(self, count: int, sent_from: float) -> bool:
        """Whether the last so many live messages were all sent after that time."""
        newest = self.latencies[-count:]
        return len(newest) == count and all(at - lag >= sent_from for at, lag in newest)

    async def _live_once(self) -> None:
        url = self._random.choice(self._urls)
        connection = PersonalConnection(url, self)
        await connection.open(self.transport(), self.auth(), CONNECT_LIMIT_S)
        self.connection, self.connections = connection, self.connections + 1
        try:
            while not connection.closed.is_set() and not await self._join(connection):
                await asyncio.sleep(0.1 + 0.2 * self._random.random())  # a client's back-off
            self._again = list(self.unanswered)
            await connection.closed.wait()
        finally:
            self.on_end()
            await connection.close()

    async def _join(self, connection: PersonalConnection) -> bool:
        """Asks once; true when the room is joined. Gives up the connection when no answer comes."""
        answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def on_answer(data: Any) -> None:
            if not answered.done():
                answered.set_result(self._joined(data))

        data = {"username": self.name, "room": self.room}
        if self.last_id is not None:
            data["since"] = self.last_id
        self._ledger.joining(self.name, self.room, self.last_id)
        await connection.post("join", data, on_answer)
        ended = asyncio.create_task(connection.closed.wait())
        ended.add_done_callback(lambda _: None if answered.done() else answered.set_result(False))
        try:
            return await asyncio.wait_for(answered, ANSWER_LIMIT_S)
        except TimeoutError:
            connection.abort()
            return False
        finally:
            ended.cancel()

    def _joined(self, data: dict[str, Any]) -> bool:
        if not data.get("ok"):
            self._refused("join", data)
            return False
        if ("recovered" in data) != (self.last_id is not None):
            self.surprises.append(f"join with since {self.last_id} was answered {data}")
        self._ledger.joined(self.name, self.room, data["id"], data.get("recovered"))
        self.gaps += data.get("recovered") is False
        self.last_id, self.is_joined = data["id"], True
        return True

    def on_event(self, name: str, data: dict[str, Any]) -> None:
        """Tells the ledger of a message; keeps the rest."""
        now = time.monotonic()
        if name == "error":
            self.errors[data["code"]] += 1
            if data["code"] == "gap":
                self.gaps += 1
                self._ledger.gap(self.name, self.room)
        elif moderating.IS_ON and name == "changed" and data["room"] == self.room:
            moderating.show(self.shown, data["id"], data["message"])
        elif name != "receive" or data.get("room") != self.room:
            self.surprises.append(f"{name} {data}")
        elif "id" not in data:
            self.notices.append((now, data["message"]))
        else:
            text = moderating.original(data["message"])
            moderating.show(self.shown, data["id"], data["message"])
            self._ledger.received(self.name, self.room, text, data["id"], now)
            if self.is_joined:
                self.last_id = data["id"]
                self.latencies.append((now, now - self._sent_at.get(text, now)))

    def on_end(self) -> None:
        """The connection is gone; what it had not answered is open."""
        if self.connection is not None:
            self._ledger.cut(self.name, self.room)
        self.connection, self.is_joined = None, False

    async def _talk(self) -> None:
        """Says something new now and then, and again what is to be tried again."""
        while self._pace_s is not None:
            await asyncio.sleep(self._pace_s * (0.5 + self._random.random()))  # the rhythm of the traffic
            again, self._again = self._again, []
            if not self.is_joined:
                self._again = again
                continue
            for text in again:
                if text in self.unanswered:
                    await self._say(text)
            if self.is_talking:
                self._number += 1
                await self._say(f"{self.name} says {self._number} ".ljust(self._padding, "."))

    async def _say(self, text: str) -> None:
        connection, now = self.connection, time.monotonic()
        if connection is None:
            self._again.append(text)
            return
        self._sent_at.setdefault(text, now)
        self.unanswered[text] = now
        self._ledger.sent(self.name, self.room, text, now)
        data: dict[str, Any] = {
            "username": self.name,
            "room": self.room,
            "message": text,
            "idempotency_key": text[:64].strip(),
        }
        if moderating.IS_ON:
            data["meta"] = {
                "of": data["idempotency_key"]
            }  # the same with each retry: it belongs to the content
        try:
            await connection.post("send", data, lambda answer: self._said(text, answer))
        except (ConnectionError, aiohttp.ClientError):
            pass  # it stays unanswered, and is said again after the next join

    def _said(self, text: str, answer: dict[str, Any]) -> None:
        if answer.get("ok"):
            self._ledger.acknowledged(self.name, self.room, text, answer["id"])
            self.unanswered.pop(text, None)
            return
        self._ledger.refused(self.name, self.room, text, answer["code"])
        self._refused("send", answer)
        self._again.append(text)

    def _refused(self, event: str, answer: dict[str, Any]) -> None:
        self.errors[f"{event} {answer['code']}"] += 1
        if answer["code"] not in NOT_YET:
            self.surprises.append(f"{event} was answered {answer}")


def _retry_after_s(refused: HandshakeRefused) -> float:
    """What a refused handshake asks for, doubled because a person waits a random part of it."""
    named = {name.lower(): value for name, value in refused.headers.items()}.get("retry-after", "1")
    return min(2 * float(named), RETRY_AFTER_MAX_S)
