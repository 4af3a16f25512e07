"""The client for backends against a gateway: each method, and what it answers."""

from __future__ import annotations

import asyncio

import pytest

from gateway.api.methods import METHODS
from gateway.backend import Backend, BackendError, calls
from gateway.server.app import build_app
from tests.support.backends import key_for
from tests.support.serving import serving, settings


def tour(chat: Backend, room: str) -> None:
    """Every method once or more."""
    user = f"{room}:user"
    first = chat.publish(room, "one", user=user, meta={"order": 7}, idempotency_key="k")
    assert (
        first.duplicate,
        chat.publish(room, "one", user=user, meta={"order": 7}, idempotency_key="k").id,
    ) == (
        False,
        first.id,
    )
    with pytest.raises(BackendError) as reused:
        chat.publish(room, "two", idempotency_key="k")
    assert (reused.value.status, reused.value.about["reason"]) == (409, "key_reused")
    assert [each.code for each in chat.broadcast([room, f"{room}:2"], "three")] == [None, None]
    chat.signal("typing", {"a": 1}, room=room)
    chat.signal("typing", user=user)
    (shown, _) = chat.history(room).messages
    assert (shown["user"], shown["meta"]) == (user, {"order": 7})
    told = chat.history(room, after=first.id)
    assert ([each["message"] for each in told.messages], told.recovered) == (["three"], True)
    assert (told.id or "").endswith(":2")
    assert (chat.members(room).names, chat.members(room).count) == ([], 0)
    assert (chat.room(room).id, chat.room(room).count) == (told.id, 0)
    assert chat.rooms(prefix=room).rooms == []
    assert len(chat.stats().workers) >= 1
    moderate(chat, room, user, first.id)
    chat.disconnect(user, reconnect=True, code="tidying")
    chat.revoke(user)
    chat.revoke(jti=room)
    chat.ban(user)
    chat.unban(user)


def moderate(chat: Backend, room: str, user: str, id: str) -> None:
    """The methods of moderation."""
    assert chat.edit(room, id, "won", by=user).at_ms > 0
    assert chat.redact(room, id).at_ms > 0
    assert [each["message"] for each in chat.history(room).messages] == ["", "three"]
    with pytest.raises(BackendError, match="not_found"):
        chat.redact(room, "nothing:1")
    assert chat.kick(room, user, for_s=5, reason="Enough.").sessions == 0
    assert chat.mute(room, username="Ada", for_s=5).until_ms
    assert chat.unmute(room, username="Ada").until_ms is None
    assert chat.slow(room, 2).sessions == 0
    assert chat.close_room(room, for_s=60, reason="Tidying up.").until_ms
    assert chat.reopen(room).sessions == 0


async def test_every_method_is_called_and_its_answer_read(redis_url: str, room: str) -> None:
    key, configured = key_for()
    async with serving(build_app(settings(redis_url, GATEWAY_API_KEYS=configured))) as url:
        with Backend(url, key) as chat:
            await asyncio.to_thread(tour, chat, room)
            batch = [calls.publish(room, "four"), calls.redact(room, "nothing:1"), calls.members(room)]
            found = await asyncio.to_thread(chat.batch, batch)
            assert [type(each).__name__ for each in found] == ["Published", "BackendError", "Members"]


def test_the_client_has_a_method_for_each_row_of_the_table() -> None:
    assert {
        name for name in METHODS if not hasattr(Backend, {"close": "close_room"}.get(name, name))
    } == set()
