"""Moderation by the application: what its answers say, what members see, and what keys it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from gateway.access.api_keys import new_key
from gateway.server.app import build_app
from tests.support.backends import Backend, backend, key_for, key_table
from tests.support.clients import Member
from tests.support.serving import serving, settings
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Served(NamedTuple):
    """A gateway with the API on, and a backend."""

    url: str
    api: Backend


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(redis_url: str) -> AsyncIterator[Served]:
    key, line = key_for("backend")
    app = build_app(settings(redis_url, GATEWAY_API_KEYS=line, GATEWAY_GRACE_S="0"))
    async with serving(app) as url, backend(url, key) as api:
        yield Served(url, api)


@pytest_asyncio.fixture(loop_scope="module")
async def ada(served: Served, room: str) -> AsyncIterator[Member]:
    """A guest who is in the room."""
    async with await Member.connect(served.url) as member:
        await member.join("ada", room)
        yield member


def told(member: Member, name: str) -> list[dict[str, object]]:
    return [one.data for one in member.arrivals if one.name == name]


async def test_a_message_is_redacted_and_edited_in_the_name_of_the_key_or_of_whom_it_names(
    served: Served, room: str, ada: Member
) -> None:
    first, second = [(await ada.send(room, text))["id"] for text in ("one", "two")]
    at = (await served.api.ok("redact", room=room, id=first))["at"]
    await served.api.ok("edit", room=room, id=second, message="2", by="staff/7")
    await until(lambda: len(told(ada, "changed")) == 2, what="both are told")
    one, two = told(ada, "changed")
    assert one == {"room": room, "id": first, "kind": "redacted", "message": "", "by": "backend", "at": at}
    assert (two["message"], two["kind"], two["by"]) == ("2", "edited", "staff/7")
    history = (await served.api.ok("history", room=room))["messages"]
    assert [each["message"] for each in history] == ["", "2"]
    missing = await served.api.call("redact", room=room, id="other:1")
    assert (missing.status, missing.data["code"]) == (404, "not_found")


async def test_who_is_muted_may_not_speak_by_the_application_either(
    served: Served, room: str, ada: Member
) -> None:
    muted = await served.api.ok("mute", room=room, username="ada", for_s=60)
    assert (muted["sessions"], (await ada.call("send", {"room": room, "message": "x"}))["reason"]) == (
        1,
        "muted",
    )
    await served.api.ok("mute", room=room, user="u-1")
    refused = await served.api.call("publish", room=room, message="x", user="u-1")
    assert (refused.status, refused.data["code"], refused.data["reason"]) == (403, "forbidden", "muted")
    await served.api.ok("publish", room=room, message="from the application itself")
    await served.api.ok("unmute", room=room, username="ada")
    assert (await ada.call("send", {"room": room, "message": "x"}))["ok"]


async def test_the_application_need_not_wait_in_a_slow_room(served: Served, room: str, ada: Member) -> None:
    await served.api.ok("slow", room=room, seconds=60)
    for _ in range(3):
        await served.api.ok("publish", room=room, message="x")
    await ada.send(room, "x")
    assert (await ada.call("send", {"room": room, "message": "x"}))["code"] == "rate_limited"
    await served.api.ok("slow", room=room)
    await ada.send(room, "x")


async def test_a_guest_is_kicked_and_a_room_is_closed_and_opened(
    served: Served, room: str, ada: Member
) -> None:
    assert (await served.api.ok("kick", room=room, username="ada", reason="spam"))["sessions"] == 1
    await until(lambda: told(ada, "removed"), what="it is told")
    await ada.join("ada", room)
    assert (await served.api.ok("close", room=room))["sessions"] == 1
    await until(lambda: len(told(ada, "removed")) == 2, what="it is told")
    assert [(one["code"], one.get("reason")) for one in told(ada, "removed")] == [
        ("kicked", "spam"),
        ("closed", None),
    ]
    refused = await served.api.call("publish", room=room, message="x")
    assert (refused.status, refused.data["reason"]) == (403, "closed")
    await served.api.ok("reopen", room=room)
    await ada.join("ada", room)


async def test_it_takes_the_scope_and_the_room(redis_url: str, room: str, tmp_path: Path) -> None:
    reader, moderator = new_key(), new_key()
    path = tmp_path / "gateway.toml"
    every, tea = ["publish", "read", "admin"], f"{room}:*"
    path.write_text(
        key_table(reader, "reader", every, ["**"]) + key_table(moderator, "tea", ["moderate"], [tea])
    )
    app = build_app(settings(redis_url, GATEWAY_CONFIG=str(path)))
    asked: dict[str, dict[str, Any]] = {
        "redact": {"id": "e:1"}, "edit": {"id": "e:1", "message": "x"}, "kick": {"user": "u"},
        "mute": {"user": "u"}, "unmute": {"user": "u"}, "slow": {"seconds": 1}, "close": {}, "reopen": {},
    }  # fmt: skip
    async with serving(app) as url, backend(url, reader) as one, backend(url, moderator) as other:
        for method, fields in asked.items():
            assert (await one.call(method, room=room, **fields)).status == 403
            assert (await other.call(method, room=room, **fields)).status == 403
            allowed = await other.call(method, room=f"{room}:1", **fields)
            assert allowed.status == (404 if "id" in fields else 200), allowed


@pytest.mark.parametrize("wrong", [{}, {"user": "a", "username": "b"}, {"user": "a", "for_s": 0}, {"user": 7},
                                   {"user": "a", "for_s": "1"}, {"user": "a", "for_s": 1e99}])  # fmt: skip
async def test_what_is_not_understood_is_400(served: Served, room: str, wrong: dict[str, Any]) -> None:
    assert (await served.api.call("mute", room=room, **wrong)).status == 400
