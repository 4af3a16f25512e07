"""The wire contract, event by event: what is acknowledged, what others get, in which order it comes."""

from __future__ import annotations

import pytest

from tests.support.clients import Arrival, Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.waiting import until

EARLIER = {"ada has joined the room"}
"""What may still come to those who joined after her: notices are delivered when they arrive."""


def _is_a_notice(arrival: Arrival) -> bool:
    return arrival.name == "receive" and "id" not in arrival.data


@pytest.fixture
async def ada(routed: Gateway, room: str, connect: Opener) -> Member:
    """A member of the room."""
    member = await connect(routed.url)
    await member.join("ada", room)
    return member


@pytest.fixture
async def bob(routed: Gateway, room: str, connect: Opener, ada: Member) -> Member:
    """The second member of the room."""
    member = await connect(routed.url)
    await member.join("bob", room)
    await until(lambda: ada.notices(room), what="ada hears of bob")
    return member


async def test_a_join_is_acknowledged_with_room_position_and_count(
    routed: Gateway, room: str, connect: Opener
) -> None:
    member = await connect(routed.url)
    answer = await member.join("ada", room)
    epoch, _, seq = answer.pop("id").partition(":")
    assert answer == {"ok": True, "room": room, "count": 1}
    assert (bool(epoch), seq) == (True, "0")


async def test_a_join_counts_users(ada: Member, room: str, routed: Gateway, connect: Opener) -> None:
    assert (await (await connect(routed.url)).join("bob", room))["count"] == 2
    assert (await (await connect(routed.url)).join("bob", room))["count"] == 2


async def test_a_message_reaches_every_member_and_its_sender(ada: Member, bob: Member, room: str) -> None:
    answer = await ada.send(room, "hello", username="ada")
    assert answer.keys() == {"ok", "id"}
    assert answer["ok"] is True
    await until(lambda: ada.ids(room) == bob.ids(room) == [answer["id"]], what="both get it")
    data = dict(bob.received[-1])
    assert isinstance(data.pop("__createdtime__"), int)
    assert data == {"message": "hello", "username": "ada", "room": room, "id": answer["id"]}
    assert ada.received[-1] == bob.received[-1]


async def test_positions_count_up_by_one_in_one_epoch(ada: Member, room: str) -> None:
    ids = [(await ada.send(room, str(number)))["id"] for number in range(5)]
    epoch = ids[0].split(":")[0]
    assert ids == [f"{epoch}:{seq}" for seq in range(1, 6)]


async def test_a_message_keeps_every_character(ada: Member, room: str) -> None:
    text = 'quotes " and \\ back, \n line, \u2028, \x01, \0, 漢字, 👩‍👩‍👧, "],"x"'
    await ada.send(room, text)
    await until(lambda: ada.messages(room) == [text], what="the same text comes back")


async def test_a_room_may_have_any_printable_name(routed: Gateway, room: str, connect: Opener) -> None:
    member, name = await connect(routed.url), f'{room} "q" \\ : chat_history_* 漢字 👋'
    assert (await member.join("ada", name))["room"] == name
    await member.send(name, "hello")
    await until(lambda: member.messages(name) == ["hello"], what="the message comes with that name")


async def test_history_comes_first_then_the_acknowledgement_then_what_is_live(
    ada: Member, room: str, routed: Gateway, connect: Opener
) -> None:
    ids = [(await ada.send(room, str(number)))["id"] for number in range(3)]
    late = await connect(routed.url)
    answer = await late.join("late", room)
    ids.append((await ada.send(room, "live"))["id"])
    await until(lambda: late.ids(room) == ids, what="history and the live message")
    came = [arrival.name for arrival in late.arrivals if not _is_a_notice(arrival)]
    assert came == ["receive"] * 3 + ["ack 0", "receive"]
    assert answer["id"] == ids[2]


async def test_others_are_told_of_a_join_and_the_newcomer_is_not(ada: Member, bob: Member, room: str) -> None:
    await ada.send(room, "after the notice")
    await until(lambda: bob.messages(room), what="bob gets what came after the notice")
    assert set(bob.notices(room)) <= EARLIER, "not of himself"
    assert ada.notices(room) == ["bob has joined the room"]
    notice = next(data for data in ada.received if "id" not in data)
    assert notice.keys() == {"message", "username", "__createdtime__", "room"}
    assert notice["username"] == "ChatBot"


async def test_joining_again_replays_history_and_is_not_announced(
    ada: Member, bob: Member, room: str
) -> None:
    ids = [(await ada.send(room, str(number)))["id"] for number in range(3)]
    await until(lambda: bob.ids(room) == ids, what="bob has them")
    answer = await bob.join("bob", room)
    assert (answer["id"], answer["count"]) == (ids[-1], 2)
    assert bob.ids(room) == ids * 2
    await ada.send(room, "after")
    await until(lambda: bob.messages(room)[-1] == ada.messages(room)[-1] == "after", what="once each")
    assert ada.notices(room) == ["bob has joined the room"]
    assert bob.messages(room).count("after") == 1


async def test_who_left_hears_no_more_and_others_are_told(ada: Member, bob: Member, room: str) -> None:
    assert await bob.call("leave", {"username": "bob", "room": room}) == {"ok": True}
    await until(lambda: "bob has left the room" in ada.notices(room), what="ada hears that bob left")
    await ada.send(room, "alone")
    await until(lambda: ada.messages(room) == ["alone"], what="ada gets her own")
    assert (await bob.call("members", {"room": room}))["code"] == "not_joined"
    assert bob.messages(room) == []
    assert set(bob.notices(room)) <= EARLIER


async def test_members_tells_names_and_count(ada: Member, bob: Member, room: str) -> None:
    answer = await ada.call("members", {"room": room})
    assert sorted(answer.pop("members")) == ["ada", "bob"]
    assert answer == {"ok": True, "count": 2}


async def test_history_pages_backwards(ada: Member, room: str) -> None:
    ids = [(await ada.send(room, str(number)))["id"] for number in range(10)]
    last = await ada.call("history", {"room": room, "limit": 4})
    before = await ada.call("history", {"room": room, "limit": 4, "before": ids[6]})
    first = await ada.call("history", {"room": room, "before": ids[2]})
    none = await ada.call("history", {"room": room, "before": ids[0]})
    assert [[data["id"] for data in answer["messages"]] for answer in (last, before, first, none)] == [
        ids[6:], ids[2:6], ids[:2], [],
    ]  # fmt: skip
    assert last["ok"] is True
    await until(lambda: ada.ids(room) == ids, what="ada has received them too")
    assert last["messages"] == ada.received[6:], "the same objects as `receive` brings"


async def test_history_without_a_limit_gives_the_last_hundred(ada: Member, room: str) -> None:
    ids = [(await ada.send(room, str(number)))["id"] for number in range(105)]
    answer = await ada.call("history", {"room": room})
    assert [data["id"] for data in answer["messages"]] == ids[5:]


async def test_the_username_of_a_send_may_be_left_out(ada: Member, room: str) -> None:
    assert (await ada.send(room, "hello"))["ok"] is True
    await until(lambda: ada.received, what="the message")
    assert ada.received[0]["username"] == "ada"


async def test_what_one_client_sends_happens_in_that_order(ada: Member, room: str, routed: Gateway) -> None:
    async with await Member.connect(routed.url) as hasty:
        await hasty.emit("join", {"username": "hasty", "room": room})
        for number in range(20):
            await hasty.emit("send", {"username": "hasty", "room": room, "message": str(number)})
        await hasty.emit("leave", {"username": "hasty", "room": room})
        await until(lambda: len(ada.received) == 22, what="joined, twenty messages, left")
    told = [data["message"] for data in ada.received]
    assert told == ["hasty has joined the room", *map(str, range(20)), "hasty has left the room"]


async def test_an_idempotency_key_stores_once_and_answers_alike(ada: Member, room: str) -> None:
    first = await ada.send(room, "once", idempotency_key="k")
    again = await ada.send(room, "once", idempotency_key="k")
    other = await ada.send(room, "two", idempotency_key="l")
    await until(lambda: "two" in ada.messages(room), what="the second message")
    assert first == again
    assert ada.ids(room) == [first["id"], other["id"]]


async def test_a_refusal_comes_as_error_and_in_the_acknowledgement(ada: Member, room: str) -> None:
    answer = await ada.send(room, "x" * 4097, idempotency_key="k")
    assert {key: answer[key] for key in ("ok", "code", "retryable")} == {
        "ok": False, "code": "too_large", "retryable": False,
    }  # fmt: skip
    await until(lambda: ada.errors, what="the error event")
    error = ada.errors[0]
    assert (error["code"], error["message"], error["retryable"]) == ("too_large", answer["message"], False)
    assert (error["event"], error["room"], error["idempotency_key"]) == ("send", room, "k")


async def test_rooms_of_one_connection_do_not_mix(ada: Member, room: str) -> None:
    other = f"{room}-other"
    await ada.join("ada", other)
    await ada.send(other, "there")
    await ada.send(room, "here")
    await until(lambda: len(ada.received) == 2, what="both messages")
    assert (ada.messages(room), ada.messages(other)) == (["here"], ["there"])
