"""A room, as a program sees it: what is shown, what was said, who types, how much is unread."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.client.errors import CLOSED, UNREACHABLE, ChatError, refusal
from gateway.client.feed import Changed, Event, Feed, Noticed, Read, Received, Signalled
from gateway.client.line import Line
from gateway.client.marks import Mark
from gateway.client.messages import Message, message_of
from gateway.client.outbox import Outbox, Pending, now_s
from gateway.client.talking import Talking
from gateway.client.timeline import Timeline
from gateway.client.typists import Typists


@dataclass(frozen=True, slots=True)
class Members:
    """Who is in a room."""

    names: list[str]
    """Up to 200 usernames."""
    count: int
    """How many users there are."""
    users: list[Mapping[str, str]]
    """Who of them has shown a token: `user` and `username`."""


class Owner(Protocol):
    """What a room needs of the client that it belongs to."""

    line: Line | None
    user: str | None

    def publish(self, event: Event) -> None:
        """Something happened in a room."""

    def mark_soon(self) -> None:
        """A room has a mark that the gateway does not know, or the other way round."""

    def forget(self, room: str) -> None:
        """The program has left the room."""


class Room:
    """One room of a client; `chat.room(name)` makes it. It is joined by itself, and again at each connection."""

    def __init__(self, owner: Owner, name: str, kept: int, key_life_s: float) -> None:
        self.name = unicodedata.normalize("NFC", name)
        self.mark = Mark()
        self._owner = owner
        self._timeline = Timeline(kept)
        self._outbox = Outbox(key_life_s)
        self._typists = Typists()
        self._feed = Feed()
        self.talking = Talking(self.name, self._timeline, self._outbox, self._publish)

    # -- what there is

    @property
    def messages(self) -> list[Message]:
        """What is to be shown, oldest first: each message once, as it is now, with nothing missing between."""
        return self._timeline.messages

    @property
    def pending(self) -> list[Pending]:
        """What was said here and is not answered yet. The message itself may be in `messages` a moment earlier."""
        return self._outbox.pending

    @property
    def is_live(self) -> bool:
        """Whether the room is joined, and what is said there comes at once."""
        return self.talking.is_live

    @property
    def error(self) -> ChatError | None:
        """Why the room cannot be joined, or was left; None while there is hope."""
        return self.talking.error

    @property
    def typing(self) -> list[str]:
        """Who types now."""
        return self._typists.names(now_s())

    @property
    def unread(self) -> int | None:
        """How many messages came after the last one that was marked as read; None where nobody knows."""
        return self.mark.unread(self._timeline.position)

    def events(self) -> AsyncIterator[Event]:
        """All that happens in the room from this call on; ends when the client is closed."""
        return self._feed.events()

    def new_messages(self) -> AsyncIterator[Message]:
        """What is said from this call on; what is missed while the connection is away comes, too, as far as it is
        kept."""
        return _messages_of(self._feed.events())

    # -- what a program does

    async def joined(self) -> None:
        """Waits until the room is joined. Raises ChatError where it may not be."""
        await self.talking.settled.wait()
        if self.error is not None:
            raise self.error

    def send(self, text: str, meta: Mapping[str, Any] | None = None) -> Pending:
        """Says something, in the order of the calls; while the connection is away it waits. `await` what this returns
        for the position, or for a ChatError. Raises ChatError where the room is refused, or too much waits."""
        if self.error is not None:
            raise self.error
        pending = Pending(self.name, text, meta)
        self._outbox.add(pending)
        self._typists.sent()
        self.talking.woken.set()
        return pending

    async def type(self) -> None:
        """A key was pressed: the others are told, at most every 4 seconds."""
        line = self._owner.line
        if self.is_live and line is not None and self._typists.say(now_s()):
            await line.tell("signal", {"room": self.name, "kind": "typing"})

    async def signal(self, kind: str, data: Any = None) -> None:
        """Tells the others something that counts now only. Raises ChatError."""
        await self._ask("signal", {"kind": kind, **({} if data is None else {"data": data})})

    def mark_read(self, position: str | None = None) -> None:
        """The user has read the room up to a position, the last one without. A user's mark is kept for all devices; a
        guest's is this client's alone."""
        position = position or self._timeline.position
        if position is not None and self.mark.move(position):
            self._owner.mark_soon()

    async def members(self) -> Members:
        """Who is there. Raises ChatError."""
        answer = await self._ask("members", {})
        return Members(answer["members"], answer["count"], answer.get("users", []))

    async def history(self, before: str | None = None, limit: int = 100) -> list[Message]:
        """What the gateway keeps, oldest first; the last ones before a position with `before`. Raises ChatError."""
        answer = await self._ask(
            "history", {"limit": limit, **({} if before is None else {"before": before})}
        )
        return [message_of(each) for each in answer["messages"]]

    async def leave(self) -> None:
        """Leaves the room; what waits there is given up."""
        self._owner.forget(self.name)
        self.close(ChatError(CLOSED, "The program has left the room."))
        if (line := self._owner.line) is not None:
            await line.ask("leave", {"room": self.name})

    def rejoin(self) -> None:
        """Joins a room again that this client was taken out of, or that refused it."""
        self.talking.rejoin()

    def close(self, error: ChatError) -> None:
        """Nothing happens here any more."""
        self.talking.close(error)
        self._feed.close()

    async def _ask(self, event: str, data: Mapping[str, Any]) -> dict[str, Any]:
        line = self._owner.line
        if line is None:
            raise ChatError(UNREACHABLE, "There is no connection now.", True)
        answer = await line.ask(event, {"room": self.name, **data})
        if not answer.get("ok"):
            raise refusal(answer)
        return answer

    # -- what comes

    def on_event(self, name: str, data: dict[str, Any]) -> None:
        """An event that names this room. Raises KeyError or TypeError for one that is not as the contract has it."""
        if name == "receive":
            self._on_receive(data)
        elif name == "changed":
            if (changed := self._timeline.change(data)) is not None:
                self._publish(Changed(self.name, changed))
        elif name == "joined":
            self.talking.on_joined(data)
        elif name == "error":
            self.talking.on_error(data)
        elif name == "removed":
            self.talking.remove(data)
        elif name in ("signal", "read"):
            self._on_beside(name, data)

    def _on_receive(self, data: dict[str, Any]) -> None:
        if "id" not in data:
            self._publish(Noticed(self.name, data["message"]))
            return
        message = message_of(data)
        self._typists.stopped(message.username)
        self.talking.on_message(message)

    def _on_beside(self, name: str, data: dict[str, Any]) -> None:
        user, username = data.get("user"), data.get("username")
        if name == "read":
            if user == self._owner.user:
                self.mark.heard(data["id"])
            self._publish(Read(self.name, str(user), username, data["id"]))
            return
        if data["kind"] == "typing":
            self._typists.heard(str(username), now_s())
        self._publish(Signalled(self.name, data["kind"], str(username), user, data.get("data")))

    def _publish(self, event: Event) -> None:
        if self._owner.user is None and self._timeline.position is not None:
            self.mark.begin(self._timeline.position)
        elif not self.mark.is_asked_for:
            self._owner.mark_soon()
        self._feed.publish(event)
        self._owner.publish(event)


async def _messages_of(events: AsyncIterator[Event]) -> AsyncIterator[Message]:
    async for event in events:
        if isinstance(event, Received):
            yield event.message
