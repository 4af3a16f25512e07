"""`gateway revoke`, `ban`, `unban` and `bans`, as they are typed."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.server import revoke as by_hand
from gateway.server.cli import main
from gateway.server.embedded import EmbeddedValkey
from tests.support.servers import Valkey
from tests.support.topologies import cluster

FIELDS = "gateway:revoked"


async def typed(server: Valkey | None, *words: str, **environment: str) -> Result:
    """Runs the command; its output has both streams."""
    chosen: dict[str, str | None] = {"REDIS_URL": None if server is None else server.url, **environment}
    return await asyncio.to_thread(CliRunner().invoke, main, list(words), env=chosen)


async def stored(server: Valkey) -> dict[str, str]:
    found = await server.ask("HGETALL", FIELDS)
    return dict(found)


async def test_a_user_is_banned_listed_and_let_in_again(server: Valkey) -> None:
    assert (await typed(server, "bans")).output == "Nobody is banned, and no token is revoked.\n"
    done = await typed(server, "ban", "--user", "ada")
    assert (done.exit_code, done.output.split(". ")[0]) == (0, "User ada is banned for good")
    assert await stored(server) == {"ban:ada": "0.000"}
    assert (await typed(server, "bans")).output == "banned         user ada for good\n"
    assert (await typed(server, "unban", "--user", "ada")).output == "User ada is not banned any more.\n"
    again = await typed(server, "unban", "--user", "ada")
    assert (again.exit_code, again.output) == (1, "Error: User ada is not banned.\n")
    assert await stored(server) == {}


async def test_a_network_is_banned_for_a_while_in_its_usual_form(server: Valkey) -> None:
    done = await typed(server, "ban", "--ip", "203.0.113.9/24", "--for", "1h")
    assert re.match(
        r"Network 203\.0\.113\.0/24 is banned until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\. ", done.output
    )
    await typed(server, "ban", "--ip", "::ffff:198.51.100.7")
    await typed(server, "ban", "--ip", "2001:DB8::/32")
    found = await stored(server)
    assert set(found) == {"ip:203.0.113.0/24", "ip:198.51.100.7/32", "ip:2001:db8::/32"}
    assert float(found["ip:203.0.113.0/24"]) == pytest.approx(time.time() + 3600, abs=30)
    gone = await typed(server, "unban", "--ip", "198.51.100.7")
    assert (gone.exit_code, gone.output) == (0, "Address 198.51.100.7 is not banned any more.\n")


async def test_tokens_are_revoked_up_to_now_up_to_a_time_and_by_id(server: Valkey) -> None:
    begun_s = time.time()
    done = await typed(server, "revoke", "--user", "ada")
    assert done.output.startswith("The tokens of user ada that were issued until ")
    await typed(server, "revoke", "--user", "ben", "--before", "2026-01-02T03:04Z")
    await typed(server, "revoke", "--user", "eve", "--before", "1700000000")
    assert (await typed(server, "revoke", "--jti", "t1")).exit_code == 0
    found = await stored(server)
    assert begun_s - 1 < float(found["user:ada"].split()[0]) <= time.time()
    assert found["jti:t1"] > str(begun_s + 86_400)
    listed = (await typed(server, "bans")).output
    assert "revoked        token t1" in listed
    assert "revoked        tokens of user ada issued until" in listed
    assert "ben" not in listed, "tokens that old have ended by themselves"


WRONG = [
    (("ban",), "Say whom: a user by --user, or a network by --ip."),
    (("ban", "--user", "a", "--ip", "10.0.0.0/8"), "Say whom"),
    (("ban", "--user", ""), "--user must have 1 to 128 characters."),
    (("ban", "--user", "a" * 129), "--user must have 1 to 128 characters."),
    (("ban", "--ip", "nowhere"), "--ip is no address and no network"),
    (("ban", "--ip", "0.0.0.0/0"), "--ip 0.0.0.0/0 is too wide: /8 is the widest of IPv4."),
    (("ban", "--ip", "::ffff:0:0/96"), "is too wide: /8 is the widest of IPv4."),
    (("ban", "--ip", "2000::/3"), "is too wide: /16 is the widest of IPv6."),
    (("ban", "--user", "a", "--for", "soon"), "--for is not a time such as 90s"),
    (("ban", "--user", "a", "--for", "0"), "--for is not a time such as 90s"),
    (("unban",), "Say whom"),
    (("revoke",), "Say whose tokens by --user, or which one by --jti."),
    (("revoke", "--user", "a", "--jti", "b"), "Say whose tokens"),
    (("revoke", "--jti", "b", "--before", "now"), "--before goes with --user."),
    (("revoke", "--user", "a", "--before", "soon"), "--before is not a time"),
    (("revoke", "--user", "a", "--before", "2999-01-01"), "--before is still to come. To keep a user out, ban it."),
    (("bans", "--redis", "http://x"), "--redis="),
]  # fmt: skip


@pytest.mark.parametrize(("words", "sentence"), WRONG)
async def test_what_makes_no_sense_ends_with_one_sentence_and_status_2(
    words: tuple[str, ...], sentence: str
) -> None:
    done = await typed(None, *words, REDIS_URL="redis://127.0.0.1:1/0")
    assert done.exit_code == 2
    assert sentence in done.output
    assert "Traceback" not in done.output


async def test_without_redis_it_says_so_and_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_hand, "WAIT_S", 0.3)
    away = await typed(None, "ban", "--user", "ada", REDIS_URL="redis://127.0.0.1:1/0")
    assert (away.exit_code, away.output.count("\n")) == (1, 1)
    assert away.output.startswith("Error: No connection to the store: ")
    none = await typed(None, "ban", "--user", "ada", GATEWAY_STATE_DIR=str(tmp_path))
    assert none.output == f"Error: no REDIS_URL is set and no embedded Valkey runs in {tmp_path}.\n"


async def test_what_was_not_stored_ends_with_status_1(server: Valkey) -> None:
    await server.ask("SET", FIELDS, "x")
    done = await typed(server, "ban", "--user", "ada")
    assert (done.exit_code, "WRONGTYPE" in done.output) == (1, True)


async def test_a_prefix_keeps_two_gateways_apart(server: Valkey) -> None:
    await typed(server, "ban", "--user", "ada", GATEWAY_PREFIX="app1:")
    try:
        assert await server.ask("HGETALL", "app1:gateway:revoked")
        assert (await typed(server, "bans")).output == "Nobody is banned, and no token is revoked.\n"
    finally:
        await typed(server, "bans")  # which has no prefix: this process has none again


async def test_what_somebody_else_wrote_is_shown_and_stops_nothing(server: Valkey) -> None:
    await server.ask("HSET", FIELDS, "ban:ada", "soon", "x", "0", "ban:\x1b[2J", "0")
    done = await typed(server, "bans")
    assert done.exit_code == 0
    assert "\x1b" not in done.output
    assert done.output.count("unreadable") == 2


@pytest.fixture
def embedded() -> Iterator[EmbeddedValkey]:
    folder = Path(tempfile.mkdtemp(prefix="gw-"))
    folder.chmod(0o700)
    valkey = EmbeddedValkey.start(folder, 0, 64)
    yield valkey
    valkey.stop()
    shutil.rmtree(folder)


async def test_it_reaches_the_embedded_store_of_a_running_gateway(embedded: EmbeddedValkey) -> None:
    where = {"GATEWAY_STATE_DIR": str(embedded.folder)}
    assert (await typed(None, "ban", "--user", "ada", **where)).exit_code == 0
    assert (await typed(None, "bans", **where)).output == "banned         user ada for good\n"


@pytest.mark.long
async def test_it_works_on_a_cluster() -> None:
    async with cluster() as nodes:
        environment = {"REDIS_URL": nodes.url}
        assert (await typed(None, "ban", "--user", "ada", **environment)).exit_code == 0
        assert (await typed(None, "bans", **environment)).output == "banned         user ada for good\n"
