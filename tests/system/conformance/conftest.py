"""What the conformance tests share: the echo apps, a client per test, and somebody who watches for harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.system.conformance.echo_server import EchoServer, balanced_echo_server, echo_server
from tests.system.conformance.wire import LIMIT_S, Socket

WATCH_S = 60.0
"""Longer than any test takes."""
CALM = ("--ping-interval", "25", "--ping-timeout", "20", "--connect-timeout", "10")
"""The gateway's own times. A machine that stands still for a moment closes no session of theirs, and no ping comes
between; a server that waits for one of its time-outs where it should act at once is ten seconds late or more."""


@pytest.fixture
async def web() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client of the test's own; no request takes longer than `LIMIT_S`."""
    limit, connector = aiohttp.ClientTimeout(total=LIMIT_S), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=limit) as session:
        yield session


@pytest.fixture(scope="package")
def engineio_echo() -> Iterator[EchoServer]:
    """The echo app that sends every Engine.IO message back."""
    with echo_server("engine.io", *CALM) as server:
        yield server
        check_unharmed(server)


@pytest.fixture(scope="package")
def socketio_echo() -> Iterator[EchoServer]:
    """The echo app of Socket.IO, as one process."""
    with echo_server("socket.io", *CALM) as server:
        yield server
        check_unharmed(server)


@pytest.fixture(scope="package")
def balanced_echo() -> Iterator[EchoServer]:
    """The echo app of Socket.IO, as four workers behind HAProxy."""
    with balanced_echo_server("socket.io", 4, *CALM) as server:
        yield server
        check_unharmed(server)


@pytest.fixture(scope="package")
def brisk_engineio_echo() -> Iterator[EchoServer]:
    """The same as `engineio_echo` with the echo app's own short times, which the protocol's suite expects."""
    with echo_server("engine.io") as server:
        yield server
        check_unharmed(server)


@pytest.fixture(scope="package")
def brisk_socketio_echo() -> Iterator[EchoServer]:
    """The same as `socketio_echo` with the short times."""
    with echo_server("socket.io") as server:
        yield server
        check_unharmed(server)


@pytest.fixture(scope="package")
def brisk_balanced_echo() -> Iterator[EchoServer]:
    """The same as `balanced_echo` with the short times."""
    with balanced_echo_server("socket.io", 4) as server:
        yield server
        check_unharmed(server)


@pytest.fixture(params=["engineio_echo", "socketio_echo"])
def engine(request: pytest.FixtureRequest) -> EchoServer:
    """Both protocols' echo apps: what Engine.IO promises holds on the bare engine and beneath Socket.IO."""
    chosen: EchoServer = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(params=["brisk_engineio_echo", "brisk_socketio_echo"])
def brisk_engine(request: pytest.FixtureRequest) -> EchoServer:
    """Both, with the short times: for what is about pings and other times, and for nothing else."""
    chosen: EchoServer = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(params=["socketio_echo", "balanced_echo"])
def served(request: pytest.FixtureRequest) -> EchoServer:
    """Socket.IO by one process, and by several behind a proxy that knows nothing of sessions."""
    chosen: EchoServer = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(params=["brisk_socketio_echo", "brisk_balanced_echo"])
def briskly_served(request: pytest.FixtureRequest) -> EchoServer:
    """The same with the short times."""
    chosen: EchoServer = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(params=["", "/custom,"], ids=["main", "custom"])
def namespace(request: pytest.FixtureRequest) -> str:
    """A namespace as packets name it: nothing for `/`, else its name and a comma."""
    chosen: str = request.param
    return chosen


def check_unharmed(server: EchoServer, known: int = 0) -> None:
    """The server lives, and its log, but for the first `known` characters, shows no traceback."""
    assert server.is_running()
    assert "Traceback" not in server.log()[known:], server.log()[known:]


class Bystander:
    """A well-behaved session beside the one that misbehaves."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._answers: asyncio.Queue[str] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            self._answers.put_nowait(str(await self._socket.receive_answering(WATCH_S)))

    async def is_well(self) -> bool:
        """Whether an event of its still comes back, and came back once."""
        await self._socket.send('42["message","well"]')
        async with asyncio.timeout(LIMIT_S):
            answer = await self._answers.get()
        return answer == '42["message-back","well"]' and self._answers.empty() and not self._reading.done()

    async def close(self) -> None:
        """Leaves."""
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await self._socket.close()


@pytest.fixture
async def bystander(web: aiohttp.ClientSession, socketio_echo: EchoServer) -> AsyncIterator[Bystander]:
    """Watches that the server, its other sessions and its log come through a test unharmed."""
    known = len(socketio_echo.log())
    session = Bystander(await Socket.connect(web, socketio_echo.address))
    yield session
    assert await session.is_well()
    await session.close()
    check_unharmed(socketio_echo, known)
