"""What a webhook is told, made of what a room holds."""

from __future__ import annotations

import json
from typing import Any

from gateway.protocol import Position
from gateway.state.hook_progress import Unread
from gateway.state.more import Change
from gateway.webhooks.events import known_after, message_events


def entries(*times_ms: int) -> list[bytes]:
    return [b'{"message":"at %d","username":"ann","__createdtime__":%d}' % (at, at) for at in times_ms]


def unread(newest: str, told: str | None, first_seq: int, stored: list[bytes], **more: Any) -> Unread:
    at = Position.parse(told) if told else None
    position = Position.parse(newest)
    return Unread(position, position.seq - len(stored) + 1, at, None, first_seq, stored, 9, **more)


def told(found: Unread, since_ms: int = 0) -> list[Any]:
    events = message_events("tea", found, since_ms)
    return [json.loads(event.data) for event in events if event.data]


def kinds(found: Unread, since_ms: int = 0) -> list[str]:
    return [
        f"{each['from']}-{each['to']}" if each["type"] == "gap" else each["id"]
        for each in told(found, since_ms)
    ]


def test_a_message_is_told_as_members_get_it_with_its_type_in_front() -> None:
    found = unread("a:7", "a:6", 7, entries(5), more={7: b',"user":"42","meta":{"k":1}'})
    (event,) = message_events("tea", found, 0)
    assert event.data == (
        b'{"type":"message","message":"at 5","username":"ann","__createdtime__":5,"room":"tea","id":"a:7",'
        b'"user":"42","meta":{"k":1}}'
    )
    assert event.to == Position("a", 7)


def test_what_follows_is_told_in_order_without_a_gap() -> None:
    assert kinds(unread("a:7", "a:4", 5, entries(1, 2, 3))) == ["a:5", "a:6", "a:7"]
    assert kinds(unread("a:7", "a:7", 8, [])) == []


def test_what_was_trimmed_is_a_gap_before_the_rest() -> None:
    assert kinds(unread("a:7", "a:2", 6, entries(1, 2))) == ["a:2-a:5", "a:6", "a:7"]
    assert kinds(unread("a:7", "a:2", 8, [])) == ["a:2-a:7"], "a room that keeps nothing"


def test_another_epoch_is_a_gap_and_all_that_is_kept_follows() -> None:
    assert kinds(unread("b:2", "a:9", 1, entries(1, 2))) == ["a:9-b:0", "b:1", "b:2"]
    assert kinds(unread("a:2", "a:9", 1, entries(1, 2))) == ["a:9-a:0", "a:1", "a:2"], (
        "somebody took them away"
    )


def test_what_was_given_up_before_is_one_gap_with_what_was_trimmed_since() -> None:
    missed = Position("a", 2)
    assert kinds(unread("a:7", "a:5", 6, entries(1, 2))._replace(missed=missed)) == ["a:2-a:5", "a:6", "a:7"]
    assert kinds(unread("a:7", "a:5", 7, entries(1))._replace(missed=missed)) == ["a:2-a:6", "a:7"]
    assert kinds(unread("a:7", "a:7", 8, [])._replace(missed=missed)) == ["a:2-a:7"]


def test_a_webhook_that_is_new_is_not_told_what_is_older() -> None:
    assert kinds(unread("a:3", None, 1, entries(1, 2, 9)), since_ms=5) == ["a:3"]
    assert kinds(unread("a:3", None, 1, entries(6, 7, 9)), since_ms=5) == ["a:1", "a:2", "a:3"]
    passed = message_events("tea", unread("a:3", None, 1, entries(1, 2, 3)), 5)
    assert [(event.data, event.to) for event in passed] == [(b"", Position("a", 3))], (
        "and need not look again"
    )
    first_of_many = unread("a:90", None, 1, entries(1, 2, 3))
    assert message_events("tea", first_of_many, 5)[-1].to == Position("a", 3)


def test_a_room_that_has_more_than_is_kept_since_the_webhook_is_known_begins_with_a_gap() -> None:
    assert kinds(unread("a:9", None, 8, entries(6, 9)), since_ms=5) == ["a:0-a:7", "a:8", "a:9"]
    assert kinds(unread("a:9", None, 10, []), since_ms=5) == ["a:0-a:9"]
    assert kinds(unread("a:9", None, 10, []), since_ms=10) == []


def test_a_room_without_a_position_has_nothing_to_tell() -> None:
    assert message_events("tea", Unread(Position("", 0), 0, None, None, 0, [], 0), 0) == []


def test_half_a_surrogate_pair_and_other_hands_entries_are_told_as_they_are() -> None:
    half = b'{"message":"\\ud83d","username":"ann","__createdtime__": 7}'
    assert [b"ud83d" in each.data for each in message_events("tea", unread("a:1", None, 1, [half]), 5)] == [
        True
    ]
    assert kinds(unread("a:1", None, 1, [b'{"a":"b"}']), since_ms=5) == []


def test_changes_of_what_was_told_are_told_once_and_those_of_what_was_not_come_with_it() -> None:
    changes = {2: Change("redacted", "mod", 50), 5: Change("edited", "ann", 60)}
    texts = {2: b'{"message":"","username":"ann","__createdtime__":2}'}
    found = unread("a:5", "a:4", 5, entries(5), changes=changes, texts=texts)
    events = message_events("tea", found, 0)
    assert json.loads(events[0].data) == {
        "type": "changed", "room": "tea", "id": "a:2", "kind": "redacted", "message": "", "by": "mod", "at": 50,
    }  # fmt: skip
    assert [json.loads(each.data)["type"] for each in events] == ["changed", "message"]
    assert known_after(found, events) == {2: 50, 5: 60}
    assert known_after(found, events[:1]) == {2: 50}
    again = unread("a:5", "a:5", 6, [], changes=changes, texts=texts, known={2: 50, 5: 60})
    assert message_events("tea", again, 0) == []
    edited = again._replace(changes={**changes, 5: Change("redacted", "mod", 61)})
    assert [(each["id"], each["at"]) for each in told(edited)] == [("a:5", 61)]
