"""What a room shows: each message once, in order, with nothing missing between, whatever comes when."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gateway.client.messages import Message, changed_message, distance, message_of
from gateway.client.timeline import Taken, Timeline


def message(seq: int, epoch: str = "a", text: str | None = None) -> Message:
    return Message(f"{epoch}:{seq}", "lobby", "Ada", text or str(seq), 0)


def joined(
    seqs: range, position: int | None = None, recovered: bool | None = None, kept: int = 1000
) -> Timeline:
    made = Timeline(kept)
    made.begin_join()
    for seq in seqs:
        made.take(message(seq))
    answer: dict[str, Any] = {"id": f"a:{position or seqs[-1]}"}
    made.joined(answer if recovered is None else {**answer, "recovered": recovered})
    return made


def shown(timeline: Timeline) -> list[str]:
    return [each.id for each in timeline.messages]


def test_a_join_that_broke_off_moves_nothing() -> None:
    """It had 1 to 40, the room is at 300, and the connection broke while 201 to 203 came."""
    made = joined(range(1, 41))
    assert made.begin_join() == "a:40"
    for seq in range(201, 204):
        assert made.take(message(seq)) is Taken.HELD
    assert made.begin_join() == "a:40", "the next join asks for what is missing"
    for seq in range(201, 301):
        made.take(message(seq))
    assert made.joined({"id": "a:300", "recovered": False}) is None
    assert shown(made) == [f"a:{seq}" for seq in range(201, 301)]


def test_what_was_missed_is_added_and_told() -> None:
    made = joined(range(1, 4))
    made.begin_join()
    for seq in (4, 5):
        made.take(message(seq))
    assert [each.id for each in made.joined({"id": "a:5", "recovered": True}) or ()] == ["a:4", "a:5"]
    assert shown(made) == [f"a:{seq}" for seq in range(1, 6)]


def test_what_comes_twice_is_shown_once() -> None:
    made = joined(range(1, 4))
    assert made.take(message(4)) is Taken.SHOWN
    assert made.take(message(4)) is Taken.KNOWN
    assert made.take(message(2)) is Taken.KNOWN
    assert shown(made) == ["a:1", "a:2", "a:3", "a:4"]


@pytest.mark.parametrize("later", [message(5), message(1, "b")])
def test_a_hole_is_found(later: Message) -> None:
    made = joined(range(1, 4))
    assert made.take(later) is Taken.HOLE
    assert made.position == "a:3"


def test_after_a_gap_the_last_messages_replace_what_was_shown() -> None:
    made = joined(range(1, 4))
    made.gap()
    assert made.begin_join() is None, "who breaks off here has nothing"
    made = joined(range(1, 4))
    made.gap()
    for seq in range(50, 60):
        assert made.take(message(seq, "b")) is Taken.SHOWN
    assert shown(made) == [f"b:{seq}" for seq in range(50, 60)]


def test_a_gap_while_a_join_is_open_makes_it_one_that_recovers_nothing() -> None:
    made = joined(range(1, 4))
    made.begin_join()
    made.take(message(4))
    made.gap()
    made.take(message(90))
    assert made.joined({"id": "a:90", "recovered": True}) is None
    assert shown(made) == ["a:90"]


def test_a_room_without_history_has_the_position_of_the_answer() -> None:
    made = Timeline(10)
    made.begin_join()
    made.joined({"id": "a:300"})
    assert (made.messages, made.position) == ([], "a:300")
    assert made.take(message(301)) is Taken.SHOWN


def test_no_more_is_kept_than_asked_for() -> None:
    made = joined(range(1, 21), kept=10)
    made.take(message(21))
    assert shown(made) == [f"a:{seq}" for seq in range(12, 22)]


def test_the_later_change_counts_in_whatever_order_they_come() -> None:
    made = joined(range(1, 4))
    edit = {"id": "a:2", "kind": "edited", "message": "new", "by": "ada", "at": 5}
    redaction = {"id": "a:2", "kind": "redacted", "message": "", "by": "mod", "at": 9}
    assert made.change(redaction) is not None
    assert made.change(edit) is None
    assert made.change(redaction) is None
    assert (made.messages[1].changed, made.messages[1].text) == ("redacted", "")
    assert made.change({**edit, "id": "a:77"}) is None


def test_a_change_while_a_join_is_open_is_not_lost() -> None:
    made = joined(range(1, 4))
    made.begin_join()
    made.take(message(4))
    made.change({"id": "a:4", "kind": "edited", "message": "new", "by": "ada", "at": 5})
    made.take(message(4))
    made.joined({"id": "a:4", "recovered": True})
    assert made.messages[3].text == "new"


def test_random_connections_always_show_what_the_room_holds() -> None:
    """Messages, breaks, joins that break off, and answers, in 300 random orders: what is shown has no hole, no double,
    and after a join the end of the room."""
    for seed in range(300):
        chance = random.Random(seed)
        made, room, is_joining, arrived = Timeline(1000), 0, False, 0
        for _ in range(60):
            action = chance.choice(("say", "say", "break", "bring", "bring", "answer"))
            if action == "say":
                room += 1
                if not is_joining and made.position is not None and arrived == room - 1:
                    assert made.take(message(room)) is Taken.SHOWN
                    arrived = room
            elif action == "break":
                since = made.begin_join()
                is_joining, known = True, distance("a:0", since or "a:0") or 0
                begin = max(known, room - 100)
                arrived, recovered = begin, begin == known and since is not None
            elif action == "bring" and is_joining and arrived < room:
                arrived += 1
                made.take(message(arrived))
            elif action == "answer" and is_joining:
                while arrived < room:
                    arrived += 1
                    made.take(message(arrived))
                made.joined({"id": f"a:{room}", "recovered": recovered})
                is_joining = False
                assert not made.messages or made.messages[-1].id == f"a:{room}"
            seqs = [int(each.id[2:]) for each in made.messages]
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs))) if seqs else True


def test_a_message_of_the_contract_is_read() -> None:
    data = {
        "message": "Hi", "username": "Ada", "__createdtime__": 7, "room": "lobby", "id": "a:1", "user": "42",
        "meta": {"reply": 1}, "changed": {"kind": "edited", "by": "42", "at": 9},
    }  # fmt: skip
    found = message_of(data)
    assert found == Message("a:1", "lobby", "Ada", "Hi", 7, "42", {"reply": 1}, "edited", 9, "42")
    assert changed_message(found, {"at": 8, "message": "old"}) is found


@pytest.mark.parametrize(
    ("older", "newer", "found"), [("a:1", "a:3", 2), ("a:3", "a:1", -2), ("a:1", "b:3", None), ("x", "x", 0)]
)
def test_positions_are_compared_within_an_epoch(older: str, newer: str, found: int | None) -> None:
    assert distance(older, newer) == found
