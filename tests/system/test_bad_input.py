"""Bad input: each kind gets its code and a sentence, the connection goes on, and Redis never hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.protocol import ERRORS
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.waiting import until

HERE, ELSEWHERE = "<room>", "<another room>"
"""Stand for the room that the member has joined and one that it has not."""

NOT_UNDERSTOOD: list[tuple[str, Any]] = [
    *[(event, data) for event in ("join", "send", "leave") for data in ("text", 7, None, list[Any](), True)],
    *[("join", {"username": "ada", "room": room}) for room in ("", 5, None, "a\nb", "a\x7f", "a{b", "}", list[Any]())],
    *[("join", {"username": name, "room": ELSEWHERE}) for name in ("", 5, None, dict[str, Any](), "a\tb")],
    ("join", {}),
    ("join", {"username": "ada"}),
    ("join", {"room": ELSEWHERE}),
    *[("join", {"username": "ada", "room": HERE, "since": at}) for at in (5, dict[str, Any](), "", "x", ":1", "a:-1")],
    *[("send", {"room": HERE, "message": text}) for text in ("", 5, None, ["x"])],
    *[("send", {"room": room, "message": "x"}) for room in ("", 5, None)],
    *[("send", {"room": HERE, "message": "x", "idempotency_key": key}) for key in ("", 5, dict[str, Any]())],
    ("send", {"room": HERE, "message": "x", "username": 5}),
    ("send", {"room": HERE}),
    ("leave", {"username": "ada"}),
    ("members", {}),
    ("members", {"room": 5}),
    *[("history", {"room": HERE, "limit": limit}) for limit in (0, 101, -1, 1.5, "5", True)],
    *[("history", {"room": HERE, "before": before}) for before in (5, "x")],
    *[("send", {"room": HERE, "message": "x", "meta": meta}) for meta in (5, "x", ["x"])],
    *[("signal", {"room": HERE, "kind": kind}) for kind in (None, "", 5, "_mine", "a\nb")],
    *[("read", {"room": HERE, "id": at}) for at in (None, 5, "x")],
    *[("unread", {"rooms": rooms}) for rooms in (None, [], HERE, [5])],
    ("shout", {"room": HERE}),
    ("receive", {"room": HERE, "message": "x", "username": "ChatBot"}),
]  # fmt: skip

REFUSED: list[tuple[str, str, Any]] = [
    *[("bad_request", event, data) for event, data in NOT_UNDERSTOOD],
    ("too_large", "join", {"username": "ada", "room": "r" * 129}),
    ("too_large", "join", {"username": "u" * 65, "room": ELSEWHERE}),
    ("too_large", "send", {"room": HERE, "message": "x" * 4097}),
    ("too_large", "send", {"room": HERE, "message": "x", "idempotency_key": "k" * 2000}),
    ("name_taken_by_system", "join", {"username": "ChatBot", "room": ELSEWHERE}),
    ("not_joined", "send", {"username": "ada", "room": ELSEWHERE, "message": "x"}),
    ("not_joined", "leave", {"username": "ada", "room": ELSEWHERE}),
    ("not_joined", "members", {"room": ELSEWHERE}),
    ("not_joined", "history", {"room": ELSEWHERE}),
    ("not_joined", "signal", {"room": ELSEWHERE, "kind": "typing"}),
    ("too_large", "signal", {"room": HERE, "kind": "k", "data": "x" * 1023}),
    ("too_large", "send", {"room": HERE, "message": "x", "meta": {"a": "x" * 1017}}),
    ("too_large", "unread", {"rooms": ["r"] * 201}),
    ("unauthorized", "read", {"room": ELSEWHERE, "id": "e:1"}),
    ("forbidden", "send", {"username": "bob", "room": HERE, "message": "x"}),
]


def _name(case: object) -> str:
    return str(case)[:40] if isinstance(case, (str, dict)) else repr(case)


@pytest.mark.parametrize(("code", "event", "data"), REFUSED, ids=_name)
async def test_it_is_refused_with_its_code_and_the_connection_goes_on(
    gateway: Gateway, store: Any, room: str, connect: Opener, code: str, event: str, data: Any
) -> None:
    member = await connect(gateway.url)
    await member.join("ada", room)
    answer = await member.call(event, _placed(data, room))
    assert (answer["ok"], answer["code"], answer["retryable"]) == (False, code, ERRORS[code].is_retryable)
    assert answer["message"]
    await until(lambda: member.errors, what="the error event")
    assert (member.errors[0]["code"], member.errors[0]["message"]) == (code, answer["message"])
    assert (await member.send(room, "still here"))["ok"] is True
    assert await store.llen(f"chat_history_{room}") == 1
    assert (
        await store.exists(f"chat_history_{room}-elsewhere", f"{{chat_history_{room}-elsewhere}}:meta") == 0
    )


async def test_an_event_without_data_is_refused(gateway: Gateway, connect: Opener) -> None:
    member = await connect(gateway.url)
    for event in ("join", "send", "leave", "members", "history", "shout"):
        await member.emit(event)
    await until(lambda: len(member.errors) == 6, what="six errors")
    assert {error["code"] for error in member.errors} == {"bad_request"}


async def test_a_send_before_any_join_is_refused_and_stores_nothing(
    gateway: Gateway, store: Any, room: str, connect: Opener
) -> None:
    member = await connect(gateway.url)
    assert (await member.send(room, "x", username="ada"))["code"] == "not_joined"
    assert await store.exists(f"chat_history_{room}") == 0


async def test_the_longest_that_is_allowed_is_taken(gateway: Gateway, connect: Opener, room: str) -> None:
    member, name = await connect(gateway.url), room.ljust(128, "👋")
    assert (await member.join("👩" * 64, name))["ok"] is True
    assert (await member.send(name, "👩" * 4096))["ok"] is True
    await until(lambda: member.messages(name) == ["👩" * 4096], what="the longest message")


async def test_a_frame_over_the_limit_closes_only_its_own_connection(
    gateway: Gateway, connect: Opener, room: str
) -> None:
    big, other = await connect(gateway.url), await connect(gateway.url)
    await other.join("other", room)
    await big.emit("send", {"room": room, "message": "x" * 70_000})
    await until(big.closed.is_set, what="the connection with the frame of 70,000 bytes is closed")
    assert (await other.send(room, "x"))["ok"] is True


async def test_a_store_key_of_another_kind_is_an_internal_error_and_nothing_worse(
    gateway: Gateway, store: Any, room: str, connect: Opener
) -> None:
    member = await connect(gateway.url)
    await store.set(f"chat_history_{room}", "not a list", ex=60)
    assert (await member.join("ada", room))["code"] == "internal"
    assert (await member.join("ada", f"{room}-good"))["ok"] is True


async def test_no_bad_input_made_a_handler_fail(gateway: Gateway, connect: Opener, room: str) -> None:
    member, logged_before = await connect(gateway.url), len(gateway.log())
    for event, data in NOT_UNDERSTOOD:
        await member.emit(event, _placed(data, room))
    await until(lambda: len(member.errors) == len(NOT_UNDERSTOOD), what="an error for each")
    assert "Traceback" not in gateway.log()[logged_before:]


def _placed(data: Any, room: str) -> Any:
    if not isinstance(data, dict):
        return data
    rooms = {HERE: room, ELSEWHERE: f"{room}-elsewhere"}
    return {key: rooms.get(value, value) if isinstance(value, str) else value for key, value in data.items()}
