"""Heartbeats, and what follows when they stop.

Owns this worker's heartbeat and the clean-up after workers whose heartbeat stopped: their sessions are taken out of
the rooms, and those users are announced as left. Each living worker does it; the store's scripts see to it that each
user is announced once.

A worker that stood still may have been presumed dead and cleaned up after. Its next heartbeat tells it so, and it
puts its sessions back. A store that was away or full, or whose clock was set, makes nobody dead: every worker then has
time for a heartbeat before anyone cleans up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from gateway.chat.notices import Notices
from gateway.chat.presence_tracker import PresenceTracker
from gateway.chat.revoking import Revoking
from gateway.errors import StoreError, StoreRefused, StoreUnavailable
from gateway.option_groups import PresenceOptions
from gateway.pauses import Backoff, woken_within
from gateway.state.batches import batched
from gateway.state.presence import Change, Presence, Swept
from gateway.state.workers import DeadWorker, Workers

log = structlog.get_logger("gateway.chat")

JITTER = (0.8, 1.2)
"""Each pause is up to a fifth shorter or longer, so that workers that started together do not beat together."""

STOOD_STILL = JITTER[1]
"""A turn that took longer than so many heartbeats made this worker late, whatever the jitter: it stood still, or the
store did."""

SOONER = 0.1
"""After such a turn the next heartbeat comes in this part of the usual time: others may already presume it dead."""

SETTLE_S = 3.0
"""When the store is back, every worker is connected again after so long: attempts are at most 2 s apart, and one takes
up to 1 s (`redis/reconnect.py`, `redis/address.py`). One heartbeat later each has beaten."""

REFUSED_PAUSE_S = 25.0
"""Longest pause between heartbeats that the store refuses, before the jitter: they can pass once somebody has changed
its rules or keys, and presence is promised to be right 30 s later."""


def heartbeats_after_refusals(heartbeat_s: float) -> Backoff:
    """Pauses between heartbeats, by how many in a row the store has refused; 0 is the usual pause."""
    return Backoff(heartbeat_s, max(heartbeat_s, REFUSED_PAUSE_S), jitter=JITTER)


class Reaper:
    """Beats for this worker, and cleans up after those that no longer do."""

    def __init__(
        self,
        presence: Presence,
        workers: Workers,
        notices: Notices,
        tracker: PresenceTracker,
        options: PresenceOptions,
        revoking: Revoking | None = None,
    ) -> None:
        """`revoking` is told the version that each heartbeat brings."""
        self._presence = presence  # who is in which room, in the store
        self._workers = workers  # the heartbeats, in the store
        self._notices = notices
        self._tracker = tracker  # puts this worker's sessions back
        self._revoking = revoking
        self._grace_s = options.grace_s
        self._heartbeat_s = options.heartbeat_s
        self._pauses = heartbeats_after_refusals(options.heartbeat_s)
        self._beat_now = asyncio.Event()
        self._settled_s = 0.0  # the store is back, and who lives has beaten since (monotonic time)
        self._is_known = False  # the store has had a heartbeat of this worker
        self._failure = ""  # why the last turn failed; logged when it changes
        self._refusals = 0  # turns in a row that the store refused

    async def run(self) -> None:
        """Woken every `heartbeat_s`, and by `beat_soon`; ended by cancellation.

        Backs off to `REFUSED_PAUSE_S` while the store refuses heartbeats. While it is away there is no need to: what it
        did not do is due again at the next heartbeat, which is one command.
        """
        while True:
            self._beat_now.clear()
            began_s = time.monotonic()
            if await self._turn(began_s + self._heartbeat_s):
                await self._pause(began_s)

    def beat_soon(self) -> None:
        """The store is back: the next heartbeat need not wait, and who lives has time for one.

        Example: Redis is away for 20 s, and a worker counts as dead after 15 s. When it is back, every heartbeat is 20
        s old. The first worker to reconnect must not clean up after all the others.
        """
        self._settled_s = time.monotonic() + SETTLE_S + self._heartbeat_s
        self._beat_now.set()

    async def depart(self) -> None:
        """Says good-bye: what is left of this worker's sessions is swept once the grace period is over."""
        try:
            await self._workers.depart(self._grace_s)
        except StoreError as error:
            log.warning("departure_not_stored", reason=str(error))

    async def _turn(self, until_s: float) -> bool:
        """Beats and cleans up, about until `until_s`; returns False if there is more to clean up."""
        try:
            await self._beat()
            is_done = await self._reap(until_s)
        except (
            Exception
        ) as error:  # whatever it is: without heartbeats this worker is dead to the others for good
            self._note_failure(error)
            self._settled_s = max(self._settled_s, time.monotonic() + SETTLE_S + self._heartbeat_s)
            return True
        self._failure, self._refusals = "", 0
        return is_done

    async def _beat(self) -> None:
        beat = await self._workers.beat()
        if self._revoking is not None:
            self._revoking.on_version(beat.revoked)
        if beat.is_new and self._is_known:
            log.warning("worker_presumed_dead", worker=self._workers.worker)
            self._tracker.register_again()
        self._is_known = True

    async def _pause(self, began_s: float) -> None:
        """Until the next heartbeat is due, or `beat_soon`."""
        pause_s = self._pauses.pause_s(self._refusals)
        if not self._refusals and time.monotonic() - began_s > STOOD_STILL * self._heartbeat_s:
            pause_s = SOONER * self._heartbeat_s
        await woken_within(self._beat_now, pause_s)

    def _note_failure(self, error: Exception) -> None:
        """The store itself says when it is away; any other failure is said here, once."""
        failure = str(error)
        self._refusals = self._refusals + 1 if isinstance(error, StoreRefused) else 0
        if failure == self._failure:
            return
        self._failure = failure
        if not isinstance(error, StoreUnavailable):
            log.error("heartbeat_failed", reason=failure, exc_info=error)

    # -- dead workers

    async def _reap(self, until_s: float) -> bool:
        if time.monotonic() < self._settled_s:
            return True
        for dead in await self._workers.dead():
            if dead.name != self._workers.worker and not await self._clean_up(dead, until_s):
                return False
        return True

    async def _clean_up(self, dead: DeadWorker, until_s: float) -> bool:
        """Takes a dead worker's sessions out of their rooms, then forgets the worker; returns whether it is done.

        A worker with many rooms takes several turns: heartbeats must go on meanwhile, or this worker is the next that
        is presumed dead.
        """
        rooms, done = await self._rooms_of(dead.name), 0
        swept: Sequence[str] = ()
        for some in batched(rooms):
            await asyncio.gather(self._sweep(some, dead), self._workers.quit(swept, dead.name))
            swept, done = some, done + len(some)
            if time.monotonic() > until_s and done < len(rooms):
                log.info("worker_partly_cleaned_up", dead=dead.name, rooms=done, left=len(rooms) - done)
                return False
        await self._workers.forget(dead.name)
        log.info("worker_cleaned_up", dead=dead.name, rooms=len(rooms))
        return True

    async def _rooms_of(self, worker: str) -> list[str]:
        try:
            return await self._workers.rooms_of(worker)
        except StoreRefused as error:
            log.error("worker_rooms_unreadable", dead=worker, reason=str(error))
            return []

    async def _sweep(self, rooms: Sequence[str], dead: DeadWorker) -> None:
        """All pieces of all these rooms; most have one. A room that cannot be swept is given up: it must not keep the
        others from being cleaned up."""
        left = [(room, "0") for room in rooms]
        while left:
            results = await self._presence.sweep_all(left, dead.name, dead.is_older)
            following = []
            for (room, _), swept in zip(left, results, strict=True):
                if isinstance(swept, StoreRefused):
                    log.error("room_not_swept", room=room, dead=dead.name, reason=str(swept))
                elif isinstance(swept, StoreError):
                    raise swept
                else:
                    self._announce_left(room, swept)
                    following += [(room, swept.cursor)] if swept.cursor else []
            left = following

    def _announce_left(self, room: str, swept: Swept) -> None:
        """As if they had left one after the other: from a large room nobody is announced."""
        for place, username in enumerate(swept.gone, 1):
            count = swept.count + len(swept.gone) - place
            self._notices.left(room, username, Change(True, count, swept.at_ms))
