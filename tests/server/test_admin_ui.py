"""The namespace of the Admin UI in one worker: what is bounded, what ends, and what it does while Redis is away."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.access.api_keys import SCOPES, ApiKey, ApiKeys, ConfiguredKey, digest_of
from gateway.admin.signing import Signing, shared_secret
from gateway.admin.ui import SESSIONS_MAX
from gateway.admin.ui_credentials import PURPOSE
from gateway.server.admin_ui import ui_lines
from gateway.server.app import build_app
from gateway.settings import Settings
from tests.support.backends import key_for
from tests.support.servers import Valkey
from tests.support.serving import serving, settings

KEY, VARIABLE = key_for("ops")
LIMIT_S = 10.0


class Ui:
    """A UI by hand."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self.websocket = websocket

    async def packet(self) -> str:
        """The next one of Socket.IO; "closed" once the connection is."""
        while True:
            message = await self.websocket.receive(LIMIT_S)
            if message.type is not aiohttp.WSMsgType.TEXT:
                return "closed"
            if message.data == "2":
                await self.websocket.send_str("3")
            elif message.data[0] == "4":
                return str(message.data[1:])

    async def connect(self, auth: dict[str, Any]) -> str:
        """The answer to CONNECT."""
        await self.websocket.send_str(f"40/admin,{orjson.dumps(auth).decode()}")
        return await self.packet()

    async def until(self, event: str) -> Any:
        """Reads on to an event: its argument."""
        while (packet := await self.packet()) != "closed":
            name, data = orjson.loads(packet.removeprefix("2/admin,"))
            if name == event:
                return data
        raise AssertionError(f"closed before {event}")


class Uis:
    """Opens them at one worker."""

    def __init__(self, url: str, stack: AsyncExitStack, http: aiohttp.ClientSession) -> None:
        self._url, self._stack, self._http = url, stack, http

    async def open(self) -> Ui:
        at = f"{self._url}/socket.io/?EIO=4&transport=websocket"
        return Ui(await self._stack.enter_async_context(self._http.ws_connect(at)))


@asynccontextmanager
async def uis(redis_url: str, **more: str) -> AsyncIterator[Uis]:
    app = build_app(settings(redis_url, GATEWAY_ADMIN_UI="on", GATEWAY_API_KEYS=VARIABLE, **more))
    async with serving(app) as url, aiohttp.ClientSession() as http, AsyncExitStack() as stack:
        yield Uis(url, stack, http)


async def test_so_many_are_connected_and_no_more(redis_url: str) -> None:
    async with uis(redis_url) as at:
        opened = [await at.open() for _ in range(SESSIONS_MAX + 1)]
        for each in opened[:-1]:
            assert (await each.connect({"password": KEY})).startswith('0/admin,{"sid":')
        refused = await opened[-1].connect({"password": KEY})
        assert refused == '4/admin,{"message":"too many Admin UIs are connected to this worker"}'
        await opened[0].websocket.send_str("41/admin,")
        assert (await opened[-1].connect({"password": KEY})).startswith('0/admin,{"sid":')


async def test_who_comes_second_is_told_at_once_what_the_first_was(redis_url: str) -> None:
    async with uis(redis_url) as at:
        first, second = await at.open(), await at.open()
        await first.connect({"password": KEY})
        await first.until("server_stats")
        await second.connect({"password": KEY})
        begun_s = time.monotonic()
        assert (await second.until("server_stats"))["clientsCount"] == 2
        assert time.monotonic() - begun_s < 1.5


async def test_who_guesses_is_cut_off(redis_url: str) -> None:
    async with uis(redis_url) as at:
        ui = await at.open()
        for _ in range(200):
            answer = await ui.connect({"password": "gwk_guess"})
            if answer == "closed":
                break
            assert answer == '4/admin,{"message":"invalid credentials"}'
        assert answer == "closed"


async def test_an_address_that_guesses_is_shut_out_and_one_that_shows_an_old_session_is_not(
    redis_url: str,
) -> None:
    async with uis(redis_url, GATEWAY_SHARED_NETWORKS="-", GATEWAY_ADDRESS_FAILURES_BURST="5") as at:
        ui = await at.open()
        for auth in [{"sessionId": "ops:1:2:3:4"}] * 10 + [{"password": "gwk_guess"}] * 6:
            await ui.connect(auth)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await at.open()
        assert refused.value.status == 429


async def test_a_connection_ends_with_its_session(redis_url: str, tmp_path: Path) -> None:
    async with uis(redis_url, GATEWAY_RUN_DIR=str(tmp_path)) as at:
        secret = hmac.digest(shared_secret(str(tmp_path)), PURPOSE, hashlib.sha256)
        key = ApiKey("ops", frozenset(SCOPES))
        signing = Signing(ApiKeys([ConfiguredKey(key, digest_of(KEY), "here")]), secret)
        ends_soon = signing.begin(key, time.time())._replace(until_s=int(time.time()) + 1)
        ui = await at.open()
        assert (await ui.connect({"sessionId": signing.cookie(ends_soon)})).startswith("0/admin,")
        begun_s = time.monotonic()
        while await ui.packet() != "closed":
            assert time.monotonic() - begun_s < LIMIT_S


async def test_while_redis_is_away_a_worker_is_told_of_itself(server: Valkey) -> None:
    async with uis(server.url) as at:
        ui = await at.open()
        await ui.connect({"password": KEY})
        first = await ui.until("server_stats")
        server.kill()
        assert (await ui.until("server_stats"))["serverId"] == first["serverId"]


def test_check_says_where_it_is_and_what_it_lacks() -> None:
    on = Settings.from_environment({"GATEWAY_ADMIN_UI": "on"})
    key = ApiKey("ops", frozenset(SCOPES))
    keys = ApiKeys([ConfiguredKey(key, digest_of(KEY), "here")])
    assert list(ui_lines(Settings(), keys)) == []
    assert [heading for heading, _ in ui_lines(on, keys)] == ["admin ui"]
    assert [heading for heading, _ in ui_lines(on, ApiKeys())] == ["warning"]
