"""Connections that reached the wrong worker: two servers in one process pass them to each other."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import structlog
from aiohttp import web

from gateway.background import missing_loops
from gateway.metrics import handoffs
from gateway.server.handoff import Handoff
from gateway.transport.hijack import Hijacked
from tests.support.waiting import stays, until

MAX_BODY_BYTES = 200_000


class Worker:
    """A server that answers for its own sessions and passes everything else on."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.handoff = Handoff(folder, name, MAX_BODY_BYTES)
        self.app = web.Application(client_max_size=MAX_BODY_BYTES)
        self.app.router.add_route("*", "/", self._answer)
        self.runner = web.AppRunner(self.app, handler_cancellation=True)
        self.port = 0
        self.asked: list[str] = []  # what came here and stayed

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        sid = request.query.get("sid")
        if await self.handoff.pass_on(request, sid):
            return Hijacked()
        self.asked.append(request.raw_path)
        body = await request.read()
        return web.json_response(
            {
                "by": self.name,
                "method": request.method,
                "path": request.raw_path,
                "body": len(body),
                "odd": request.headers.getall("X-Odd", []),
                "remote": request.remote,
            }
        )

    async def start(self) -> None:
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        assert self.runner.server is not None
        assert isinstance(self.runner.server, web.Server)
        self.handoff.open(self.runner.server)
        self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        await self.handoff.close()
        await self.runner.cleanup()


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ho-"))
    yield folder
    shutil.rmtree(folder)


@asynccontextmanager
async def running(folder: Path, *names: str) -> AsyncIterator[list[Worker]]:
    workers = [Worker(folder, name) for name in names]
    for worker in workers:
        await worker.start()
    try:
        yield workers
    finally:
        for worker in workers:
            await worker.stop()


async def asked(worker: Worker, query: str = "", **how: object) -> dict[str, object]:
    """What a request on a fresh connection to this worker is answered."""
    async with aiohttp.ClientSession() as session:
        method = "POST" if "data" in how else "GET"
        url = f"http://127.0.0.1:{worker.port}/{query}"
        async with session.request(method, url, **how) as response:  # type: ignore[arg-type]
            assert response.status == 200
            answer: dict[str, object] = await response.json()
            return answer


@asynccontextmanager
async def raw(worker: Worker) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a worker, byte by byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    """The next answer."""
    async with asyncio.timeout(10):
        return await reader.readuntil(b"}")


async def test_a_request_is_answered_by_the_worker_whose_session_it_names(folder: Path) -> None:
    before = handoffs.value
    async with running(folder, "aa", "bb") as (here, there):
        assert (await asked(here, "?sid=aa.1"))["by"] == "aa"
        assert (await asked(here, "?sid=bb.1&x=%20%2B"))["path"] == "/?sid=bb.1&x=%20%2B"
        answer = await asked(here, "?sid=bb.1", headers={"X-Odd": "ä"})
        assert (answer["by"], answer["odd"], answer["remote"]) == ("bb", ["ä"], "127.0.0.1")
        assert (await asked(there, "?sid=aa.1"))["by"] == "aa"
    assert handoffs.value - before == 3


@pytest.mark.parametrize("size", [0, 1, 5000, 150_000])
async def test_a_body_arrives_whole(folder: Path, size: int) -> None:
    async with running(folder, "aa", "bb") as (here, _):
        answer = await asked(here, "?sid=bb.1", data=b"x" * size)
        assert (answer["by"], answer["method"], answer["body"]) == ("bb", "POST", size)


async def test_a_body_in_chunks_arrives_whole(folder: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 100

    async with running(folder, "aa", "bb") as (here, _):
        answer = await asked(here, "?sid=bb.1", data=chunks())
        assert (answer["by"], answer["body"]) == ("bb", 1000)


@pytest.mark.parametrize("form", ["announced", "in chunks"])
async def test_a_body_that_is_too_long_is_refused_by_its_owner(folder: Path, form: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * MAX_BODY_BYTES

    async with running(folder, "aa", "bb") as (here, there), aiohttp.ClientSession() as session:
        body = chunks() if form == "in chunks" else b"x" * (MAX_BODY_BYTES + 1)
        async with session.post(f"http://127.0.0.1:{here.port}/?sid=bb.1", data=body) as response:
            assert response.status == 413
        assert there.asked == ["/?sid=bb.1"]


async def test_a_request_is_with_its_owner_before_its_body_is(folder: Path) -> None:
    async with running(folder, "aa", "bb") as (here, there), raw(here) as (reader, writer):
        writer.write(b"POST /?sid=bb.1 HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc")
        await until(lambda: there.asked == ["/?sid=bb.1"], what="the owner has it")
        writer.write(b"def")
        writer.write(b"ghi")
        assert b'"body": 9' in await answer_of(reader)
        writer.write(b"GET /?sid=bb.2 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"sid=bb.2" in await answer_of(reader)


BEHIND = {
    "a request": b"GET /?sid=aa.2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "two requests": b"GET /?sid=aa.2 HTTP/1.1\r\nHost: h\r\n\r\n" * 2,
    "a piece of one": b"GET /?sid=aa.2 HT",
    "a line of one": b"GET /?sid=aa.2 HTTP/1.1\r\n",
}
FIRST = {
    "GET": b"GET /?sid=bb.1 HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
    "POST": b"POST /?sid=bb.1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
    "chunks": b"POST /?sid=bb.1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND.keys())
@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST.keys())
async def test_a_connection_is_closed_after_the_answer_when_more_had_been_read(
    folder: Path, first: bytes, behind: bytes
) -> None:
    """What was read behind the request cannot go along; the client must not wait for its answer for ever."""
    async with running(folder, "aa", "bb") as (here, _), raw(here) as (reader, writer):
        writer.write(first + behind)
        answer = await answer_of(reader)
        assert b'"by": "bb"' in answer
        assert b"connection: close" in answer.lower()
        async with asyncio.timeout(10):
            assert await reader.read() == b""


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST.keys())
async def test_a_connection_stays_open_when_nothing_more_had_been_read(folder: Path, first: bytes) -> None:
    async with running(folder, "aa", "bb") as (here, _), raw(here) as (reader, writer):
        for _ in range(3):
            writer.write(first)
            answer = await answer_of(reader)
            assert b'"by": "bb"' in answer
            assert b"connection: close" not in answer.lower()


async def test_a_shortage_of_descriptors_passes_and_is_logged_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.server.handoff.log", structlog.get_logger())
    async with running(folder, "aa", "bb") as (here, there):
        with (
            structlog.testing.capture_logs() as lines,
            contextlib.closing(socket.socket(socket.AF_UNIX)) as way,
        ):
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (way.fileno(), hard))
            try:
                way.connect(str(folder / "bb.sock"))
                await until(lambda: lines, what="it is said")
                await stays(lambda: len(lines) == 1, 0.3, "and once")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [line["event"] for line in lines] == ["handoff_out_of_descriptors"]
        assert (await asked(here, "?sid=bb.1"))["by"] == "bb"
        assert missing_loops() == []
        assert there.asked == ["/?sid=bb.1"]


async def test_requests_that_follow_on_the_connection_go_where_they_belong(folder: Path) -> None:
    async with running(folder, "aa", "bb") as (here, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        for number, owner in enumerate(("bb", "bb", "aa", "aa", "bb")):
            writer.write(f"GET /?sid={owner}.{number} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            async with asyncio.timeout(10):
                answer = await reader.readuntil(b"}")
            assert f'"by": "{owner}"'.encode() in answer
            assert f"sid={owner}.{number}".encode() in answer
        writer.close()
        await writer.wait_closed()


async def test_a_session_of_nobody_stays_where_it_is(folder: Path) -> None:
    async with running(folder, "aa") as (here,):
        for sid in ("zz.1", "../aa.1", "aa", "..", "", "%00.1", "a/b.1"):
            assert (await asked(here, f"?sid={sid}"))["by"] == "aa"


async def test_a_dead_owner_is_noticed_and_forgotten_and_the_connection_is_whole(folder: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(folder / "dd.sock"))
    (folder / "dd.ready").touch()
    async with running(folder, "aa") as (here,):
        assert (await asked(here, "?sid=dd.1", data=b"xyz"))["body"] == 3
        assert not list(folder.glob("dd.*"))


async def test_a_draining_worker_passes_new_handshakes_to_one_that_is_ready(folder: Path) -> None:
    async with running(folder, "aa", "bb") as (here, there):
        assert (await asked(here))["by"] == "aa", "not while it is ready itself"
        here.handoff.begin_drain()
        assert (await asked(here))["by"] == "bb"
        assert (await asked(there, "?sid=aa.1"))["by"] == "aa", "its sessions still reach it"
        there.handoff.begin_drain()
        assert (await asked(here))["by"] == "aa", "nobody is ready: it answers itself"


async def test_closing_leaves_no_files_and_passes_nothing_more(folder: Path) -> None:
    async with running(folder, "aa", "bb") as (here, there):
        assert {path.name for path in folder.iterdir()} == {"aa.sock", "aa.ready", "bb.sock", "bb.ready"}
        await there.handoff.close()
        assert {path.name for path in folder.iterdir()} == {"aa.sock", "aa.ready"}
        assert (await asked(here, "?sid=bb.1"))["by"] == "aa"


async def test_one_who_connects_and_says_nothing_does_not_stop_the_others(folder: Path) -> None:
    async with running(folder, "aa", "bb") as (here, _):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as idle:
            idle.connect(str(folder / "bb.sock"))
            assert (await asked(here, "?sid=bb.1"))["by"] == "bb"
            idle.sendall(b"!no descriptor")
            assert (await asked(here, "?sid=bb.2"))["by"] == "bb"


async def test_many_at_once_all_arrive(folder: Path) -> None:
    async with running(folder, "aa", "bb") as (here, there):
        answers = await asyncio.gather(*(asked(here, f"?sid=bb.{number}") for number in range(100)))
        assert {answer["by"] for answer in answers} == {"bb"}
        assert {answer["path"] for answer in answers} == {f"/?sid=bb.{number}" for number in range(100)}
        await until(lambda: there.handoff._adoptions.is_idle, what="nothing is left over")
