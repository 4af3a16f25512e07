"""The dashboard from outside: who is let in, what is shown, and what its buttons do."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.support.backends import key_for, key_table
from tests.support.dashboard import LIMIT_S, Dashboard, dashboard
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.servers import Valkey
from tests.support.waiting import until

pytestmark = pytest.mark.system

KEY, VARIABLE = key_for("ops")


@asynccontextmanager
async def signed_in(
    redis_url: str, workers: int = 2, **more: str
) -> AsyncIterator[tuple[Gateway, Dashboard]]:
    """A gateway, and a browser that is signed in."""
    async with Gateway(redis_url, workers=2, GATEWAY_API_KEYS=VARIABLE) as gateway:
        async with dashboard(gateway.url) as browser:
            await browser.sign_in(KEY)
            yield gateway, browser


async def test_the_dashboard_shows_and_does_what_it_says(server: Valkey, room: str, connect: Opener) -> None:
    async with signed_in(server.url) as (gateway, browser):
        ann, bob = await connect(gateway.url), await connect(gateway.url)
        await ann.join("ann <b>", room)
        await bob.join("bob", room)
        answer = await ann.send(room, "the <i>kettle</i> is on")
        await until(lambda: len(bob.ids(room)) == 1, what="bob has it")
        await shows(browser, room)
        await refuses_what_is_not_its_own(browser)
        assert await browser.act("redact", room=room, id=answer["id"]) == 303
        assert "redacted" in (await browser.get(f"/room?name={room}"))[1]
        assert await browser.act("kick", room=room, who="bob", kind="username", for_s="600") == 303
        await until(lambda: any(name == "removed" for name, _ in bob.arrivals), what="bob is told")
        assert await browser.act("mute", room=room, who="ann <b>", kind="username") == 303
        refused = await ann.send(room, "may I?")
        assert (refused["ok"], refused["code"]) == (False, "forbidden")
        assert await browser.act("disconnect", user="nobody") == 303
        assert await browser.act("ban", user="nobody", for_s="60") == 303
        assert await browser.act("unban", user="nobody") == 303
        assert "Traceback" not in gateway.log()
        assert KEY not in gateway.log()


async def shows(browser: Dashboard, room: str) -> None:
    """Pages and streams have what is there, escaped."""
    first, second = await browser.regions("view=overview", 2)  # the first may be a second old
    overview = {**first, **second}
    assert overview["workers"].count("<article") == 2
    assert room in overview["rooms"]
    status, page = await browser.get(f"/room?name={room}")
    assert status == 200
    assert "the &lt;i&gt;kettle&lt;/i&gt; is on" in page
    assert "ann &lt;b&gt;" in page
    assert "<i>" not in page
    (of_user,) = await browser.regions("view=user&of=bob")
    assert "Sessions: 1" in of_user["sessions"]


async def refuses_what_is_not_its_own(browser: Dashboard) -> None:
    """Forms of other sites, forms without the token, and what there is none of."""
    elsewhere = {"Origin": "https://evil.example"}
    fields = {"method": "ban", "user": "ann", "token": browser.token}
    assert (await browser.post("/do", fields, elsewhere))[0] == 403
    assert (await browser.post("/do", fields, {"Sec-Fetch-Site": "cross-site"}))[0] == 403
    assert (await browser.post("/do", {"method": "ban", "user": "ann"}))[0] == 403
    assert (await browser.post("/do", {**fields, "method": "publish"}))[0] == 400
    assert (await browser.post("/do", fields, {"Content-Type": "application/json"}))[0] == 400
    assert (await browser.post("/do", {**fields, "method": "redact", "room": "r", "id": "x"}))[0] == 400
    assert (await browser.get("/room"))[0] == 404
    assert (await browser.get("/events?view=passwords"))[0] == 404


async def test_nobody_is_let_in_without_a_key_for_it(server: Valkey) -> None:
    async with Gateway(server.url, 1, GATEWAY_API_KEYS=VARIABLE) as gateway:
        async with dashboard(gateway.url) as browser:
            assert "Sign in" in (await browser.get())[1]
            for path in ("/room?name=tea", "/user?id=ada", "/events?view=overview"):
                assert (await browser.get(path))[0] == 401
            assert (await browser.post("/do", {"method": "ban", "user": "ada"}))[0] == 401
            assert (await browser.post("/sign-in", {"key": "gwk_wrong"}))[0] == 401
            assert (await browser.post("/sign-in", {"key": KEY}, {"Origin": "https://evil.example"}))[
                0
            ] == 403
            status, _, headers = await browser.post("/sign-in", {"key": KEY})
            cookie = headers["Set-Cookie"]
            assert status == 303
            assert {"HttpOnly", "SameSite=Strict", "Path=/admin", "Max-Age=1800"} <= set(cookie.split("; "))
            _, page = await browser.get()
            assert "Sign out" in page
            assert (await browser.post("/sign-out", {"token": browser.token}))[0] == 303
            assert "Sign in" in (await browser.get())[1]


async def test_without_such_a_key_there_is_no_dashboard(server: Valkey) -> None:
    async with Gateway(server.url, 1) as gateway, aiohttp.ClientSession() as http:
        async with http.get(f"{gateway.url}/admin") as response:
            assert response.status == 404


@pytest.mark.long
async def test_a_drain_ends_the_streams_and_a_restart_of_workers_keeps_who_is_signed_in(
    server: Valkey,
) -> None:
    async with signed_in(server.url) as (gateway, browser):
        before = set(gateway.worker_pids())
        streaming = asyncio.create_task(browser.regions("view=overview", number=1000))
        os.kill(gateway.master_pid, signal.SIGHUP)
        await until(lambda: not before & set(gateway.worker_pids()), LIMIT_S, "new workers")
        await asyncio.wait_for(streaming, LIMIT_S)
        await gateway.until_ready()
        assert "Sign out" in (await browser.get())[1]


@pytest.mark.long
async def test_a_key_without_other_scopes_sees_no_messages_and_gets_no_buttons(
    server: Valkey, room: str, connect: Opener, tmp_path_factory: pytest.TempPathFactory
) -> None:
    key, _ = key_for()
    file = tmp_path_factory.mktemp("config") / "gateway.toml"
    file.write_text('[[room]]\nmatch = "**"\njoin = "anyone"\n' + key_table(key, "looker", ["admin"], ["**"]))
    async with Gateway(server.url, 1, GATEWAY_CONFIG=str(file)) as gateway, dashboard(gateway.url) as browser:
        await browser.sign_in(key)
        ann = await connect(gateway.url)
        await ann.join("ann", room)
        await ann.send(room, "secret words")
        _, page = await browser.get(f"/room?name={room}")
        assert "secret words" not in page
        assert "has not the scope <code>read</code>" in page
        assert "has not the scope <code>moderate</code>" in page
        assert await browser.act("kick", room=room, who="ann", kind="username") == 403
