"""Who a client is, what it is told of it, and the rooms that CONNECT names; against a real store."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.access.identity import GUEST, Identity, NotAdmitted, Reason, Undecided
from gateway.access.room_rules import RoomRule, RoomRules
from gateway.chat.identities import Identities
from tests.support.chat_worker import ChatWorker, Client, chat_worker
from tests.support.servers import Valkey
from tests.support.waiting import stays, until


class ByWord:
    """Says who a client is by a word that stands for a token: `<user>[/<name>][@<room that it grants>]`, for the next
    `life_s` seconds."""

    counts_tokens = True

    def __init__(self, life_s: float = 600.0) -> None:
        self.life_s = life_s

    async def identify(self, token: str | None) -> Identity:
        if token is None:
            return GUEST
        if token == "bad":
            raise NotAdmitted(Reason.EXPIRED, "Your token has expired.")
        if token == "away":
            raise Undecided
        word, _, granted = token.partition("@")
        user, _, name = word.partition("/")
        grants = {granted: frozenset(("join", "send"))} if granted else {}
        return Identity(user, name or None, expires_at_s=time.time() + self.life_s, grants=grants)


@asynccontextmanager
async def with_tokens(
    redis_url: str, life_s: float = 600.0, grace_s: float = 25.0, join: str = "anyone"
) -> AsyncIterator[ChatWorker]:
    """A worker where tokens count."""
    identities = Identities(ByWord(life_s), lambda auth, environ: auth, grace_s)  # type: ignore[arg-type,return-value]
    rules = RoomRules([RoomRule(match="**", join=join)], "gw.toml")
    async with chat_worker(redis_url, timeout_s=10.0, identities=identities, rules=rules) as worker:
        yield worker


@pytest.fixture
async def tokens(redis_url: str) -> AsyncIterator[ChatWorker]:
    """The same with tokens that live long."""
    async with with_tokens(redis_url) as worker:
        yield worker


async def connected(worker: ChatWorker, word: str, **auth: Any) -> Client:
    """A client that showed this token, and what came with its CONNECT."""
    identity = await worker.chat.identities.admit({}, word)
    client = worker.connect(identity=identity)
    await client.connected(auth)
    return client


# -- rooms in CONNECT


async def test_rooms_of_connect_are_joined_in_order_each_with_its_history_and_then_joined(
    worker: ChatWorker, room: str
) -> None:
    ann = worker.connect()
    await ann.join(room)
    sent = await ann.send(room, "hello")
    ben = worker.connect()
    await ben.connected(
        {"join": [{"room": room, "username": "ben"}, {"room": f"{room}-2", "username": "ben"}]}
    )
    events = [(name, data.get("message", data)) for name, data in ben.all_events()]
    assert events == [
        ("receive", "hello"),
        ("joined", {"ok": True, "room": room, "id": sent["id"], "count": 2}),
        ("joined", {"ok": True, "room": f"{room}-2", "id": events[-1][1]["id"], "count": 1}),
    ]
    assert (await ben.send(room, "I am in"))["ok"]


async def test_since_counts_in_connect_too(worker: ChatWorker, room: str) -> None:
    ann = worker.connect()
    await ann.join(room)
    seen = (await ann.send(room, "m1"))["id"]
    await ann.send(room, "m2")
    ben = worker.connect()
    await ben.connected({"join": [{"room": room, "username": "ben", "since": seen}]})
    assert ben.messages() == ["m2"]
    assert [one["recovered"] for one in ben.events("joined")] == [True]


async def test_one_room_that_is_refused_does_not_keep_the_others_out(worker: ChatWorker, room: str) -> None:
    ben = worker.connect()
    rooms: list[Any] = [{"room": room}, "x", {"room": room, "username": "ben", "since": 7}]
    await ben.connected({"join": [*rooms, {"room": room, "username": "ben"}]})
    assert [(one["code"], one["event"]) for one in ben.events("error")] == [("bad_request", "join")] * 3
    assert [one["room"] for one in ben.events("joined")] == [room]


@pytest.mark.parametrize("joins", [{}, "x", 7, [{}] * 101])
async def test_what_is_no_list_of_at_most_100_rooms_is_refused_at_once(
    worker: ChatWorker, joins: Any
) -> None:
    ben = worker.connect()
    await ben.connected({"join": joins})
    assert [(one["code"], one["event"]) for one in ben.events("error")] == [("bad_request", "join")]


@pytest.mark.parametrize("data", [None, {}, {"join": None}, {"token": "x"}])
async def test_a_connect_that_names_no_rooms_is_answered_by_nothing_more(
    worker: ChatWorker, data: Any
) -> None:
    ben = worker.connect()
    await ben.connected(data)
    assert ben.recorder.packets == []


# -- identity


async def test_who_shows_a_token_is_welcomed_and_has_its_name(tokens: ChatWorker, room: str) -> None:
    ada = await connected(tokens, "u1/Ada")
    (welcome,) = ada.events("welcome")
    assert (welcome["user"], welcome["username"]) == ("u1", "Ada")
    assert 590_000 < welcome["expires_at"] - welcome["now"] <= 600_000
    assert (await ada.call("join", {"room": room}))["ok"], "the username may be left out"
    other = await ada.call("join", {"room": room, "username": "Eve"})
    assert (other["code"], other["ok"]) == ("forbidden", False)
    assert (await ada.send(room, "x", username="Eve"))["code"] == "forbidden"
    assert (await ada.send(room, "x"))["ok"]
    await until(lambda: ada.messages() == ["x"], what="its message")
    assert ada.events("receive")[-1]["username"] == "Ada"


async def test_without_a_name_in_the_token_the_client_chooses_and_its_user_is_the_default(
    tokens: ChatWorker, room: str
) -> None:
    ada = await connected(tokens, "u1")
    assert (await ada.call("join", {"room": room, "username": "Ada"}))["ok"]
    await ada.send(room, "x")
    assert (await ada.call("join", {"room": f"{room}-2"}))["ok"]
    await ada.send(f"{room}-2", "y")
    await until(lambda: len(ada.messages()) == 2, what="its messages")
    assert [one["username"] for one in ada.events("receive") if "id" in one] == ["Ada", "u1"]


async def test_a_guest_is_told_nothing_and_must_say_a_name(tokens: ChatWorker, room: str) -> None:
    guest = tokens.connect(identity=await tokens.chat.identities.admit({}, None))
    await guest.connected(None)
    assert guest.recorder.packets == []
    assert (await guest.call("join", {"room": room}))["code"] == "bad_request"


async def test_a_new_token_of_the_same_user_is_taken_and_another_users_is_not(tokens: ChatWorker) -> None:
    ada = await connected(tokens, "u1/Ada")
    answer = await ada.call("refresh", {"token": "u1/Ada"})
    assert answer["ok"]
    assert answer["expires_at"] >= ada.events("welcome")[0]["expires_at"]
    refused = [await ada.call("refresh", {"token": word}) for word in ("u2/Ada", "bad", "away")]
    assert [(one["code"], one.get("reason"), one["retryable"]) for one in refused] == [
        ("forbidden", None, False),
        ("unauthorized", "expired", False),
        ("unavailable", None, True),
    ]
    assert (await ada.call("refresh", {}))["code"] == "bad_request"
    assert (await ada.call("refresh", {"token": "x" * 8193}))["code"] == "too_large"


async def test_where_tokens_do_not_count_refresh_is_no_event(worker: ChatWorker) -> None:
    ada = worker.connect()
    answer = await ada.call("refresh", {"token": "x"})
    assert "known are join, send, leave, members, history" in answer["message"]
    assert answer["message"].count("refresh") == 1, "what was asked for, and no more"


async def test_who_outlives_its_token_is_told_before_and_ended_after(redis_url: str) -> None:
    async with with_tokens(redis_url, life_s=0.3, grace_s=0.4) as worker:
        ada = await connected(worker, "u1")
        await until(lambda: ada.events("expiring"), what="it is told")
        assert 0 <= ada.events("expiring")[0]["in_ms"] <= 300
        await until(lambda: ada.recorder.ended, what="its connection ends")
        assert time.time() * 1000 >= ada.events("welcome")[0]["expires_at"] + 390
        (error,) = ada.events("error")
        assert (error["code"], error["reason"], error["retryable"]) == ("unauthorized", "expired", False)
        assert len(ada.events("expiring")) == 1


async def test_who_refreshes_in_time_stays(redis_url: str) -> None:
    async with with_tokens(redis_url, life_s=0.5, grace_s=0.5) as worker:
        ada = await connected(worker, "u1")
        for _ in range(5):
            await stays(lambda: not ada.recorder.ended, for_s=0.3)
            assert (await ada.call("refresh", {"token": "u1"}))["ok"]
        ada.close()
        assert ada.session.expiry is None, "nothing rings for who is gone"


async def test_the_sessions_of_a_user_are_known_as_long_as_they_last(tokens: ChatWorker) -> None:
    first, second = [await connected(tokens, "u1") for _ in range(2)]
    assert {one.sid for one in tokens.sessions.of_user("u1")} == {first.sid, second.sid}
    first.close()
    assert [one.sid for one in tokens.sessions.of_user("u1")] == [second.sid]
    second.close()
    assert (tokens.sessions.of_user("u1"), tokens.sessions._by_user) == ([], {})


async def test_a_new_token_that_grants_less_takes_the_client_out_of_what_it_does_not_grant(
    redis_url: str, room: str
) -> None:
    async with with_tokens(redis_url, join="granted") as worker:
        ada, ben = await connected(worker, "u1/Ada@**"), await connected(worker, "u2/Ben@**")
        for name in (room, f"{room}-2"):
            assert (await ada.call("join", {"room": name}))["ok"]
            assert (await ben.call("join", {"room": name}))["ok"]
        assert (await ada.call("refresh", {"token": f"u1/Ada@{room}-2"}))["ok"]
        assert ada.events("removed") == [{"room": room, "code": "forbidden"}]
        told = len(ada.all_events())
        assert (await ben.send(room, "she is gone"))["ok"]
        assert (await ben.send(f"{room}-2", "she is here"))["ok"]
        await until(lambda: ada.messages() == ["she is here"], what="the room that is left")
        assert len(ada.all_events()) == told + 1, "nothing of the other follows"
        assert (await ada.send(room, "x"))["code"] == "not_joined"
        assert (await ada.call("join", {"room": room}))["code"] == "forbidden"
        await until(lambda: ben.notices()[-1:] == ["Ada has left the room"], what="the others are told")


async def test_a_store_that_is_away_keeps_nobody_in_a_room_that_a_new_token_does_not_grant(
    server: Valkey, room: str
) -> None:
    identities = Identities(ByWord(), lambda auth, environ: auth, 25.0)  # type: ignore[arg-type,return-value]
    rules = RoomRules([RoomRule(match="**", join="granted")], "gw.toml")
    async with chat_worker(server.url, timeout_s=1.0, identities=identities, rules=rules) as worker:
        ada, rooms = await connected(worker, "u1/Ada@**"), [f"{room}-{number}" for number in range(3)]
        for name in rooms:
            assert (await ada.call("join", {"room": name}))["ok"]
        server.freeze()
        try:
            await ada.call("refresh", {"token": "u1/Ada@elsewhere"})
        finally:
            server.thaw()
        assert [one["room"] for one in ada.events("removed")] == rooms
        assert ada.session.rooms == {}
