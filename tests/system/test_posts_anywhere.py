"""The same POST gets the same answer whichever of four workers the kernel gives it to.

Every case is sent once for each of `SESSIONS` sessions, on fresh connections; that all of them reached their owners by
chance is as likely as (1/4)^12.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import pytest

from tests.support.gateways import Gateway

SESSIONS = 12
LIMIT_S = 10.0
PACKET = b'42["nothing"]'


class Post(NamedTuple):
    """A request in pieces, each with the pause before it; and the answer that it must get."""

    headers: str
    pieces: tuple[tuple[float, bytes], ...]
    status: int


CASES = {
    "at once": Post(f"Content-Length: {len(PACKET)}\r\n", ((0, PACKET),), 200),
    "a body that takes 2.2 s": Post(
        f"Content-Length: {len(PACKET)}\r\n", ((0, PACKET[:4]), (1.1, PACKET[4:7]), (1.1, PACKET[7:])), 200
    ),
    "chunks that take 2.2 s": Post(
        "Transfer-Encoding: chunked\r\n",
        ((0, b"1\r\n4\r\n"), (2.2, b"%x\r\n%b\r\n0\r\n\r\n" % (len(PACKET) - 1, PACKET[1:]))),
        200,
    ),
    "announced too large": Post("Content-Length: 70000\r\n", ((0, b"4"),), 413),
    "too large": Post("Content-Length: 70000\r\n", ((0, b"4" * 70_000),), 413),
    "chunks too large": Post("Transfer-Encoding: chunked\r\n", ((0, b"11170\r\n" + b"4" * 70_000),), 413),
    "malformed": Post("Content-Length: 3\r\n", ((0, b"9zz"),), 400),
}


async def request(
    port: int, line: str, headers: str = "", pieces: tuple[tuple[float, bytes], ...] = ()
) -> bytes:
    """The whole answer to a request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n".encode())
        for pause_s, piece in pieces:
            await asyncio.sleep(pause_s)
            writer.write(piece)
        async with asyncio.timeout(LIMIT_S):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return head + await reader.readexactly(length)
    finally:
        writer.close()


async def open_session(port: int) -> str:
    """The query of a session that polls, connected to `/`."""
    answer = await request(port, "GET /socket.io/?EIO=4&transport=polling")
    sid = answer.partition(b'"sid":"')[2].partition(b'"')[0].decode()
    query = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
    assert b" 200 " in await request(port, f"POST {query}", "Content-Length: 2\r\n", ((0, b"40"),))
    await request(port, f"GET {query}")
    return query


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_every_worker_gives_the_same_answer(gateway: Gateway, case: Post) -> None:
    queries = await asyncio.gather(*(open_session(gateway.port) for _ in range(SESSIONS)))
    answers = await asyncio.gather(
        *(request(gateway.port, f"POST {query}", case.headers, case.pieces) for query in queries)
    )
    assert {answer.split()[1] for answer in answers} == {str(case.status).encode()}
    if case.status == 413:
        gone = await asyncio.gather(*(_is_gone(gateway.port, query) for query in queries))
        assert all(gone), "the session is over everywhere, no ghost is left"


async def test_a_poll_that_waits_is_not_told_close_before_the_413_is_written(gateway: Gateway) -> None:
    async def when(answering: asyncio.Future[bytes]) -> tuple[bytes, float]:
        return await answering, time.monotonic()

    for _ in range(8):
        query = await open_session(gateway.port)
        polling = asyncio.ensure_future(request(gateway.port, f"GET {query}"))
        await asyncio.sleep(0.05)  # the poll waits at its owner
        posting = asyncio.ensure_future(request(gateway.port, f"POST {query}", "Content-Length: 70000\r\n"))
        (told, told_s), (refused, refused_s) = await asyncio.gather(when(polling), when(posting))
        assert b" 413 " in refused
        assert told.endswith(b"\r\n\r\n1")
        assert refused_s <= told_s


async def _is_gone(port: int, query: str) -> bool:
    """The last packets of an ended session may wait for one poll."""
    first = await request(port, f"GET {query}")
    return b" 400 " in first or b" 400 " in await request(port, f"GET {query}")
