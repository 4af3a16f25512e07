"""RFC 6455 and RFC 7692 on the engine's frame layer, by the cases of the Autobahn suite (PyPI: kosoku)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from kosoku import FailureError, run_fuzzingclient

from tests.system.conformance.echo_server import EchoServer, echo_server

pytestmark = [
    pytest.mark.system,
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # kosoku's own, reading its test data
]

GROUPS = ("1", "2", "3", "4", "5", "6", "7", "10")
AT_ONCE = 4
SHORT_LIMIT_S, LONG_LIMIT_S = 100, 1200


@pytest.fixture(scope="module")
def compressed_echo() -> Iterator[EchoServer]:
    """The plain echo with permessage-deflate, in which every message is compressed."""
    with echo_server("engine.io", "--compression") as server:
        yield server


async def judge(server: EchoServer, cases: list[str], limit_s: float) -> int:
    """Runs the cases; returns how many there were, raises AssertionError with those that failed."""
    async with asyncio.timeout(limit_s):
        try:
            results = await run_fuzzingclient(
                f"ws://127.0.0.1:{server.port}/echo", cases, concurrency=AT_ONCE
            )
        except FailureError as failed:
            raise AssertionError(f"{failed}\n{server.log()[-5000:]}") from failed
    assert "Traceback" not in server.log()
    return len(results)


async def test_frames_follow_rfc_6455(engineio_echo: EchoServer) -> None:
    assert await judge(engineio_echo, [f"{group}.*" for group in GROUPS], SHORT_LIMIT_S) == 247


async def test_short_messages_are_compressed_by_rfc_7692(compressed_echo: EchoServer) -> None:
    kinds = [f"12.{data}" for data in range(1, 6)] + [f"13.{agreed}" for agreed in range(1, 8)]
    cases = [f"{kind}.{size}" for kind in kinds for size in (1, 2, 3)]
    assert await judge(compressed_echo, cases, SHORT_LIMIT_S) == 36


@pytest.mark.long
@pytest.mark.timeout(LONG_LIMIT_S + 60)
async def test_all_sizes_are_compressed_by_rfc_7692() -> None:
    """A thousand messages of up to 128 KiB in a case. Connections that keep a worker so busy share a tenth of it
    (`transport/turns.py`): so there is a worker for each kind of data, and one for each way of agreeing."""
    kinds = [f"12.{data}.*" for data in range(1, 6)] + [f"13.{agreed}.*" for agreed in range(1, 8)]
    with ExitStack() as servers:
        each = [servers.enter_context(echo_server("engine.io", "--compression")) for _ in kinds]
        counts = await asyncio.gather(
            *(judge(server, [kind], LONG_LIMIT_S) for server, kind in zip(each, kinds, strict=True))
        )
    assert sum(counts) == 216


@pytest.mark.long
async def test_frames_follow_rfc_6455_with_compression_agreed(compressed_echo: EchoServer) -> None:
    assert await judge(compressed_echo, [f"{group}.*" for group in GROUPS], SHORT_LIMIT_S) == 247
