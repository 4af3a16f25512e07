"""`gateway tail ROOM` and `gateway tail --user U`: what happens now, a line each, until Ctrl-C.

A room is followed by its channel, as workers hear it. A user is followed by asking the workers once a second where it
is: its sessions and rooms are told as they come and go, and the channels of its rooms show what it says there. Nothing
is told of what was before, nor of what the connection to Redis missed.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime
from typing import Any

import click
import orjson

from gateway import keys
from gateway.errors import StoreError
from gateway.names import normal_form
from gateway.pauses import woken_within
from gateway.rooms.payloads import Arrived, Told, parse_payload
from gateway.server.asking import Operator, run
from gateway.server.terminal import paint, safe
from gateway.settings import Settings

ASK_S = 1.0
ROOM_MOST = 40
"""Columns of a room's name in a line."""
ROOMS_MAX = 100
"""Rooms of one user that are followed."""

Event = dict[str, Any]


def tail_room(settings: Settings, name: str, as_json: bool, limit: int | None) -> int:
    """Prints what happens in a room; returns the exit status."""
    name = normal_form(name)

    async def tell(me: Operator) -> int:
        tail = _Tail(me, as_json, limit)
        await tail.follow([name])
        await tail.is_over.wait()
        return 0

    return run(settings, tell)


def tail_user(settings: Settings, user: str, as_json: bool, limit: int | None) -> int:
    """Prints what a user does, or a guest of that name; returns the exit status."""

    async def tell(me: Operator) -> int:
        tail = _Tail(me, as_json, limit, user)
        while not tail.is_over.is_set():
            await tail.look(user)
            await woken_within(tail.is_over, ASK_S)
        return 0

    return run(settings, tell)


class _Tail:
    """What is followed, and how it is printed. Over once `limit` events were printed."""

    def __init__(self, me: Operator, as_json: bool, limit: int | None, user: str | None = None) -> None:
        self._me = me
        self._as_json = as_json
        self._left = limit
        self._user = user
        self._channels: dict[bytes, str] = {}  # the rooms' own names of channels
        self._sessions: dict[str, Event] = {}
        self._names: set[str] = set()
        self._is_interrupted = False
        self.rooms: set[str] = set()
        self.is_over = asyncio.Event()
        me.channels.follower = self

    async def look(self, user: str) -> None:
        """Asks where the user is, and follows it there. A store that is away changes nothing."""
        try:
            living = await self._me.census.living()
            answers = await self._me.questions.ask("user", living, user=user)
        except StoreError:
            return
        self.tell_sessions(answers, set(living) - set(answers))
        await self.follow(sorted(self.rooms)[:ROOMS_MAX])

    async def follow(self, rooms: list[str]) -> None:
        """These rooms from now on."""
        wanted = {keys.live(room): room for room in rooms}
        for channel in self._channels.keys() - wanted.keys():
            self._me.pubsub.unsubscribe(self._me.route.channel(self._channels[channel]))
        self._channels = wanted
        opened = [self._me.pubsub.subscribe(self._me.route.channel(room)) for room in rooms]
        if opened:
            await asyncio.wait(opened, timeout=ASK_S)

    def tell_sessions(self, answers: dict[str, Event], silent: set[str]) -> None:
        """Tells which sessions and memberships came and went since the last answers. Those of a worker that lives and
        did not answer are taken to be as they were."""
        found = {sid: each for sid, each in self._sessions.items() if each["worker"] in silent}
        found |= {
            each["session"]: {**each, "worker": worker}
            for worker, told in answers.items()
            for each in told["sessions"]
        }
        for sid in self._sessions.keys() - found.keys():
            self._say({"event": "disconnected", "session": sid, "worker": self._sessions[sid]["worker"]})
        for sid, session in found.items():
            self._tell_session(sid, session)
        self._sessions = found
        self.rooms = {room for session in found.values() for room in session["rooms"]}
        self._names = {name for session in found.values() for name in session["rooms"].values()}

    def _tell_session(self, sid: str, session: Event) -> None:
        """What is different of one session."""
        before = self._sessions.get(sid)
        if before is None:
            where = {name: session[name] for name in ("worker", "address")}
            self._say({"event": "connected", "session": sid, **where})
        was, now = before["rooms"] if before else {}, session["rooms"]
        for room in now.keys() - was.keys():
            self._say({"event": "joined", "room": room, "username": now[room], "session": sid})
        for room in was.keys() - now.keys():
            self._say({"event": "left", "room": room, "username": was[room], "session": sid})

    def on_messages(self, messages: list[tuple[bytes, bytes]]) -> None:
        for channel, payload in messages:
            found = (
                (channel, payload) if channel in self._channels else self._me.route.unwrap(channel, payload)
            )
            if found is not None and found[0] in self._channels:
                self._take(self._channels[found[0]], found[1])

    def on_interrupted(self) -> None:
        if not self._is_interrupted:
            self._is_interrupted = True
            self._say({"event": "interrupted", "why": "no connection to the store: what is said is missed"})

    def on_restored(self) -> None:
        if self._is_interrupted:
            self._is_interrupted = False
            self._say({"event": "restored"})

    def _take(self, room: str, payload: bytes) -> None:
        head, _, data = payload.partition(b" ")
        known = parse_payload(head, data)
        if known is None or not data:
            return  # a position, or somebody else's
        event = {"event": _name(known), "room": room, **_object(data)}
        if self._user is None or self._is_theirs(event):
            self._say(event)

    def _is_theirs(self, event: Event) -> bool:
        if "user" in event:
            return bool(event["user"] == self._user)
        return event.get("username") in self._names or event.get("by") == self._user

    def _say(self, event: Event) -> None:
        if self.is_over.is_set():
            return
        try:
            if self._as_json:
                click.echo(json.dumps({"at": time.time(), **event}, ensure_ascii=False))
            else:
                click.echo(line(event, datetime.now()))
        except BrokenPipeError:  # seen by who runs this, too
            self.is_over.set()
            return
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.is_over.set()


def _name(known: Arrived | Told) -> str:
    if isinstance(known, Arrived):
        return "message"
    return "notice" if known.event == "receive" else known.event


def _object(data: bytes) -> Event:
    try:
        found = orjson.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


_COLOURS = {
    "message": "green", "notice": "yellow", "changed": "magenta", "connected": "blue", "disconnected": "blue",
    "joined": "cyan", "left": "cyan", "interrupted": "red", "restored": "green",
}  # fmt: skip


def line(event: Event, at: datetime) -> str:
    """One event for people: when, what, where, who, and what was said."""
    kind = event["event"]
    head = f"{at:%H:%M:%S} {paint(f'{kind:<12}', _COLOURS.get(kind, 'white'))} "
    where = safe(event.get("room", ""), ROOM_MOST)
    rest = {name: value for name, value in event.items() if name not in ("event", "room")}
    if kind in ("message", "notice"):
        who = rest.get("username", "")
        who = f"{who} ({rest['user']})" if "user" in rest and rest["user"] != who else who
        position = paint(safe(rest.get("id", "")), "bright_black")
        return f"{head}{where} {position} {safe(who)}: {safe(rest.get('message', ''))}"
    told = " ".join(f"{name}={safe(value)}" for name, value in rest.items() if value not in (None, ""))
    return f"{head}{where} {told}".rstrip() if where else f"{head}{told}".rstrip()
