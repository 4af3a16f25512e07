"""Heartbeats, and what follows when they stop.

Owns this worker's heartbeat and the clean-up after workers whose heartbeat stopped: their sessions are taken out of
the rooms, and those users are announced as left. Each living worker does it; the store's scripts see to it that each
user is announced once.

A worker that stood still may have been presumed dead and cleaned up after. Its next heartbeat tells it so, and it
puts its sessions back.
"""

from __future__ import annotations

import asyncio
import random
import time

import structlog

from gateway.chat.notices import Notices
from gateway.chat.presence_tracker import PresenceTracker
from gateway.errors import StoreError, StoreRefused, StoreUnavailable
from gateway.settings import PresenceOptions
from gateway.state.presence import Presence
from gateway.state.workers import Workers

log = structlog.get_logger("gateway.chat")

JITTER = 0.2
"""Each pause is up to a fifth shorter or longer, so that workers that started together do not beat together."""

STOOD_STILL = 1 + JITTER
"""A turn that took longer than so many heartbeats made this worker late, whatever the jitter: it stood still, or the
store did."""

SOONER = 0.1
"""After such a turn the next heartbeat comes in this part of the usual time: others may already presume it dead."""

SETTLE_S = 3.0
"""When the store is back, every worker is connected again after so long: attempts are at most 2 s apart, and one takes
up to 1 s (`redis/reconnect.py`, `redis/address.py`). One heartbeat later each has beaten."""


class Reaper:
    """Beats for this worker, and cleans up after those that no longer do."""

    def __init__(
        self,
        presence: Presence,
        workers: Workers,
        notices: Notices,
        tracker: PresenceTracker,
        options: PresenceOptions,
    ) -> None:
        self._presence = presence  # who is in which room, in the store
        self._workers = workers  # the heartbeats, in the store
        self._notices = notices
        self._tracker = tracker  # puts this worker's sessions back
        self._grace_s = options.grace_s
        self._heartbeat_s = options.heartbeat_s
        self._beat_now = asyncio.Event()
        self._settled_s = 0.0  # the store is back, and who lives has beaten since (monotonic time)
        self._is_known = False  # the store has had a heartbeat of this worker
        self._failure = ""  # why the last turn failed; logged when it changes

    async def run(self) -> None:
        """Woken every `heartbeat_s`, and by `beat_soon`; ended by cancellation.

        Does not back off: what the store did not do is due again at the next heartbeat, which is one command.
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
            return True
        self._failure = ""
        return is_done

    async def _beat(self) -> None:
        is_new = await self._workers.beat()
        if is_new and self._is_known:
            log.warning("worker_presumed_dead", worker=self._workers.worker)
            self._tracker.register_again()
        self._is_known = True

    async def _pause(self, began_s: float) -> None:
        """Until the next heartbeat is due, or `beat_soon`."""
        pause_s = self._heartbeat_s * random.uniform(1 - JITTER, 1 + JITTER)
        if time.monotonic() - began_s > STOOD_STILL * self._heartbeat_s:
            pause_s = SOONER * self._heartbeat_s
        try:
            async with asyncio.timeout(pause_s):
                await self._beat_now.wait()
        except TimeoutError:
            pass

    def _note_failure(self, error: Exception) -> None:
        """The store itself says when it is away; any other failure is said here, once."""
        failure = str(error)
        if failure == self._failure:
            return
        self._failure = failure
        if not isinstance(error, StoreUnavailable):
            log.error("heartbeat_failed", reason=failure, exc_info=error)

    # -- dead workers

    async def _reap(self, until_s: float) -> bool:
        if time.monotonic() < self._settled_s:
            return True
        for worker in await self._workers.dead():
            if worker != self._workers.worker and not await self._clean_up(worker, until_s):
                return False
        return True

    async def _clean_up(self, worker: str, until_s: float) -> bool:
        """Takes a dead worker's sessions out of their rooms, then forgets the worker; returns whether it is done.

        A worker with many rooms takes several turns: heartbeats must go on meanwhile, or this worker is the next that
        is presumed dead.
        """
        rooms = await self._rooms_of(worker)
        for done, room in enumerate(rooms, 1):
            await self._sweep(room, worker)
            if time.monotonic() > until_s and done < len(rooms):
                log.info("worker_partly_cleaned_up", dead=worker, rooms=done, left=len(rooms) - done)
                return False
        await self._workers.forget(worker)
        log.info("worker_cleaned_up", dead=worker, rooms=len(rooms))
        return True

    async def _rooms_of(self, worker: str) -> list[str]:
        try:
            return await self._workers.rooms_of(worker)
        except StoreRefused as error:
            log.error("worker_rooms_unreadable", dead=worker, reason=str(error))
            return []

    async def _sweep(self, room: str, worker: str) -> None:
        """A room that cannot be swept is given up: it must not keep the others from being cleaned up."""
        try:
            gone, count = await self._presence.sweep(room, worker)
        except StoreRefused as error:
            log.error("room_not_swept", room=room, dead=worker, reason=str(error))
        else:
            for username in gone:
                self._notices.left(room, username, count)
        await self._workers.quit(room, worker)
