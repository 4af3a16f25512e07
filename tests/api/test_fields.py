"""The method table and its requests: whatever comes, a request or a refusal; and what a document is made from."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from gateway.access.api_keys import SCOPES
from gateway.api.answers import STATUSES, status_of
from gateway.api.fields import fields_of, parse
from gateway.api.load import BODY_BYTES_MAX, ROOMS_MAX, Load
from gateway.api.methods import COMMON_ERRORS, METHODS, Rooms
from gateway.option_groups import Sizes
from gateway.protocol import ERRORS, Refusal

SIZES = Sizes()


def test_every_row_of_the_table_can_be_documented() -> None:
    for name, method in METHODS.items():
        assert method.name == name
        assert method.scope in ("", *SCOPES)
        assert method.request.__doc__
        assert set(method.errors) <= set(ERRORS)
        assert not set(method.errors) & set(COMMON_ERRORS)
        for field in fields_of(method.request):
            assert field.meaning.endswith(".")
            assert field.kind.json_type in (
                "string",
                "integer",
                "number",
                "boolean",
                "array",
                "object",
                "any",
            )
            assert field.kind.allowed
        if method.rooms is Rooms.ONE:
            assert "room" in [field.name for field in fields_of(method.request)]


def test_every_error_has_a_status_of_the_few_that_there_are() -> None:
    assert {kind.http_status for kind in ERRORS.values()} <= set(STATUSES)
    assert status_of(Refusal("bad_request", reason="key_reused")) == 409
    assert all((kind.http_status in (429, 503)) <= kind.is_retryable for kind in ERRORS.values())


def test_whatever_comes_is_a_request_or_a_refusal() -> None:
    draw = random.Random(9)
    words: list[Any] = [
        "", "a", "x" * 200, "{", "a\x00", "\ud83d", "e\u0301", "ChatBot", "ChatВot", "1.2.3.4", "::/0", "a:1", "a:",
        0, -1, 1, 1.5, 1e400, 10**400, True, None, [], {}, [[]], {"a": 1}, ["a"], ["a", "a"], "e1:" + "9" * 80,
    ]  # fmt: skip
    names = [field.name for method in METHODS.values() for field in fields_of(method.request)]
    understood, refused = 0, []
    for _ in range(20_000):
        request = draw.choice(list(METHODS.values())).request
        fields = [field.name for field in fields_of(request)] or names
        data = {draw.choice(fields): draw.choice(words) for _ in range(draw.randrange(5))}
        try:
            parse(request, draw.choice([data, data, data, draw.choice(words)]), SIZES)
            understood += 1
        except Refusal as refusal:
            refused.append(refusal)
    assert understood > 200
    assert {status_of(refusal) for refusal in refused} == {400, 409, 413}
    assert all(orjson.dumps(refusal.as_error()) for refusal in refused)


def test_null_is_as_if_it_were_left_out_and_a_field_of_no_method_is_refused() -> None:
    request = METHODS["publish"].request
    read = parse(request, {"room": "e\u0301", "message": "x", "username": None, "meta": None}, SIZES)
    assert (read.room, read.username, read.meta) == ("\u00e9", None, None)
    with pytest.raises(Refusal, match="no field 'massage'"):
        parse(request, {"room": "a", "message": "x", "massage": None}, SIZES)


def test_more_requests_or_bodies_than_one_worker_holds_are_refused_and_nothing_stays() -> None:
    load = Load(requests_max=2, bytes_max=2 * BODY_BYTES_MAX)
    with load.held(10), load.held(None):
        with pytest.raises(Refusal) as refused, load.held(0):
            pass
        assert (refused.value.code, refused.value.about["retry_after_ms"]) == ("rate_limited", 1000)
    with load.held(BODY_BYTES_MAX), pytest.raises(Refusal), load.held(BODY_BYTES_MAX + 1):
        pass
    assert (load.requests, load.bytes) == (0, 0)


def test_broadcasts_hold_so_many_rooms_and_publishes_make_so_many_a_second() -> None:
    load = Load()
    with load.held_rooms(ROOMS_MAX), pytest.raises(Refusal), load.held_rooms(1):
        pass
    assert load.rooms == 0
    for _ in range(20_000):
        load.make_room(1000.0)
    with pytest.raises(Refusal) as refused:
        load.make_room(1000.0)
    assert 0 < refused.value.about["retry_after_ms"] <= 1
    load.make_room(1000.001)
