"""Many sockets in one call: the same bytes in the same order as by the transports, which keep all that is theirs.

By io_uring, and by what the fast build has in C: in the plain build that is compiled for these tests.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway import io_uring
from gateway.builds import FAST, PLAIN, build_name
from gateway.rooms import send_directly
from tests.support.binaries import program
from tests.support.waiting import until

SOURCE = Path(__file__).resolve().parents[2] / "deploy" / "fast" / "send.c"
DATA = b"\x81\x05hello"
SendToAll = Callable[[list[Any], bytes], None]


@pytest.fixture(scope="module")
def in_c(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`send_to_all` of the fast build."""
    if build_name() == FAST:
        return send_directly.send_to_all  # type: ignore[attr-defined]
    library = tmp_path_factory.mktemp("send") / "_send.so"
    command = [program("gcc"), "-shared", "-fPIC", "-Wall", "-Werror"]
    command += [f"-I{sysconfig.get_path('include')}", str(SOURCE), "-o", str(library)]
    subprocess.run(command, check=True, timeout=60)
    spec = importlib.util.spec_from_file_location("_send", library)
    assert spec is not None
    module: Any = importlib.util.module_from_spec(spec)
    return module.send_to_all


def by_ring(sockets: list[Any], data: bytes) -> None:
    """As a room of many members writes without anything compiled."""
    direct = send_directly.DirectSockets([])
    ring = direct._ring = io_uring.ring()
    if ring is None:
        pytest.skip("the kernel has no io_uring for us")
    direct._sockets, direct._requests = sockets, send_directly._requests(ring, sockets)
    direct.write(data)


@pytest.fixture(params=["loop in C", "ring in C", "ring"])
def send_to_all(in_c: Any, request: pytest.FixtureRequest) -> SendToAll:
    if request.param == "ring":
        return by_ring
    return lambda sockets, data: in_c(sockets, data, request.param == "ring in C")


class Told(asyncio.Protocol):
    """Who owns a transport, and what it was told."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def pause_writing(self) -> None:
        self.words.append("behind")

    def resume_writing(self) -> None:
        self.words.append("drained")

    def connection_lost(self, exc: Exception | None) -> None:
        self.words.append("lost")


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.Transport, Told, socket.socket]]:
    """A transport with small marks, and the other end of its connection."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, told = await asyncio.get_running_loop().create_connection(Told, sock=ours)
    transport.set_write_buffer_limits(high=1000, low=250)
    try:
        yield transport, told, theirs
    finally:
        theirs.close()
        transport.abort()
        await until(lambda: "lost" in told.words, what="the connection is gone")


def sockets(*transports: asyncio.Transport) -> list[Any]:
    found = [send_directly._socket(each.write) for each in transports]
    assert None not in found
    return found


async def read(theirs: socket.socket, size: int) -> bytes:
    data = bytearray()
    async with asyncio.timeout(10):
        while len(data) < size:
            data += await asyncio.get_running_loop().sock_recv(theirs, 1 << 20)
    return bytes(data)


def on_uvloop(test: Any) -> Any:
    """Runs a test on uvloop, as the gateway runs."""

    def run(send_to_all: SendToAll) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(send_to_all))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def test_the_plain_build_has_no_loop_in_c() -> None:
    assert send_directly.HAS_LOOP is (build_name() != PLAIN)


@on_uvloop
async def test_everybody_gets_the_same_bytes_and_nothing_waits(send_to_all: SendToAll) -> None:
    async with connected() as (one, _, first), connected() as (other, _, second):
        send_to_all(sockets(one, other), DATA)
        assert (first.recv(100), second.recv(100)) == (DATA, DATA), "they have left when the call returns"
        assert one.get_write_buffer_size() == other.get_write_buffer_size() == 0


@on_uvloop
async def test_what_the_kernel_does_not_take_waits_in_the_transport_and_the_marks_hold(
    send_to_all: SendToAll,
) -> None:
    async with connected() as (transport, told, theirs):
        much = os.urandom(4_000_000)
        send_to_all(sockets(transport), much)
        waiting = transport.get_write_buffer_size()
        assert 0 < waiting < len(much), "a part has left, exactly the rest waits"
        assert told.words == ["behind"]
        send_to_all(sockets(transport), DATA)
        assert transport.get_write_buffer_size() == waiting + len(DATA), "behind what waits, not before it"
        assert await read(theirs, len(much) + len(DATA)) == much + DATA
        await until(lambda: told.words == ["behind", "drained"], what="it is drained")


@on_uvloop
async def test_a_descriptor_that_is_somebody_elses_by_now_is_left_alone(send_to_all: SendToAll) -> None:
    async with connected() as (transport, told, _), connected() as (other, _, second):
        members = sockets(transport, other)
        descriptor = members[0][0]
        transport.abort()
        await until(lambda: "lost" in told.words, what="it is closed")
        ours, theirs = socket.socketpair()
        with ours, theirs, socket.socket(fileno=os.dup2(ours.detach(), descriptor)):
            theirs.setblocking(False)
            # As without all this: the transport of the closed one says what it thinks of that.
            with pytest.raises(RuntimeError, match="closed"):
                members[0][3](DATA)
            with pytest.raises(RuntimeError, match="closed"):
                send_to_all(members, DATA)
            with pytest.raises(BlockingIOError):
                theirs.recv(100)
        with suppress(BlockingIOError):
            assert second.recv(100) == DATA, "who stands behind it may have got it before"
        send_to_all(members[1:], DATA)
        assert second.recv(100) == DATA


@on_uvloop
async def test_one_that_is_closing_gets_nothing(send_to_all: SendToAll) -> None:
    async with connected() as (transport, _, theirs):
        members = sockets(transport)
        transport.close()
        send_to_all(members, DATA)
        assert await asyncio.get_running_loop().sock_recv(theirs, 100) == b""


@on_uvloop
async def test_a_peer_that_is_gone_is_the_transports_to_notice(send_to_all: SendToAll) -> None:
    async with connected() as (transport, told, theirs):
        theirs.close()
        send_to_all(sockets(transport), DATA)
        await until(lambda: told.words == ["lost"], what="it is told once")


@on_uvloop
async def test_no_reference_is_kept_or_lost_whatever_becomes_of_the_bytes(send_to_all: SendToAll) -> None:
    """A reference kept for each write is a leak for each message; one lost is a crash, some hours later."""
    times, much = 2000, os.urandom(400_000)
    async with connected() as (free, _, first), connected() as (full, _, _), connected() as (gone, told, _):
        send_to_all(sockets(full), much)
        ways = {"free": sockets(free), "full": sockets(full), "gone": sockets(gone)}
        gone.abort()
        await until(lambda: "lost" in told.words, what="it is closed")
        before = {way: references(found[0]) for way, found in ways.items()}
        data = sys.getrefcount(DATA)
        for _ in range(times):
            send_to_all(ways["free"], DATA)
            send_to_all(ways["full"], DATA)
            with suppress(RuntimeError):  # `pytest.raises` would keep each error until garbage is collected
                send_to_all(ways["gone"], DATA)
            assert first.recv(100) == DATA
        assert sys.getrefcount(DATA) - data == times, "one for each that waits in the transport that is full"
        for way, found in ways.items():
            grown = [now - then for now, then in zip(references(found[0]), before[way], strict=True)]
            # None, True and small numbers are everybody's: some come and go.
            assert max(map(abs, grown)) < times / 2, (way, grown)


def references(found: tuple[Any, ...]) -> list[int]:
    gc.collect()
    return [sys.getrefcount(each) for each in (None, True, False, found, *found)]


def test_members_of_whom_nobody_reads_share_the_bytes_that_wait(send_to_all: SendToAll) -> None:
    """A message of 64 KB to 2,000 slow members is kept once, not 2,000 times."""
    waiting: list[bytes] = []
    send_to_all([(-1, lambda: False, lambda: 1, waiting.append)] * 3, DATA)
    assert [each is DATA for each in waiting] == [True] * 3


@pytest.mark.parametrize("is_ring_allowed", [False, True])
def test_what_is_no_list_of_sockets_is_refused(in_c: Any, is_ring_allowed: bool) -> None:
    for wrong in (None, [None], [()], [(1, 2)]):
        with pytest.raises(TypeError):
            in_c(wrong, DATA, is_ring_allowed)


@on_uvloop
async def test_more_than_a_ring_holds_get_it_and_those_in_between_that_cannot_wait(
    send_to_all: SendToAll,
) -> None:
    async with connected() as (full, _, slow), connected() as (free, _, fast):
        send_to_all(sockets(full), much := os.urandom(1_000_000))
        (one,), (other,) = sockets(free), sockets(full)
        many = [one] * 400 + [other] + [one] * 400 + [other] + [one] * 400
        waiting = full.get_write_buffer_size()
        send_to_all(many, DATA)
        assert full.get_write_buffer_size() == waiting + 2 * len(DATA)
        assert await read(fast, 1200 * len(DATA)) == 1200 * DATA
        assert await read(slow, len(much) + 2 * len(DATA)) == much + 2 * DATA


def test_what_is_encrypted_or_no_socket_is_written_by_its_transport() -> None:
    class Encrypted:
        def get_extra_info(self, name: str) -> object:
            return object()

        def write(self, data: bytes) -> None:
            raise AssertionError

    assert send_directly._socket(Encrypted().write) is None
    assert send_directly._socket(lambda data: None) is None
    others: list[bytes] = []
    assert send_directly._socket(others.append) is None
