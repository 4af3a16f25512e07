"""The server API over HTTP: who may ask, what a request must look like, and what each is answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import orjson
import pytest
import pytest_asyncio

from gateway.api import http
from gateway.api.load import BODY_BYTES_MAX
from gateway.api.methods import METHODS
from gateway.server import exposition
from gateway.server.app import GATEWAY, Gateway, build_app
from tests.support.backends import Backend, backend, key_for, key_table
from tests.support.serving import serving, settings


class Served(NamedTuple):
    """A gateway with the API on, and backends: one that may do everything, and one that may read in `tea:*`."""

    url: str
    all: Backend
    reader: Backend
    gateway: Gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    file = tmp_path_factory.mktemp("config") / "gateway.toml"
    key, configured = key_for()
    reading, _ = key_for()
    file.write_text(key_table(reading, "reader", ["read"], ["tea:*"]))
    chosen = settings(redis_url, GATEWAY_API_KEYS=configured, GATEWAY_CONFIG=str(file))
    app = build_app(chosen)
    async with serving(app) as url, backend(url, key) as one, backend(url, reading) as other:
        yield Served(url, one, other, app[GATEWAY])


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_without_keys_there_is_no_such_path(redis_url: str) -> None:
    async with serving(build_app(settings(redis_url))) as url, backend(url, "gwk_x") as caller:
        unknown = await caller.call("../nothing")
        assert await caller.call("publish", room="a", message="b") == unknown._replace(
            headers=(await caller.call("publish", room="a", message="b")).headers
        )
        assert unknown.status == 404


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
async def test_a_key_comes_in_either_header_and_never_in_the_address(served: Served, header: str) -> None:
    headers = {"Content-Type": "application/json", header: served.all.key}
    if header == "Authorization":
        headers[header] = f"bearer {served.all.key}"
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{served.url}/api/v1/stats", headers=headers, data=b"{}") as response:
            assert response.status == 200
        async with session.post(f"{served.url}/api/v1/stats?key={served.all.key}") as response:
            assert response.status == 401


async def test_a_wrong_key_and_none_are_answered_alike(served: Served) -> None:
    answers = []
    for header in (
        {},
        {"Authorization": "Bearer gwk_wrong"},
        {"Authorization": "Basic YTpi"},
        {"X-API-Key": "\xff"},
    ):
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{served.url}/api/v1/publish", headers=header, data=b"{}") as response:
                answers.append((response.status, await response.read()))
                assert response.headers["WWW-Authenticate"] == "Bearer"
    assert len(set(answers)) == 1
    assert orjson.loads(answers[0][1]).keys() == {"code", "message", "retryable"}


async def test_answers_are_never_kept_nor_guessed_at_and_no_page_may_read_them(served: Served) -> None:
    for answer in (
        await served.all.call("stats", headers={"Origin": "https://x.example"}),
        await served.all.call("nothing", headers={"Origin": "https://x.example"}),
    ):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("verb", ["GET", "HEAD", "PUT", "OPTIONS", "DELETE"])
async def test_methods_are_called_by_post_alone(served: Served, verb: str) -> None:
    answer = await served.all.post("stats", b"", verb=verb)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


BODIES = {
    "no JSON": (b"{", 400), "a number": (b"1", 400), "a list": (b"[]", 400), "not UTF-8": (b'{"room":"\xff"}', 400),
    "half a pair": (rb'{"room":"\ud83d","message":"x"}', 400), "nothing": (b"", 400), "NaN": (b'{"room":NaN}', 400),
    "deep": (b"[" * 100_000, 400), "an unknown field": (b'{"room":"a","message":"b","massage":"c"}', 400),
    "too large": (b" " * (BODY_BYTES_MAX + 1), 413),
    "a long message": (b'{"room":"a","message":"%b"}' % (b"x" * 4097), 413),
    "no room": (b'{"message":"x"}', 400), "a brace": (b'{"room":"a{","message":"x"}', 400),
    "a name that looks like the system's": ('{"room":"a","message":"b","username":"ChatВot"}'.encode(), 409),
}  # fmt: skip


@pytest.mark.parametrize("what", BODIES)
async def test_what_is_not_understood_is_refused_by_a_status_that_means_it(served: Served, what: str) -> None:
    body, status = BODIES[what]
    answer = await served.all.post("publish", body)
    assert answer.status == status, answer
    assert answer.data.keys() >= {"code", "message", "retryable"}
    assert answer.data["retryable"] is False


async def test_a_body_of_another_type_is_415_and_an_unknown_method_404(served: Served) -> None:
    form = await served.all.post("publish", b"room=a", {"Content-Type": "application/x-www-form-urlencoded"})
    assert (form.status, form.data["code"]) == (415, "bad_request")
    unknown = await served.all.call("publsh")
    assert (unknown.status, unknown.data["code"]) == (404, "not_found")


async def test_a_body_in_chunks_is_read_and_one_that_is_too_long_is_413(served: Served, room: str) -> None:
    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(body), 100_000):
            yield body[at : at + 100_000]

    headers = {"Authorization": f"Bearer {served.all.key}", "Content-Type": "application/json"}
    small = orjson.dumps({"room": room, "message": "in chunks"})
    for body, status in ((small, 200), (b" " * (BODY_BYTES_MAX + 1), 413)):
        async with aiohttp.ClientSession() as session:
            url = f"{served.url}/api/v1/publish"
            async with session.post(url, headers=headers, data=pieces(body)) as response:
                assert response.status == status


async def test_a_body_that_does_not_come_is_refused_and_holds_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
    writer.write(
        b"POST /api/v1/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\nContent-Length: 9\r\n\r\n{"
        % served.all.key.encode()
    )
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)).split()[1] == b"400"
    writer.close()
    assert (served.gateway.api.http.load.requests, served.gateway.api.http.load.bytes) == (0, 0)


async def test_a_key_does_only_what_its_scopes_and_rooms_say(served: Served) -> None:
    assert (await served.reader.call("history", room="tea:1")).status == 200
    for answer in (
        await served.reader.call("publish", room="tea:1", message="x"),
        await served.reader.call("history", room="coffee"),
        await served.reader.call("stats"),
        await served.reader.call("ban", user="ada"),
    ):
        assert (answer.status, answer.data["code"]) == (403, "forbidden")
    listed = await served.reader.ok(
        "batch", commands=[{"method": "members", "room": "tea:1"}, {"method": "members", "room": "coffee"}]
    )
    assert [each.get("code") for each in listed["results"]] == [None, "forbidden"]


async def test_a_right_key_may_be_refused_as_often_as_it_likes_on_one_connection(served: Served) -> None:
    """What an unknown client's connection is charged for, and ended by, is no fault of a backend's."""
    connector = aiohttp.TCPConnector(limit=1)
    async with backend(served.url, served.all.key, connector) as caller:
        answers = [await caller.call("unknown") for _ in range(150)]
        assert {answer.status for answer in answers} == {404}
        assert (await caller.call("stats")).status == 200


async def test_requests_of_one_connection_are_answered_in_their_order(served: Served, room: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
    for number in range(3):
        body = orjson.dumps({"room": room, "message": f"{number}"})
        writer.write(
            b"POST /api/v1/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (served.all.key.encode(), len(body), body)
        )
    seqs = []
    for _ in range(3):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        seqs.append(orjson.loads(await reader.readexactly(length))["id"].rpartition(":")[2])
    writer.close()
    assert seqs == ["1", "2", "3"]


async def test_each_answer_is_counted_by_method_and_status(served: Served) -> None:
    await served.all.call("stats")
    await served.all.call("what a caller says")
    text = exposition.text("w").decode()
    assert 'gateway_api_requests_total{code="200",method="stats",worker="w"}' in text
    assert 'gateway_api_requests_total{code="404",method="unknown",worker="w"}' in text
    # Past some methods the rest of them share a histogram, and other tests have called some.
    assert re.search(r'gateway_api_seconds_count\{method="(stats|other)",worker="w"\}', text)
    assert "what a caller says" not in text


async def test_wrong_keys_shut_an_address_out_and_a_right_one_is_taken_all_the_same(
    redis_url: str, tmp_path: Path
) -> None:
    key, configured = key_for()
    limited = settings(
        redis_url,
        GATEWAY_API_KEYS=configured,
        GATEWAY_SHARED_NETWORKS="-",
        GATEWAY_ADDRESS_FAILURES_BURST="3",
    )
    async with (
        serving(build_app(limited)) as url,
        backend(url, "gwk_wrong") as wrong,
        backend(url, key) as right,
    ):
        statuses = [(await wrong.call("stats")).status for _ in range(6)]
        assert statuses == [401, 401, 401, 401, 429, 429]
        refused = await wrong.call("stats")
        assert 0 < int(refused.headers["Retry-After"]) <= 60
        assert (await right.call("stats")).status == 200


async def test_every_method_refuses_a_request_without_fields_or_takes_it(served: Served) -> None:
    for name in METHODS:
        assert (await served.all.call(name)).status in (200, 400)
