"""A room of a worker with one member that is live."""

from __future__ import annotations

import asyncio
import uuid

from gateway.errors import StoreError
from gateway.rooms.room import Room
from gateway.state.history import Snapshot
from tests.support.chat_worker import ChatWorker
from tests.support.recorder import Recorder, live_member
from tests.support.waiting import until


async def entered(worker: ChatWorker, room: str) -> tuple[Room, Recorder]:
    """A room with one member that is live."""
    opened = worker.hub.room(room)
    await asyncio.wait_for(worker.hub.subscribed(opened), 10)
    answers: list[Snapshot | StoreError] = []
    opened.with_snapshot(answers.append)
    await until(lambda: answers, what="the snapshot")
    assert isinstance(answers[0], Snapshot)
    _, recorder = live_member(opened, uuid.uuid4().hex)
    return opened, recorder
