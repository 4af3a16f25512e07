"""Signals, marks and questions for unread messages, as they are read from what came."""

from __future__ import annotations

import random
import string
from typing import Any

import orjson
import pytest

from gateway.client_events import META_BYTES_MAX, Send, parse
from gateway.option_groups import Sizes
from gateway.protocol import Position, Refusal
from gateway.talk_events import DATA_BYTES_MAX, KIND_MAX, ROOMS_MAX, Read, Signal, Unread

SIZES = Sizes()


def refused(name: str, data: dict[str, Any]) -> str:
    with pytest.raises(Refusal) as refusal:
        parse(name, [data], SIZES)
    refusal.value.sentence.encode()
    return refusal.value.code


def test_each_is_read_into_its_own_kind() -> None:
    assert parse("signal", [{"room": "r", "kind": "typing"}], SIZES) == Signal("r", "typing", b"")
    with_data = {"room": "r", "kind": "typing", "data": {"é": [1, None, 0.5]}}
    assert parse("signal", [with_data], SIZES) == Signal("r", "typing", '{"é":[1,null,0.5]}'.encode())
    assert parse("signal", [{**with_data, "data": 0}], SIZES) == Signal("r", "typing", b"0")
    assert parse("read", [{"room": "r", "id": "e:7"}], SIZES) == Read("r", Position("e", 7))
    assert parse("unread", [{"rooms": ["b", "a", "b", "e\u0301"]}], SIZES) == Unread(("b", "a", "é"))


DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]

SIGNALS = [
    ({}, "bad_request"),
    ({"kind": 7}, "bad_request"),
    ({"kind": ""}, "bad_request"),
    ({"kind": "x" * (KIND_MAX + 1)}, "too_large"),
    ({"kind": "_kicked"}, "bad_request"),
    ({"kind": "a\nb"}, "bad_request"),
    ({"kind": "\ud800"}, "bad_request"),
    ({"kind": "k", "data": "x" * (DATA_BYTES_MAX - 1)}, "too_large"),
    ({"kind": "k", "data": "é" * (DATA_BYTES_MAX // 2)}, "too_large"),
    ({"kind": "k", "data": {"a": "\ud83d"}}, "bad_request"),
    ({"kind": "k", "data": {"\udfff": 1}}, "bad_request"),
    ({"kind": "k", "data": 1 << 70}, "bad_request"),
    ({"kind": "k", "data": b"attached"}, "bad_request"),
    ({"kind": "k", "data": DEEP}, "bad_request"),
]


@pytest.mark.parametrize(("data", "code"), SIGNALS)
def test_a_signal_that_is_none_is_refused(data: dict[str, Any], code: str) -> None:
    assert refused("signal", {"room": "r", **data}) == code


def test_the_longest_signal_passes() -> None:
    longest = {"room": "r", "kind": "x" * KIND_MAX, "data": "x" * (DATA_BYTES_MAX - 2)}
    assert isinstance(parse("signal", [longest], SIZES), Signal)


@pytest.mark.parametrize("place", [None, "", "7", "e:", ":7", "e:x", "e:-1", 7, ["e:7"], "e:" + "9" * 64])
def test_a_mark_needs_the_id_of_a_message(place: object) -> None:
    assert refused("read", {"room": "r", "id": place}) == "bad_request"
    assert refused("read", {"room": "r"}) == "bad_request"


@pytest.mark.parametrize("rooms", [None, "r", {}, [], [7], [None], ["r", "a{b"], [""], [["r"]]])
def test_what_is_no_list_of_rooms_is_refused(rooms: object) -> None:
    assert refused("unread", {"rooms": rooms}) == "bad_request"


def test_so_many_rooms_pass_and_no_more() -> None:
    rooms = [f"r{number}" for number in range(ROOMS_MAX)]
    assert parse("unread", [{"rooms": rooms}], SIZES) == Unread(tuple(rooms))
    assert refused("unread", {"rooms": [*rooms, "r0"]}) == "too_large"


def test_random_input_is_understood_or_refused_and_nothing_else() -> None:
    draw = random.Random(7)
    words = ["room", "rooms", "kind", "data", "id", "meta", "message", "x"]

    def value(depth: int = 0) -> Any:
        kind = draw.randrange(9 if depth < 3 else 6)
        if kind == 0:
            return draw.choice([None, True, False, b"attached"])
        if kind == 1:
            return draw.choice([0, -1, 10**20, 1.5, float("inf"), float("nan")])
        if kind in (2, 3, 4, 5):
            return "".join(draw.choices(string.printable + "ä茶🙂\ud800\x00{}:", k=draw.randrange(6)))
        if kind == 6:
            return [value(depth + 1) for _ in range(draw.randrange(3))]
        return {draw.choice(words): value(depth + 1) for _ in range(draw.randrange(6))}

    understood = 0
    for _ in range(20_000):
        data = {"room": "r", "message": "m", draw.choice(words): value(), draw.choice(words): value()}
        try:
            parse(draw.choice(["signal", "read", "unread", "send"]), [data], SIZES)
            understood += 1
        except Refusal as refusal:
            orjson.dumps(refusal.as_error())
    assert understood > 1000


def test_meta_is_kept_as_it_was_written_but_for_spaces() -> None:
    said = {"room": "r", "message": "m", "meta": {"b": 1, "a": {"é": [True]}}}
    assert parse("send", [said], SIZES) == Send(None, "r", "m", None, '{"b":1,"a":{"é":[true]}}'.encode())
    assert parse("send", [{**said, "meta": None}], SIZES) == Send(None, "r", "m", None)
    assert parse("send", [{**said, "meta": {}}], SIZES) == Send(None, "r", "m", None, b"{}")


METAS = [
    (7, "bad_request"),
    ("text", "bad_request"),
    ([], "bad_request"),
    ({"a": "x" * (META_BYTES_MAX - 7)}, "too_large"),
    ({"a": "\ud800"}, "bad_request"),
    ({"a": 1 << 64}, "bad_request"),
    ({"a": b"attached"}, "bad_request"),
    ({"a": DEEP}, "bad_request"),
]


@pytest.mark.parametrize(("meta", "code"), METAS)
def test_meta_that_is_no_small_object_is_refused(meta: object, code: str) -> None:
    assert refused("send", {"room": "r", "message": "m", "meta": meta}) == code


def test_the_longest_meta_passes() -> None:
    read = parse("send", [{"room": "r", "message": "m", "meta": {"a": "x" * (META_BYTES_MAX - 8)}}], SIZES)
    assert isinstance(read, Send)
    assert len(read.meta) == META_BYTES_MAX
