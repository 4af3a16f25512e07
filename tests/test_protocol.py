"""The wire contract's words: parsing, positions, the error table, and packets spliced without parsing."""

from __future__ import annotations

import json
import random
import string
from typing import Any

import orjson
import pytest

from gateway.client_events import EVENTS, History, Join, Leave, Members, Send, parse
from gateway.option_groups import Sizes
from gateway.protocol import (
    ERRORS,
    Position,
    Refusal,
    acknowledgement_packet,
    entry,
    event_packet,
    notice_json,
    readable_entry,
    receive_json,
)

SIZES = Sizes()
HERE = Position("a1b2", 7)


def refused(name: object, *arguments: Any) -> Refusal:
    """The refusal of an event that is not understood."""
    with pytest.raises(Refusal) as error:
        parse(name, list(arguments), SIZES)
    return error.value


# -- positions


@pytest.mark.parametrize("position", [Position("a1b2", 0), Position("e", 1), Position("x" * 20, 2**52)])
def test_a_position_reads_what_it_writes(position: Position) -> None:
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text", ["", ":", "a", "a:", ":1", "a:-1", "a:1.5", "a: 1", "a:1 ", "a:x", "a:١", "a:²", "a:" + "9" * 80]
)
def test_what_is_no_position_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a position"):
        Position.parse(text)


# -- events


def test_each_event_is_read_into_its_own_kind() -> None:
    join = {"username": "ann", "room": "r", "since": "a1b2:7"}
    assert parse("join", [join], SIZES) == Join("ann", "r", HERE)
    assert parse("join", [{"username": "ann", "room": "r"}], SIZES) == Join("ann", "r", None)
    send = {"username": "ann", "room": "r", "message": "m", "idempotency_key": "k"}
    assert parse("send", [send], SIZES) == Send("ann", "r", "m", "k")
    assert parse("send", [{"room": "r", "message": "m"}], SIZES) == Send(None, "r", "m", None)
    assert parse("leave", [{"username": "ann", "room": "r"}], SIZES) == Leave("ann", "r")
    assert parse("leave", [{"room": "r"}], SIZES) == Leave(None, "r")
    assert parse("members", [{"room": "r"}], SIZES) == Members("r")
    assert parse("history", [{"room": "r"}], SIZES) == History("r", None, 100)
    page = {"room": "r", "before": "a1b2:7", "limit": 5}
    assert parse("history", [page], SIZES) == History("r", HERE, 5)
    assert EVENTS == ("join", "send", "leave", "members", "history")


def test_fields_that_nobody_knows_and_further_arguments_are_passed_over() -> None:
    data = {"username": "ann", "room": "r", "__createdtime__": 1, "extra": {"deep": []}}
    assert parse("join", [data, "more", 2], SIZES) == Join("ann", "r", None)


@pytest.mark.parametrize("name", ["Join", "", "nonsense", "x" * 1000, 7, None, 1.5, "\ud800"])
def test_an_unknown_event_is_told_which_are_known(name: object) -> None:
    refusal = refused(name, {})
    assert refusal.code == "bad_request"
    assert "known are join, send, leave, members, history" in refusal.sentence
    assert len(refusal.sentence) < 300
    refusal.sentence.encode()


@pytest.mark.parametrize("arguments", [[], [None], ["text"], [7], [[]], [True], [[{"room": "r"}]]])
@pytest.mark.parametrize("name", EVENTS)
def test_the_data_must_be_one_object(name: str, arguments: list[Any]) -> None:
    refusal = refused(name, *arguments)
    assert (refusal.code, refusal.sentence) == (
        "bad_request",
        f"The data of '{name}' must be one JSON object.",
    )


@pytest.mark.parametrize("value", [None, 7, [], {}, True, ""])
@pytest.mark.parametrize(("name", "field"), [("join", "username"), ("join", "room"), ("send", "message")])
def test_a_field_must_be_a_string_that_is_not_empty(name: str, field: str, value: object) -> None:
    data = {"username": "ann", "room": "r", "message": "m", field: value}
    refusal = refused(name, data)
    assert (refusal.code, f"'{field}'" in refusal.sentence) == ("bad_request", True)
    del data[field]
    assert refused(name, data).code == "bad_request"


@pytest.mark.parametrize(
    ("name", "field", "most"),
    [
        ("join", "room", 128),
        ("join", "username", 64),
        ("send", "message", 4096),
        ("send", "idempotency_key", 128),
    ],
)
def test_sizes_are_in_characters_and_exact(name: str, field: str, most: int) -> None:
    data = {"username": "ann", "room": "r", "message": "m"}
    parse(name, [{**data, field: "ä" * most}], SIZES)
    refusal = refused(name, {**data, field: "ä" * (most + 1)})
    assert (refusal.code, str(most) in refusal.sentence) == ("too_large", True)


@pytest.mark.parametrize("letter", ["\x00", "\n", "\x1f", "\x7f", "\x80", "\x9f"])
@pytest.mark.parametrize("field", ["room", "username"])
def test_names_have_no_control_characters(field: str, letter: str) -> None:
    refusal = refused("join", {"username": "ann", "room": "r", field: f"a{letter}b"})
    assert (refusal.code, "control characters" in refusal.sentence) == ("bad_request", True)


@pytest.mark.parametrize("room", ["a{b", "}", "{}"])
def test_a_room_has_no_braces_because_they_are_hash_tags(room: str) -> None:
    assert refused("join", {"username": "ann", "room": room}).code == "bad_request"
    parse("join", [{"username": "{ann}", "room": "r"}], SIZES)


@pytest.mark.parametrize(
    "text", ["茶室", "a b", "zero\u200bwidth", "\u202eright to left", "🙂", "%s %d", "'--"]
)
def test_names_may_be_anything_else(text: str) -> None:
    assert parse("join", [{"username": text, "room": text}], SIZES) == Join(text, text, None)


@pytest.mark.parametrize("field", ["room", "username", "message", "idempotency_key"])
def test_half_a_surrogate_pair_is_refused_before_it_breaks_anything(field: str) -> None:
    data = {"username": "ann", "room": "r", "message": "m", field: "a\ud83d"}
    assert refused("send", data).code == "bad_request"


def test_the_systems_name_is_refused_to_people_who_join() -> None:
    assert refused("join", {"username": "ChatBot", "room": "r"}).code == "name_taken_by_system"
    other = Sizes(system_name="Bot")
    assert parse("join", [{"username": "ChatBot", "room": "r"}], other) == Join("ChatBot", "r", None)


@pytest.mark.parametrize("value", ["7", 7, "", [], {}, True, "a:b"])
@pytest.mark.parametrize(("name", "field"), [("join", "since"), ("history", "before")])
def test_a_position_that_is_none_is_a_bad_request(name: str, field: str, value: object) -> None:
    refusal = refused(name, {"username": "ann", "room": "r", field: value})
    assert (refusal.code, field in refusal.sentence) == ("bad_request", True)


@pytest.mark.parametrize("limit", [0, -1, 101, 1.5, "5", None, True, 10**30])
def test_a_limit_is_a_whole_number_from_1_to_100(limit: object) -> None:
    assert refused("history", {"room": "r", "limit": limit}).code == "bad_request"


def test_random_input_is_understood_or_refused_and_nothing_else() -> None:
    draw = random.Random(7)
    words = [*EVENTS, "username", "room", "message", "since", "before", "limit", "idempotency_key", "x"]

    def value(depth: int = 0) -> Any:
        kind = draw.randrange(9 if depth < 3 else 6)
        if kind == 0:
            return draw.choice([None, True, False])
        if kind == 1:
            return draw.choice([0, -1, 10**20, 1.5, float("inf")])
        if kind in (2, 3, 4, 5):
            return "".join(draw.choices(string.printable + "ä茶🙂\ud800\x00{}", k=draw.randrange(6)))
        if kind == 6:
            return [value(depth + 1) for _ in range(draw.randrange(3))]
        return {draw.choice(words): value(depth + 1) for _ in range(draw.randrange(6))}

    understood = 0
    for _ in range(20_000):
        try:
            parse(draw.choice([*EVENTS, value()]), [value() for _ in range(draw.randrange(3))], SIZES)
            understood += 1
        except Refusal as refusal:
            orjson.dumps(refusal.as_error())
    assert understood > 20


# -- errors


def test_every_error_has_a_sentence_and_says_whether_to_retry() -> None:
    assert set(ERRORS) == {
        "bad_request", "too_large", "unauthorized", "forbidden", "not_joined", "name_taken_by_system",
        "name_taken", "not_found",
        "room_limit", "room_full", "rate_limited", "gap", "unavailable", "shutting_down", "internal",
    }  # fmt: skip
    assert all(kind.sentence.endswith((".", "again", "again.")) for kind in ERRORS.values())
    retryable = {code for code, kind in ERRORS.items() if kind.is_retryable}
    assert retryable == {"not_joined", "room_full", "rate_limited", "unavailable", "shutting_down"}


def test_an_error_says_what_is_known_and_nothing_empty() -> None:
    refusal = Refusal("rate_limited", retry_after_ms=100)
    assert refusal.as_error(event="send", room=None) == {
        "message": ERRORS["rate_limited"].sentence,
        "code": "rate_limited",
        "retryable": True,
        "event": "send",
        "retry_after_ms": 100,
    }
    assert refusal.as_acknowledgement() == {
        "ok": False,
        "message": ERRORS["rate_limited"].sentence,
        "code": "rate_limited",
        "retryable": True,
        "retry_after_ms": 100,
    }


# -- what leaves


def test_a_stored_message_is_the_seeds_json_in_its_order() -> None:
    stored = entry('say "hi" / 茶\n', "ann", 1_700_000_000_000)
    assert list(json.loads(stored)) == ["message", "username", "__createdtime__"]
    assert json.loads(stored) == {
        "message": 'say "hi" / 茶\n',
        "username": "ann",
        "__createdtime__": 1_700_000_000_000,
    }


@pytest.mark.parametrize("room", ["r", 'quote " and \\', "茶室"])
def test_room_and_id_are_spliced_into_what_is_stored(room: str) -> None:
    data = json.loads(receive_json(entry("m", "ann", 7), orjson.dumps(room), HERE))
    assert data == {"message": "m", "username": "ann", "__createdtime__": 7, "room": room, "id": "a1b2:7"}


def test_an_entry_of_the_old_service_with_spaces_keeps_them() -> None:
    old = b' {"message": "m", "username": "ann", "__createdtime__": 7}\n'
    data = receive_json(readable_entry(old), b'"r"', HERE)
    assert data == b'{"message": "m", "username": "ann", "__createdtime__": 7,"room":"r","id":"a1b2:7"}'


UNREADABLE = [
    b"",
    b"{}",
    b"{ }",
    b"{\n}",
    b"text",
    b"[1]",
    b"null",
    b"{",
    b"}",
    b"{x}",
    b'{"message":"a"',
    b'{"message":"a",}',
    b'{"a":\xff}',
    b'{"message":"\xed\xa0\x80"}',
    b'{"a":1} {"b":2}',
    b'{"a":NaN}',
    b'{"a":"\\u12"}',
    b'{"a":Infinity,"b":"\\ud83d"}',
    b"\x80\x02}q\x00.",
    b'{"a":"line\nbreak"}',
    b'{"a":' * 3000,
    b'{"a":' * 3000 + b"1" + b"}" * 3000,
]


@pytest.mark.parametrize("stored", UNREADABLE, ids=lambda stored: repr(stored[:30]))
def test_an_entry_by_somebodys_hand_becomes_an_empty_message(stored: bytes) -> None:
    data = json.loads(receive_json(readable_entry(stored), b'"r"', HERE))
    assert (data["message"], data["username"], data["id"]) == ("", "", "a1b2:7")


def test_an_entry_with_half_a_surrogate_pair_stays_as_the_old_service_wrote_it() -> None:
    old = json.dumps({"message": "half \ud83d", "username": "ann", "__createdtime__": 7}).encode()
    assert readable_entry(old) == old


def test_a_notice_has_a_room_and_no_id() -> None:
    data = json.loads(notice_json("ann has joined the room", "ChatBot", b'"r"', 7))
    assert data == {
        "message": "ann has joined the room",
        "username": "ChatBot",
        "__createdtime__": 7,
        "room": "r",
    }


def test_packets_are_engine_io_messages_around_socket_io_ones() -> None:
    assert event_packet("error", b'{"a":1}') == b'42["error",{"a":1}]'
    assert acknowledgement_packet(17, b'{"ok":true}') == b'4317[{"ok":true}]'
