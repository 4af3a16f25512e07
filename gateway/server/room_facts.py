"""What `gateway room` finds out about one room, and whether all of it agrees. Values, and one look; prints nothing.

A look reads the store first, then publishes a probe on the room's channel, then asks the workers. Where channels and
questions come by one connection, a worker has heard by then whatever the store had when it was read: so one that is
behind the store's position, or has not heard the probe, misses something. On a Cluster they come by several. Hence what
does not agree is looked at once more before it is said.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

from gateway import keys
from gateway.protocol import Position
from gateway.redis.connection import pack
from gateway.server.asking import Operator
from gateway.server.terminal import counted
from gateway.state.people import people_in

AGAIN_S = 0.1
"""After so long what did not agree is looked at once more."""
ROUNDED_MS = 0.1
"""To so much a worker says how long ago it heard something."""

Answer = dict[str, Any]


class StoreFacts(NamedTuple):
    """What the store has of a room: its position (None if it has none), how many messages are kept, how many users are
    in it, and how many connections listen to its channel (None where that is not told)."""

    position: Position | None
    messages: int
    users: int
    subscribers: int | None


class RoomFacts(NamedTuple):
    """One look: the store, the answers by worker, the workers that live and did not answer, and how long it took from
    the probe to the last answer: who heard nothing for longer has not heard the probe."""

    name: str
    store: StoreFacts
    answers: dict[str, Answer]
    silent: list[str]
    taken_ms: float = 0.0

    @property
    def here(self) -> dict[str, Answer]:
        """The workers that have the room, and what they have of it."""
        return {name: told for name, told in self.answers.items() if told.get("room") is not None}

    def lag(self, told: Answer) -> int | None:
        """How many messages a worker is behind the store; None where their epochs differ."""
        position = told["room"]["position"]
        if position is None or self.store.position is None:
            return None
        at = Position.parse(position)
        return self.store.position.seq - at.seq if at.epoch == self.store.position.epoch else None

    def divergences(self) -> list[str]:
        """What does not agree, in sentences; empty as it should be."""
        found = []
        for name, told in sorted(self.here.items()):
            room, lag = told["room"], self.lag(told)
            if room["unsure"]:
                found.append(
                    f"worker {name} is unsure: no snapshot has confirmed its position since a failover"
                )
            if room["refused"]:
                found.append(f"worker {name} is refused the room's history by the store")
            if lag is None and room["position"] is not None and self.store.position is not None:
                found.append(f"worker {name} is in another epoch ({room['position']}) than the store")
            elif lag is None and room["position"] is not None:
                found.append(f"worker {name} is at {room['position']}, and the store has no position")
            elif lag is not None and lag > 0:
                found.append(f"worker {name} is {counted(lag, 'message')} behind the store")
            if self.store.position is not None and not self._has_heard(room):
                found.append(f"worker {name} does not hear the room's channel")
        found += self._subscribers()
        return found

    def _has_heard(self, room: dict[str, Any]) -> bool:
        return room["heard_ms"] is not None and room["heard_ms"] <= self.taken_ms + ROUNDED_MS

    def _subscribers(self) -> list[str]:
        count, workers = self.store.subscribers, len(self.here)
        if count is None or count >= workers:
            return []
        listen = "1 connection listens" if count == 1 else f"{count:,} connections listen"
        have = "1 worker has" if workers == 1 else f"{workers:,} workers have"
        return [f"{listen} to the room's channel, and {have} the room"]


async def look(me: Operator, name: str) -> RoomFacts:
    """Looks until all agrees, at most twice. Raises a StoreError."""
    found = await _look_once(me, name)
    if found.divergences():
        await asyncio.sleep(AGAIN_S)
        found = await _look_once(me, name)
    return found


async def _look_once(me: Operator, name: str) -> RoomFacts:
    living, store = await asyncio.gather(me.census.living(), _store(me, name))
    begun_s = time.monotonic()
    if store.position is not None:
        await _probe(me, name, store.position.epoch)
    answers = await me.questions.ask("room", living, room=name)
    taken_ms = (time.monotonic() - begun_s) * 1000
    return RoomFacts(name, store, answers, sorted(set(living) - set(answers)), taken_ms)


async def _probe(me: Operator, name: str, epoch: str) -> None:
    """Publishes a position at which every member has been: it changes nothing, and shows who hears."""
    key, done = keys.meta(name), asyncio.get_running_loop().create_future()
    command = pack(me.route.publish_verb, me.route.channel(name), me.route.position(name, f"{epoch}:0"))
    me.store.submit(key, command, lambda reply: done.set_result(reply) if not done.done() else None)
    await done


async def _store(me: Operator, name: str) -> StoreFacts:
    meta, history = keys.meta(name), keys.history(name)
    (epoch, seq), messages, (count,), subscribers = await asyncio.gather(
        me.store.call(meta, "HMGET", meta, "epoch", "seq"),
        me.store.call(history, "LLEN", history),
        people_in(me.store, [name]),
        _listening(me, name),
    )
    position = None if epoch is None or seq is None else Position(epoch.decode(), int(seq))
    return StoreFacts(position, messages, count, subscribers)


async def _listening(me: Operator, name: str) -> int | None:
    """How many connections listen to the channel. A plain channel of a Cluster is heard at each node, and only one of
    them is asked: it tells nothing there."""
    verb = "SHARDNUMSUB" if me.route.publish_verb == b"SPUBLISH" else "NUMSUB"
    if not me.route.is_per_room or (verb == "NUMSUB" and me.store.has_slots):
        return None
    (_, count) = await me.store.call(keys.meta(name), "PUBSUB", verb, me.route.channel(name))
    return int(count)
