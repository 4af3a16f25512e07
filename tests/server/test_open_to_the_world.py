"""A gateway that lets in everybody, everywhere, says so: in its greeting, its log, and `gateway check`."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from gateway.server.check import check
from gateway.server.greeting import host_of, open_to_the_world
from gateway.settings import Settings
from tests.support.gateways import Gateway
from tests.support.servers import Valkey

HOSTS = {
    "0.0.0.0": True, "::": True, "203.0.113.7": False, "8.8.8.8": True, "2606:4700::1111": True,
    "chat.example.org": True, "127.0.0.1": False, "127.0.0.9": False, "::1": False,
    "localhost": False, "10.0.0.5": False, "192.168.1.7": False,
    "fd00::7": False, "169.254.1.1": False, "fe80::1": False,
}  # fmt: skip
"""Whether others than a private network may reach it. 203.0.113.0/24 is for examples, and nobody's."""


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("origins", ["", "*", "https://chat.example.org"])
def test_it_is_said_of_public_addresses_where_every_page_may_connect(host: str, origins: str) -> None:
    settings = Settings.from_environment({"GATEWAY_ORIGINS": origins})
    told = open_to_the_world([host], settings)
    assert (told is not None) is (HOSTS[host] and origins in ("", "*"))
    assert told is None or ("GATEWAY_AUTH=off" in told and "GATEWAY_ORIGINS=*" in told)


@pytest.mark.parametrize(("auth", "is_open"), [("off", True), ("optional", False), ("required", False)])
def test_it_is_said_where_nobody_is_asked_who_it_is(tmp_path: Path, auth: str, is_open: bool) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text(f"one:{b64encode(bytes(32)).decode()}\n")
    secrets.chmod(0o600)
    settings = Settings.from_environment(
        {"GATEWAY_AUTH": auth, "GATEWAY_TOKEN_SECRETS_FILE": str(secrets), "REDIS_URL": "redis://localhost"}
    )
    assert (open_to_the_world(["0.0.0.0"], settings) is not None) is is_open


def test_one_public_address_of_several_is_enough() -> None:
    settings = Settings.from_environment({})
    assert open_to_the_world(["127.0.0.1", "0.0.0.0"], settings) is not None
    assert open_to_the_world(["127.0.0.1", "::1"], settings) is None


@pytest.mark.parametrize(
    ("address", "host"), [("http://0.0.0.0:8006", "0.0.0.0"), ("http://[::]:8006", "::"), ("unix:/x", "")]
)
def test_the_host_is_read_from_an_address_as_gunicorn_writes_it(address: str, host: str) -> None:
    assert host_of(address) == host


@pytest.mark.parametrize(("host", "is_open"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_check_says_it_and_does_not_fail(
    server: Valkey, capsys: pytest.CaptureFixture[str], host: str, is_open: bool
) -> None:
    assert check(Settings.from_environment({"REDIS_URL": server.url, "GATEWAY_HOST": host})) == 0
    assert ("Open to the world" in capsys.readouterr().out) is is_open


@pytest.mark.long
@pytest.mark.system
@pytest.mark.parametrize(("bind", "is_open"), [("0.0.0.0", True), ("127.0.0.1", False)])
async def test_the_greeting_and_the_log_say_it(redis_url: str, bind: str, is_open: bool) -> None:
    async with Gateway(redis_url, workers=1, GATEWAY_HOST=bind) as gateway:
        log = gateway.log()
        assert (log.count("Open to the world"), log.count("open_to_the_world")) == (
            (1, 1) if is_open else (0, 0)
        )
        assert await gateway.is_ready(), "it is only said"
