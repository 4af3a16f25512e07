"""Workers of one host: which number each has, and what they tell each other."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from gateway.background import Background
from gateway.server import slots
from gateway.server.exposition import Form
from gateway.server.handoff import Handoff
from gateway.server.scrape import Shared, missing
from gateway.server.siblings import ASK_S, NoAnswer, ask


class Told:
    """What a worker answers."""

    async def answer(self, question: bytes) -> bytes:
        return b"x" * 1_000_000 if question == b"much" else b"told " + question


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sl-"))
    yield folder
    shutil.rmtree(folder)


@asynccontextmanager
async def answering(folder: Path, name: str) -> AsyncIterator[None]:
    """A worker that answers."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    assert isinstance(runner.server, web.Server)
    handoff = Handoff(folder, name, 1000)
    handoff.open(runner.server, Told())
    try:
        yield
    finally:
        await handoff.close()
        await runner.cleanup()


def test_a_worker_has_the_lowest_number_that_no_living_one_has(folder: Path) -> None:
    first, second, third = (slots.take(folder, name) for name in ("aa", "bb", "cc"))
    assert [each.number for each in (first, second, third)] == [0, 1, 2]
    second.leave()
    assert slots.take(folder, "dd").number == 1
    assert slots.holders(folder) == {0: "aa", 1: "dd", 2: "cc"}
    assert slots.take(folder, "ee").number == 3


async def test_a_question_is_answered_whatever_its_length(folder: Path) -> None:
    async with answering(folder, "aa"):
        assert await ask(folder, "aa", b"text") == b"told text"
        assert await ask(folder, "aa", b"much") == b"x" * 1_000_000


async def test_who_has_ended_is_known_at_once_and_who_stands_still_after_the_limit(folder: Path) -> None:
    assert await ask(folder, "nobody", b"text") is NoAnswer.GONE
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "slow.sock"))
        listener.listen()
        begun_s = time.monotonic()
        found = await asyncio.gather(*(ask(folder, "slow", b"text") for _ in range(10)))
        assert found == [NoAnswer.SILENT] * 10
        assert ASK_S <= time.monotonic() - begun_s < 2 * ASK_S + 0.5
    assert await ask(folder, "slow", b"text") is NoAnswer.GONE


async def test_a_question_without_words_or_that_is_broken_off_ends_itself_alone(folder: Path) -> None:
    async with answering(folder, "aa"):
        for sent in (b"?", b"", b"!", b"?" + b"y" * 5000):
            with socket.socket(socket.AF_UNIX) as way:
                way.connect(str(folder / "aa.sock"))
                way.sendall(sent)
        assert await ask(folder, "aa", b"text") == b"told text"


@pytest.mark.parametrize(
    ("told", "workers", "shown"),
    [
        ({0: b"", 1: b""}, 2, []),
        ({0: b"", 1: NoAnswer.SILENT}, 2, [1]),
        ({0: b"", 1: NoAnswer.GONE}, 2, [1]),
        ({0: NoAnswer.GONE, 1: NoAnswer.GONE, 2: b"", 3: b""}, 2, []),
        ({0: NoAnswer.GONE, 1: NoAnswer.GONE, 2: b"", 3: NoAnswer.GONE}, 2, [0]),
        ({0: b"", 1: b"", 2: b"", 3: NoAnswer.SILENT}, 2, [3]),
        ({0: b""}, 4, [1, 2, 3]),
    ],
    ids=["all", "silent", "dead", "after-hup", "dead-after-hup", "both-and-silent", "starting"],
)
def test_a_worker_that_should_be_there_is_shown_as_down_and_a_number_of_before_is_not(
    told: dict[int, bytes | NoAnswer], workers: int, shown: list[int]
) -> None:
    assert missing(told, workers) == shown


async def test_an_answer_that_is_shared_was_begun_after_each_question_for_it_and_one_is_made_at_a_time() -> (
    None
):
    begun: list[float] = []
    running = 0

    async def make(form: Form) -> bytes:
        nonlocal running
        running += 1
        assert running == 1
        begun.append(time.monotonic())
        await asyncio.sleep(0.02)
        running -= 1
        return b"%d" % len(begun)

    background = Background("test")
    shared = Shared(make, background)

    async def asked(after_s: float) -> None:
        await asyncio.sleep(after_s)
        asked_s = time.monotonic()
        number = int(await shared.get(Form.TEXT))
        assert begun[number - 1] >= asked_s

    await asyncio.gather(*(asked(number * 0.001) for number in range(100)))
    assert len(begun) < 12
    await background.close()
