"""Snapshots by hand: a test takes every step of a room's reading when it likes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any

from gateway.errors import StoreError
from gateway.protocol import Position
from gateway.rooms.resync import Answer, Resync
from gateway.rooms.room import Room
from gateway.state.history import NO_POSITION, Observed


class Step:
    """What the reading waits for: its `turn`, an answer to what it `observed`, or the end of a pause."""

    def __init__(self, kind: str, observed: Observed | None = None, wanted: Position = NO_POSITION) -> None:
        self.kind = kind
        self.observed = observed
        self.wanted = wanted

    def __await__(self) -> Generator[Step, Answer | None, Answer | None]:
        return (yield self)


class Turn:
    """A turn that comes when the test goes on."""

    async def __aenter__(self) -> None:
        await Step("turn")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nobody else waits for a turn."""


class HandSource:
    """The source of one room's snapshots, and the loop that its reading runs in. `reads` counts what was begun."""

    def __init__(self, on_epoch_begun: Callable[[Room], None] = lambda room: None) -> None:
        self.resync = Resync(self, self._spawn, on_epoch_begun)
        self.reads = 0
        self.pauses_s: list[float] = []
        self.step: Step | None = None
        self._reading: Coroutine[Any, Any, None] | None = None

    def start(self, room: Room) -> None:
        """The room wants a snapshot: what pauses goes on."""
        self.resync.start(room)
        if self.step is not None and self.step.kind == "pause":
            self.go_on()

    # -- steps

    def go_on(self, answer: Answer | None = None) -> None:
        """What is waited for has come."""
        reading = self._reading
        assert reading is not None
        self._until_next(lambda: reading.send(answer))

    def fail(self, error: StoreError) -> None:
        """The store does not answer."""
        reading = self._reading
        assert reading is not None
        self._until_next(lambda: reading.throw(error))

    def ask(self) -> Observed:
        """Goes on to the question; returns what the room says of what it has observed."""
        if self.step is not None and self.step.kind == "turn":
            self.go_on()
        assert self.step is not None
        assert self.step.observed is not None
        return self.step.observed

    @property
    def wanted(self) -> Position:
        """From where on the question that was put wants entries."""
        assert self.step is not None
        return self.step.wanted

    def answer(self, answer: Answer | StoreError) -> None:
        """Puts the question if that has not been done, and answers it."""
        self.ask()
        if isinstance(answer, StoreError):
            self.fail(answer)
        else:
            self.go_on(answer)

    def _spawn(self, reading: Coroutine[Any, Any, None]) -> None:
        self._reading = reading
        self._until_next(lambda: reading.send(None))

    def _until_next(self, run: Callable[[], Step]) -> None:
        self.step = None
        try:
            self.step = run()
        except StopIteration:
            self._reading = None
        else:
            self.reads += self.step.kind == "turn"

    # -- what the reading asks of its source

    def turn(self) -> Turn:
        """Holds the reading up."""
        return Turn()

    async def read(self, room: Room, observed: Observed, wanted: Position) -> Answer:
        """Waits for the answer."""
        answer = await Step("read", observed, wanted)
        assert answer is not None
        return answer

    async def pause(self, pause_s: float, woken: asyncio.Event) -> None:
        """Waits for the test."""
        self.pauses_s.append(pause_s)
        await Step("pause")
