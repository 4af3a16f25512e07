"""What the engine makes of an HTTP request: who it is from, whether its page may connect, and how it is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict
from structlog.testing import capture_logs

from gateway.metrics import requests_refused
from gateway.option_groups import EngineOptions
from gateway.transport.answers import COMPRESSED_FROM_BYTES, REASON, accepts_gzip, response
from gateway.transport.gate import OpenGate
from gateway.transport.refusals import LINES_PER_S, Refusals
from gateway.transport.server import EngineServer
from tests.support.serving import serving

POLL = "?EIO=4&transport=polling"


class Served:
    """An engine on a port, and what its handler was told of handshakes."""

    def __init__(self, url: str, web: aiohttp.ClientSession) -> None:
        self.url, self.web = url, web
        self.environs: list[dict[str, Any]] = []

    async def handshake(self, *headers: tuple[str, str], query: str = POLL) -> aiohttp.ClientResponse:
        async with self.web.get(f"{self.url}/engine.io/{query}", headers=CIMultiDict(headers)) as response:
            await response.read()
        return response


@asynccontextmanager
async def served(gate: OpenGate | None = None, **options: Any) -> AsyncIterator[Served]:
    engine, app = EngineServer(EngineOptions(worker="w", **options), gate=gate), web.Application()
    engine.attach(app)
    async with serving(app) as url, aiohttp.ClientSession(auto_decompress=False) as client:
        found = Served(url, client)
        engine.on("connect", lambda sid, environ: found.environs.append(environ))
        yield found
        await engine.shutdown()


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ((), "127.0.0.1"),
        (("203.0.113.7",), "203.0.113.7"),
        (("198.51.100.9", "203.0.113.7"), "203.0.113.7"),
        (("198.51.100.9, 203.0.113.7", "127.0.0.2:80"), "203.0.113.7"),
        (("[2001:DB8::7]:443",), "2001:db8::7"),
        (("::ffff:203.0.113.7",), "203.0.113.7"),
        (("198.51.100.9", "unknown"), None),
    ],
)
async def test_the_address_of_a_handshake_is_what_all_lines_together_say(
    lines: tuple[str, ...], address: str | None
) -> None:
    async with served(trusted_proxies=("127.0.0.0/8",)) as engine:
        await engine.handshake(*(("X-Forwarded-For", line) for line in lines))
        (environ,) = engine.environs
        assert environ.get("REMOTE_ADDR") == address


OWN, LISTED, OTHER = "http://chat.example", "https://app.example", "https://evil.example"


@pytest.mark.parametrize(
    ("origins", "origin", "status"),
    [
        (("*",), OTHER, 200),
        (("*",), OWN, 200),
        ((LISTED,), LISTED, 200),
        ((LISTED,), OTHER, 403),
        ((LISTED,), OWN, 403),
        ((LISTED,), "null", 403),
        ((LISTED, OWN), OWN, 200),
        ((LISTED,), None, 200),
    ],
)
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_with_a_list_of_origins_the_host_header_is_not_believed(
    origins: tuple[str, ...], origin: str | None, status: int, transport: str
) -> None:
    async with served(origins=origins) as engine:
        headers = [("Host", "chat.example"), ("X-Forwarded-Host", "chat.example")]
        headers += [("Origin", origin)] if origin is not None else []
        answer = await engine.handshake(*headers, query=f"?EIO=4&transport={transport}")
        if transport == "websocket" and status == 200:
            status = 400  # this is no WebSocket handshake, but the origin was let through
        assert answer.status == status


class ClosedGate(OpenGate):
    """Refuses every handshake for a reason."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def admit(self, request: web.Request) -> web.StreamResponse | None:
        refusal = web.json_response({"code": 503}, status=503)
        refusal[REASON] = self._reason
        return refusal


@pytest.mark.parametrize(
    ("reason", "counted"),
    [
        ("draining", "draining"),
        ("too_many_new_connections", "too_many_new_connections"),
        ("something new", "other"),
    ],
)
async def test_what_the_gate_refuses_is_counted_and_logged(reason: str, counted: str) -> None:
    before = dict(requests_refused.samples())
    async with served(ClosedGate(reason)) as engine:
        with capture_logs() as logs:
            assert (await engine.handshake()).status == 503
    grown = [label for label, number in requests_refused.samples() if number > before[label]]
    assert grown == [(counted,)]
    assert [line["reason"] for line in logs if line["event"] == "request_refused"] == [reason]


@pytest.mark.parametrize("ending", ["", "/"])
async def test_the_engine_is_served_with_and_without_a_slash(ending: str) -> None:
    async with served() as engine, engine.web.get(f"{engine.url}/engine.io{ending}{POLL}") as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("accepted", "does"),
    [
        ("gzip", True), ("x-gzip", True), ("br, gzip", True), ("gzip;q=1.0", True), ("gzip ; q=0.001", True),
        ("", False), ("br", False), ("*", False), ("gzip;q=0", False), ("gzip; q=0.000", False), ("gzipped", False),
    ],
)  # fmt: skip
def test_gzip_is_taken_where_it_is_named(accepted: str, does: bool) -> None:
    assert accepts_gzip(accepted) is does


@pytest.mark.parametrize(
    ("size", "is_compressed"), [(0, False), (COMPRESSED_FROM_BYTES - 1, False), (COMPRESSED_FROM_BYTES, True)]
)
def test_short_answers_are_never_compressed(size: int, is_compressed: bool) -> None:
    made = response((200, b"x" * size), (), "gzip")
    assert (made.compression, made.content_type) == (is_compressed, "text/plain")


def test_refusals_are_all_counted_and_so_many_a_second_logged() -> None:
    refusals, request = Refusals(), make_mocked_request("GET", f"/socket.io/?EIO={'3' * 50}")
    before = requests_refused.value
    with capture_logs() as logs:
        for _ in range(LINES_PER_S + 7):
            refusals.note(request, "unsupported_protocol_version", "127.0.0.1", 100.5)
        assert len(logs) == LINES_PER_S
        for _ in range(2):
            refusals.note(request, "unsupported_protocol_version", None, 101.6)
    assert requests_refused.value - before == LINES_PER_S + 9
    assert [line.get("unlogged_before") for line in logs[LINES_PER_S - 1 :]] == [None, 7, None]
    assert (logs[0]["protocol_version"], logs[-1]["remote"]) == ("3" * 8, None)
