"""A sender that keeps a room busy while a test does something else."""

from __future__ import annotations

import asyncio
import itertools
from typing import Self

from tests.support.clients import Member


class SteadySender:
    """Sends numbered messages to a room at a steady rate, each with an acknowledgement, until `stop`.

    Enter it as an async context manager: then it has joined and its first message is acknowledged.
    """

    def __init__(self, url: str, room: str, rate: float = 100, username: str = "sender") -> None:
        self.room, self.username = room, username
        self.ids: list[str] = []
        self.refused: list[dict[str, object]] = []
        self._url, self._pause_s = url, 1 / rate
        self._is_stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._answers: set[asyncio.Task[None]] = set()

    @property
    def acknowledged(self) -> int:
        """The highest seq that was acknowledged."""
        return max((int(position.split(":")[1]) for position in self.ids), default=0)

    async def stop(self) -> int:
        """Sends no more, waits for the acknowledgements, and returns the highest seq."""
        self._is_stopping.set()
        assert self._task is not None
        await self._task
        if self._answers:
            await asyncio.wait(self._answers, timeout=10)
        return self.acknowledged

    async def __aenter__(self) -> Self:
        self.member = await Member.connect(self._url)
        await self.member.join(self.username, self.room)
        await self._send(f"{self.username}-first")
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error: object) -> None:
        try:
            await self.stop()
        finally:
            await self.member.close()

    async def _run(self) -> None:
        for number in itertools.count():
            answer = asyncio.create_task(self._send(f"{self.username}-{number}"))
            self._answers.add(answer)
            answer.add_done_callback(self._answers.discard)
            try:
                await asyncio.wait_for(self._is_stopping.wait(), self._pause_s)
            except TimeoutError:
                continue
            return

    async def _send(self, text: str) -> None:
        try:
            answer = await self.member.send(self.room, text)
        except ConnectionError:
            self._is_stopping.set()
            return
        if answer["ok"]:
            self.ids.append(answer["id"])
        else:
            self.refused.append(answer)
