"""Tokens that end, and stock clients: what they are told, and how they come in again with a new one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import socketio

from tests.support.gateways import Gateway
from tests.support.identified import with_secrets
from tests.support.stock_clients import JavaScriptClient
from tests.support.tokens import signed
from tests.support.waiting import stays, until

pytestmark = [pytest.mark.system, pytest.mark.long]


def ended() -> str:
    """A token that ended a minute ago."""
    now_s = int(time.time())
    return signed(kid="one", iat=now_s - 120, exp=now_s - 60)


async def test_the_javascript_client_is_told_why_and_comes_in_when_its_application_tries_again(
    redis_url: str, room: str, tmp_path: Path, javascript: None
) -> None:
    """Its connection is closed at the end of its token; what its `auth` function then shows has ended, too."""
    options = with_secrets(tmp_path, GATEWAY_TOKEN_GRACE_S="0", GATEWAY_TOKEN_LEEWAY_S="0")
    async with Gateway(redis_url, workers=1, environment=options) as gateway, JavaScriptClient() as ada:
        now_s = int(time.time())
        await ada.connect(gateway.url, "websocket", token=signed(kid="one", iat=now_s, exp=now_s + 3))
        await until(lambda: ada.refusals, 15, "it came back by itself, and was refused")
        assert [name for name, _ in ada.events] == ["welcome", "expiring", "error"]
        assert [(one["code"], one["reason"]) for one in ada.errors[-1:]] == [("unauthorized", "expired")]
        assert ada.refusals[0]["data"] == {"code": "unauthorized", "reason": "expired", "retryable": False}
        await stays(lambda: len(ada.refusals) == 1, 2.0, "that is final for it")
        ada.show(signed(kid="one"))
        ada.connect_again()
        await until(lambda: ada.connects == 2, 5, "it is in with a new one")
        assert (await ada.call("join", {"room": room}))["ok"]


async def test_the_javascript_client_whose_auth_function_has_a_new_token_comes_back_by_itself(
    redis_url: str, room: str, tmp_path: Path, javascript: None
) -> None:
    options = with_secrets(tmp_path, GATEWAY_TOKEN_GRACE_S="0", GATEWAY_TOKEN_LEEWAY_S="0")
    async with Gateway(redis_url, workers=1, environment=options) as gateway, JavaScriptClient() as ada:
        now_s = int(time.time())
        short, rooms = signed(kid="one", iat=now_s, exp=now_s + 3), [{"room": room}]
        await ada.connect(gateway.url, "upgrade", token=short, rooms=rooms)
        ada.show(signed(kid="one"))
        assert (await ada.call("send", {"room": room, "message": "before"}))["ok"]
        await until(lambda: ada.connects == 2, 15, "it is in again")
        assert (await ada.call("send", {"room": room, "message": "after"}))["ok"]
        assert ada.refusals == []
        await until(lambda: len([one for one in ada.received if "id" in one]) == 2, what="each once")


async def test_the_python_client_is_told_why_and_comes_in_with_a_new_one(
    redis_url: str, tmp_path: Path
) -> None:
    async with Gateway(redis_url, workers=1, environment=with_secrets(tmp_path)) as gateway:
        client, shown = socketio.AsyncClient(reconnection=False), [ended()]
        refusals: list[dict[str, Any]] = []
        client.on("connect_error", refusals.append)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.connect(gateway.url, auth=lambda: {"token": shown[0]})
        assert refusals[0]["data"] == {"code": "unauthorized", "reason": "expired", "retryable": False}
        shown[0] = signed(kid="one")
        await client.connect(gateway.url, auth=lambda: {"token": shown[0]})
        assert (await client.call("join", {"room": "tea"}))["ok"]
        await client.disconnect()
