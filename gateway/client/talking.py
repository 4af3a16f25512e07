"""One room over all connections: joins it at each of them, sends what was said, and takes what comes.

While a connection lasts one coroutine talks for the room (`run`): first it joins, then it sends one message after the
other, each until it is answered. It ends with the connection, wherever it is; the next one begins anew, and repeats
with the same key what was not answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from gateway.client.errors import NO_ANSWER, ChatError, refusal
from gateway.client.feed import Received, Reloaded, Removed
from gateway.client.line import UNANSWERED, Line
from gateway.client.messages import Message
from gateway.client.outbox import Outbox, Pending, now_s
from gateway.client.retrying import ask_pause_s
from gateway.client.timeline import Taken, Timeline

JOIN_LIMIT_S = 15.0
"""The gateway gives a join 10 s."""
HOLDS_QUEUE_S = 2.0
"""Whoever sends too fast waits with the queue of all rooms; a slow room, which asks for longer, waits alone."""
UNSURE = (NO_ANSWER, "unavailable", "internal")
"""After these a message may be stored all the same."""

Publish = Callable[[Received | Reloaded | Removed], None]


class Talking:
    """What one room shows and what waits there, and how both are kept right."""

    def __init__(self, name: str, timeline: Timeline, outbox: Outbox, publish: Publish) -> None:
        self._name, self._timeline, self._outbox, self._publish = name, timeline, outbox, publish
        self.username: str | None = None
        """What is named in joins and messages; None where a token says it."""
        self.error: ChatError | None = None
        """Why the room cannot be joined, or was left; None while there is hope."""
        self.is_removed = False
        self.is_over = False
        self.is_live = False
        self.settled = asyncio.Event()
        """Set once the room is joined, or refused."""
        self.woken = asyncio.Event()
        """There is something to do."""
        self._named: asyncio.Future[dict[str, Any]] | None = None  # the answer to a join that CONNECT names

    # -- connections

    def begin_connect(self) -> dict[str, Any] | None:
        """A connection is about to be opened: what CONNECT says of this room; None if it is not to be joined."""
        self.end_connection()
        if self.is_removed:
            return None
        if self.error is not None:
            self.rejoin()  # it was refused to the token of before, perhaps
        self._named = asyncio.get_running_loop().create_future()
        return self._join_request()

    def end_connection(self) -> None:
        """The connection is gone."""
        self.is_live, self._named = False, None

    def rejoin(self) -> None:
        """A room that refused this client, or that it was taken out of, is to be joined again."""
        self.is_removed, self.error = False, None
        self.settled.clear()
        self.woken.set()

    def end(self, error: ChatError) -> None:
        """The room is of no use any more, or not until `rejoin`; what waits there is given up."""
        self.error, self.is_live = error, False
        self.settled.set()
        self.woken.set()
        self._outbox.fail_all(error)

    def close(self, error: ChatError) -> None:
        """The program has left the room."""
        self.is_over = True
        self.end(error)

    async def run(self, line: Line) -> None:
        """Joins and sends for as long as a connection lasts: its end ends this, or that the program leaves the room."""
        attempt = 0
        while not self.is_over:
            self.woken.clear()
            if not self.is_live and self.error is None:
                is_done = await self._join(line, attempt)
            elif self.is_live and (pending := self._outbox.first(now_s())) is not None:
                is_done = await self._send(line, pending, attempt)
            else:
                is_done = await self.woken.wait()
            attempt = 0 if is_done else attempt + 1

    # -- joining

    def _join_request(self) -> dict[str, Any]:
        since = self._timeline.begin_join()
        return {"room": self._name, **self._named_as(), **({} if since is None else {"since": since})}

    def _named_as(self) -> dict[str, Any]:
        return {} if self.username is None else {"username": self.username}

    async def _join(self, line: Line, attempt: int) -> bool:
        """Joins once, and pauses before another attempt. Returns whether it is settled."""
        if self._named is not None:
            answer = await _within(self._named, JOIN_LIMIT_S)
            self._named = None
        else:
            answer = await line.ask("join", self._join_request(), JOIN_LIMIT_S, at_once=self._on_join_answer)
        if answer.get("ok"):
            return True
        refused = refusal(answer)
        if not refused.retryable:
            self.end(refused)
            return True
        await asyncio.sleep(ask_pause_s(attempt, refused))
        return False

    def _on_join_answer(self, answer: Mapping[str, Any]) -> None:
        if answer.get("ok"):
            self._joined(answer)

    def _joined(self, answer: Mapping[str, Any]) -> None:
        """At once when the answer comes, before whatever comes after it."""
        added = self._timeline.joined(answer)
        self.is_live = True
        if added is None:
            self._publish(Reloaded(self._name, answer.get("recovered") is False))
        for message in added or ():
            self._publish(Received(self._name, message))
        self.settled.set()

    # -- sending

    async def _send(self, line: Line, pending: Pending, attempt: int) -> bool:
        """Sends once, and pauses before another attempt. Returns whether it is answered for good."""
        async with line.sending:
            refused = await self._try(line, pending)
            if refused is None:
                return True
            pause_s = ask_pause_s(attempt, refused)
            if pause_s <= HOLDS_QUEUE_S:
                await asyncio.sleep(pause_s)
                return False
        await asyncio.sleep(pause_s)
        return False

    async def _try(self, line: Line, pending: Pending) -> ChatError | None:
        """Sends once. Returns why it is to be sent again, or None."""
        was_sure = pending.unsure_since_s is None
        if was_sure:
            pending.unsure_since_s = now_s()
        answer = await line.ask("send", {**pending.said(), **self._named_as()})
        if answer.get("ok"):
            self._outbox.settle(pending, answer["id"])
            return None
        refused = refusal(answer)
        if was_sure and refused.code not in UNSURE:
            pending.unsure_since_s = None  # the only attempt was refused, so it is not stored
        if refused.retryable:
            return refused
        self._outbox.fail(pending, refused)
        return None

    # -- what comes

    def on_joined(self, data: Mapping[str, Any]) -> None:
        """The answer to a join that CONNECT named."""
        self._on_join_answer(data)
        self._answer_named(data)

    def on_message(self, message: Message) -> None:
        """A stored message."""
        taken = self._timeline.take(message)
        if taken is Taken.SHOWN:
            self._publish(Received(self._name, message))
        elif taken is Taken.HOLE:
            self.is_live = False
            self.woken.set()

    def on_error(self, data: Mapping[str, Any]) -> None:
        """An `error` that names this room."""
        if data.get("code") == "gap":
            self._timeline.gap()
            if self.is_live:
                self._publish(Reloaded(self._name, True))
        elif data.get("event") == "join":
            self._answer_named(data)
        elif data.get("code") == "not_joined" and "event" not in data:
            self.remove(data)

    def remove(self, data: Mapping[str, Any]) -> None:
        """The client was taken out of the room."""
        self.is_removed = True
        error = refusal(data)
        self.end(error)
        self._publish(Removed(self._name, error.code, error.about.get("reason")))

    def _answer_named(self, data: Mapping[str, Any]) -> None:
        if self._named is not None and not self._named.done():
            self._named.set_result(dict(data))


async def _within(answer: asyncio.Future[dict[str, Any]], limit_s: float) -> dict[str, Any]:
    try:
        async with asyncio.timeout(limit_s):
            return await answer
    except TimeoutError:
        return UNANSWERED
