"""gunicorn's options: those that cannot work are refused at the start by one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from gunicorn.config import Config

from gateway.option_types import SettingsError
from gateway.server.refusals import WORKER_CLASS, refuse_what_cannot_work
from tests.support.gateways import COMMAND, REPOSITORY, Gateway, fetch_json
from tests.support.ports import Port
from tests.support.waiting import until

TLS = "--certfile and --keyfile are not allowed with several workers"


def judge(**options: Any) -> None:
    """gunicorn's configuration with our class and these options."""
    config = Config()
    for name, value in {"worker_class": WORKER_CLASS, "workers": 2, **options}.items():
        config.set(name, value)
    refuse_what_cannot_work(config)


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("certfile", "some.pem", TLS),
        ("keyfile", "some.pem", TLS),
        ("bind", "unix:/tmp/some.sock", "--bind unix: is not allowed"),
        ("bind", "unix:///tmp/some.sock", "--bind unix: is not allowed"),
        ("bind", ["127.0.0.1:0", "unix:some.sock"], "--bind unix: is not allowed"),
        ("proxy_protocol", True, "--proxy-protocol is not allowed"),
        ("proxy_protocol", "auto", "--proxy-protocol is not allowed"),
        ("proxy_protocol", "v2", "--proxy-protocol is not allowed"),
        ("protocol", "uwsgi", "--protocol is not allowed"),
        ("worker_class", "sync", "--worker-class is not allowed"),
        ("worker_class", "gthread", "--worker-class is not allowed"),
        ("worker_class", "aiohttp.GunicornWebWorker", "--worker-class is not allowed"),
        ("access_log_format", "%(r)s", "--access-logformat is not allowed"),
        ("preload_app", True, "--preload is not allowed"),
    ],
)
def test_what_cannot_work_is_refused_by_name(option: str, value: Any, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        judge(**{option: value})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"workers": 1, "certfile": "some.pem", "keyfile": "some.pem"},
        {"bind": ["127.0.0.1:0", "[::1]:8006", "fd://3"]},
        {"reload": True, "max_requests": 100, "reuse_port": True, "accesslog": "-", "proxy_protocol": "off"},
    ],
)
def test_what_works_is_taken(options: dict[str, Any]) -> None:
    judge(**options)


@pytest.mark.system
def test_the_start_ends_with_the_sentence_before_it_listens() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    ended = subprocess.run(
        [sys.executable, *COMMAND, "--proxy-protocol"],
        cwd=REPOSITORY,
        env={**kept, "REDIS_URL": "redis://127.0.0.1:1", "PORT": "0", "WEB_CONCURRENCY": "2"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert [line for line in ended.stderr.splitlines() if line.startswith("Error: --proxy-protocol is not")]
    assert "Traceback" not in ended.stderr
    assert "istening" not in ended.stderr + ended.stdout


@pytest.mark.system
async def test_an_address_of_ipv6_may_have_brackets(redis_url: str) -> None:
    port = Port()
    places = {"GATEWAY_HOST": "[::1]", "PORT": str(port.number)}
    async with Gateway(redis_url, workers=1, wait=False, environment=places):

        async def answers() -> bool:
            return (await fetch_json(f"http://[::1]:{port.number}/healthz"))[0] == 200

        await until(answers, 30, "it answers")
    port.release()
