"""The clients of backends, against a server that answers as it is told."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import web

from gateway import backend as backend_package
from gateway.backend import AsyncBackend, Backend, BackendError, calls
from tests.support.scripted_http import Reply, scripted
from tests.support.tls import certificate

KEY = "gwk_" + "k" * 43
DONE = Reply(body={"id": "e:1", "duplicate": False})
AWAY = Reply(503, {"code": "unavailable", "message": "s", "retryable": True})


def test_importing_it_loads_nothing_but_the_standard_library() -> None:
    code = "import sys; before = set(sys.modules); import gateway.backend; print(*set(sys.modules) - before)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    others = {name.partition(".")[0] for name in loaded.stdout.split()} - set(sys.stdlib_module_names)
    assert others == {"gateway"}
    ours = [name for name in loaded.stdout.split() if name.startswith("gateway.")]
    assert all(name.startswith("gateway.backend") for name in ours)


def test_its_folder_alone_will_do(tmp_path: Path) -> None:
    shutil.copytree(Path(backend_package.__file__).parent, tmp_path / "gateway" / "backend")
    code = "import gateway.backend as b; print(b.Backend('http://h', 'gwk_k'), b.__file__)"
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.stdout.startswith(f"Backend('http://h') {tmp_path}"), ran.stderr


def test_a_call_is_a_post_with_the_key_in_a_header() -> None:
    with scripted(DONE) as server, Backend(server.url + "/chat/", KEY) as backend:
        assert backend.publish("r", "é", user="42", meta={"a": 1}, idempotency_key="k").id == "e:1"
        (asked,) = server.asked
    assert asked.path == "/chat/api/v1/publish"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.data == {"room": "r", "message": "é", "user": "42", "meta": {"a": 1}, "idempotency_key": "k"}


def test_calls_use_one_connection_after_the_other() -> None:
    with scripted(DONE) as server, Backend(server.url, KEY) as backend:
        for _ in range(20):
            backend.publish("r", "m")
        assert {asked.connection for asked in server.asked} == {1}


def test_a_connection_that_ended_while_nobody_used_it_is_not_used() -> None:
    with scripted(DONE, Reply(body=DONE.body, headers={"Connection": "close"}), DONE) as server:
        with Backend(server.url, KEY) as backend:
            for _ in range(3):
                backend.publish("r", "m")
        assert [asked.connection for asked in server.asked] == [1, 1, 2]


@pytest.mark.parametrize(
    "trouble", [AWAY, Reply(drop=True), Reply(502, b"<html>")], ids=["503", "cut", "502"]
)
def test_a_publish_is_tried_again_with_the_same_key(trouble: Reply) -> None:
    with scripted(trouble, trouble, DONE) as server, Backend(server.url, KEY) as backend:
        assert backend.publish("r", "m").id == "e:1"
        assert len({asked.data["idempotency_key"] for asked in server.asked}) == 1
        assert len(server.asked) == 3


def test_a_publish_that_is_refused_for_now_waits_as_it_is_told() -> None:
    limited = {"code": "rate_limited", "message": "s", "retryable": True, "retry_after_ms": 300}
    with scripted(Reply(429, limited), DONE) as server, Backend(server.url, KEY) as backend:
        backend.publish("r", "m")
        first, second = server.asked
        assert second.at_s - first.at_s >= 0.3


def test_trying_ends_with_the_last_error() -> None:
    with scripted(AWAY) as server, Backend(server.url, KEY, give_up_s=0.5) as backend:
        begun_s = time.monotonic()
        with pytest.raises(BackendError) as failed:
            backend.publish("r", "m")
        assert time.monotonic() - begun_s < 5
        assert (failed.value.code, failed.value.status) == ("unavailable", 503)
        assert len(server.asked) > 1


def test_what_cannot_pass_is_asked_once() -> None:
    refused = Reply(403, {"code": "forbidden", "message": "s", "retryable": False})
    with scripted(refused) as server, Backend(server.url, KEY) as backend:
        with pytest.raises(BackendError, match="forbidden"):
            backend.kick("r", "42")
        assert len(server.asked) == 1


@pytest.mark.parametrize("trouble", [AWAY, Reply(drop=True)], ids=["503", "cut"])
def test_a_signal_is_sent_once_whatever_comes(trouble: Reply) -> None:
    with scripted(trouble) as server, Backend(server.url, KEY) as backend:
        with pytest.raises(BackendError):
            backend.signal("typing", room="r")
        assert len(server.asked) == 1


def test_nobody_there_is_unreachable_and_the_key_is_not_told() -> None:
    backend = Backend("http://127.0.0.1:1", KEY, give_up_s=0.2)
    with pytest.raises(BackendError) as failed:
        backend.publish("r", "m")
    assert (failed.value.code, failed.value.status, failed.value.retryable) == ("unreachable", 0, True)
    assert KEY not in repr(failed.value)
    assert KEY not in repr(backend)


def test_a_server_that_does_not_answer_costs_the_time_that_was_given() -> None:
    with (
        scripted(Reply(after_s=1.0)) as server,
        Backend(server.url, KEY, timeout_s=0.1, give_up_s=0.3) as backend,
    ):
        begun_s = time.monotonic()
        with pytest.raises(BackendError, match=r"no answer within 0\.1 s"):
            backend.stats()
        assert time.monotonic() - begun_s < 5


def test_a_call_after_one_that_was_too_slow_gets_its_own_answer() -> None:
    late = Reply(body={"id": "late", "duplicate": False}, after_s=0.4)
    with scripted(late, DONE) as server, Backend(server.url, KEY, timeout_s=0.2, give_up_s=0.0) as backend:
        with pytest.raises(BackendError):
            backend.publish("r", "m")
        assert backend.publish("r", "m").id == "e:1"


def test_threads_share_it_and_each_gets_its_answer() -> None:
    with scripted(DONE) as server, Backend(server.url, KEY) as backend:
        barrier = threading.Barrier(8)

        def many(_: int) -> int:
            barrier.wait(10)
            return sum(backend.publish("r", "m").id == "e:1" for _ in range(50))

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(many, range(8))) == 400
        assert server.connections <= 40
        assert len({asked.data["idempotency_key"] for asked in server.asked}) == 400


def test_a_process_that_is_forked_opens_its_own_connection() -> None:
    with scripted(DONE) as server, Backend(server.url, KEY) as backend:
        backend.publish("r", "m")
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if backend.publish("r", "m").id == "e:1" else 1)
            finally:
                os._exit(2)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        backend.publish("r", "m")
        assert [asked.connection for asked in server.asked] == [1, 2, 1]


@pytest.mark.parametrize(
    "url", ["", "chat.internal", "ftp://host", "http://", "http://u:p@host", "http://h?k=1"]
)
def test_a_url_that_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="the URL of the gateway is such as"):
        Backend(url, KEY)


@pytest.mark.parametrize("key", ["", "gwk_a b", "gwk_\n", "gwk_é"])
def test_a_key_that_cannot_be_one_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="the key is what") as refused:
        Backend("http://host", key)
    assert not key or key not in str(refused.value)


def test_tls_is_verified_and_its_connection_is_kept() -> None:
    with certificate("DNS:localhost") as folder:
        serving_with = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        serving_with.load_cert_chain(folder / "certificate", folder / "key")
        trusted = ssl.create_default_context(cafile=folder / "certificate")
        with scripted(DONE, tls=serving_with) as server:
            with Backend(server.url, KEY, tls=trusted) as backend:
                for _ in range(3):
                    backend.publish("r", "m")
            assert len({asked.connection for asked in server.asked}) == 1
            with Backend(server.url, KEY, give_up_s=0.0) as stranger:
                with pytest.raises(BackendError, match="CERTIFICATE_VERIFY_FAILED"):
                    stranger.publish("r", "m")
            assert len(server.asked) == 3


async def test_a_unix_socket_is_an_address_too(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({**DONE.body, "id": request.path})

    app, path = web.Application(), tmp_path / "api.sock"
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(path)).start()
        with Backend(f"unix:{path}", KEY) as backend:
            assert (await asyncio.to_thread(backend.publish, "r", "m")).id == "/api/v1/publish"
        async with AsyncBackend(f"unix:{path}", KEY) as other:
            assert (await other.do(calls.publish("r", "m"))).id == "/api/v1/publish"
    finally:
        await runner.cleanup()


async def test_the_asynchronous_one_makes_the_same_calls() -> None:
    with scripted(AWAY, DONE) as server:
        async with AsyncBackend(server.url + "/chat", KEY) as backend:
            found = await asyncio.gather(*(backend.do(calls.publish("r", "m")) for _ in range(5)))
        assert {each.id for each in found} == {"e:1"}
        assert len(server.asked) == 6
        assert {asked.path for asked in server.asked} == {"/chat/api/v1/publish"}
        assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"


async def test_the_asynchronous_one_says_the_same_of_troubles() -> None:
    async with AsyncBackend("http://127.0.0.1:1", KEY, give_up_s=0.2) as backend:
        with pytest.raises(BackendError, match="unreachable: no answer"):
            await backend.do(calls.stats())
    with scripted(Reply(after_s=0.5)) as server:
        async with AsyncBackend(server.url, KEY, timeout_s=0.1, give_up_s=0.2) as backend:
            with pytest.raises(BackendError, match=r"no answer within 0\.1 s"):
                await backend.do(calls.stats())
