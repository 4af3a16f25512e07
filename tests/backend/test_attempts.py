"""When a call is tried again, and how an answer is read."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from gateway.backend import BackendError, calls
from gateway.backend.attempts import answer_of, body_of, pause_s

CALL = calls.publish("r", "m")
UNAVAILABLE = BackendError("unavailable", "s", True, 503)


def test_the_pause_doubles_and_is_never_the_same_for_all() -> None:
    assert [pause_s(CALL, UNAVAILABLE, n, 99, 1.0) for n in (1, 2, 3, 9)] == [0.1, 0.2, 0.4, 2.0]
    assert pause_s(CALL, UNAVAILABLE, 1, 99, 0.0) == 0.05
    assert pause_s(CALL, UNAVAILABLE, 10_000, 99, 1.0) == 2.0


def test_what_the_gateway_asks_for_is_waited_for_if_there_is_time() -> None:
    limited = BackendError("rate_limited", "s", True, 429, 3.0)
    assert pause_s(CALL, limited, 1, 99, 1.0) == 3.025
    assert pause_s(CALL, limited, 1, 3.0, 1.0) is None
    assert pause_s(CALL, UNAVAILABLE, 1, 0.04, 0.0) is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 500])
def test_what_cannot_pass_is_not_tried_again(status: int) -> None:
    assert pause_s(CALL, BackendError("x", "s", True, status), 1, 99, 0.5) is None
    assert pause_s(CALL, BackendError("x", "s", False, 503), 1, 99, 0.5) is None


def test_a_signal_is_never_repeated_nor_is_what_holds_one() -> None:
    signal = calls.signal("typing", room="r")
    assert pause_s(signal, UNAVAILABLE, 1, 99, 0.5) is None
    assert pause_s(calls.batch([CALL, signal]), UNAVAILABLE, 1, 99, 0.5) is None
    assert pause_s(calls.batch([CALL]), UNAVAILABLE, 1, 99, 0.5) is not None


def test_each_publish_has_a_key_of_its_own_in_a_batch_too() -> None:
    keys = {
        call.sent["idempotency_key"] for call in (CALL, calls.publish("r", "m"), calls.broadcast(["r"], "m"))
    }
    assert len(keys) == 3
    sent = json.loads(body_of(calls.batch([CALL, calls.publish("r", "m", idempotency_key="mine")])))
    assert [each["idempotency_key"] for each in sent["commands"]] == [CALL.sent["idempotency_key"], "mine"]
    assert "parallel" not in sent


@pytest.mark.parametrize("value", [float("nan"), object(), b"x"])
def test_what_is_no_json_is_not_sent(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        body_of(calls.signal("k", value, room="r"))


REFUSED = {"code": "forbidden", "message": "No.", "retryable": False, "reason": "muted"}


def test_a_refusal_is_an_error_with_all_that_it_says() -> None:
    with pytest.raises(BackendError) as refused:
        answer_of(CALL, 403, None, json.dumps(REFUSED).encode())
    error = refused.value
    assert (error.code, error.message, error.retryable, error.status) == ("forbidden", "No.", False, 403)
    assert error.about == {"reason": "muted"}
    assert str(error) == "forbidden: No."


def test_an_error_can_be_pickled_as_task_queues_do() -> None:
    error = BackendError("rate_limited", "Wait.", True, 429, 1.5, {"reason": "x"})
    again = pickle.loads(pickle.dumps(error))
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    ("headers", "more", "wait_s"),
    [
        ("2", {}, 2.0),
        ("2", {"retry_after_ms": 300}, 0.3),
        ("soon", {}, None),
        (None, {}, None),
        ("²", {}, None),
    ],
)
def test_the_milliseconds_of_the_body_are_nearer_than_the_header(
    headers: str | None, more: dict[str, Any], wait_s: float | None
) -> None:
    with pytest.raises(BackendError) as refused:
        answer_of(CALL, 429, headers, json.dumps({**REFUSED, **more}).encode())
    assert refused.value.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"<html>"),
        (502, b""),
        (301, b"{}"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"id": "e:1"}'),
        (200, b"[" * 100_000),
        (500, b'{"detail": "x"}'),
    ],
)
def test_what_is_no_answer_of_the_api_is_said_to_be_none(status: int, body: bytes) -> None:
    with pytest.raises(BackendError) as refused:
        answer_of(CALL, status, None, body)
    assert (refused.value.code, refused.value.status) == ("bad_answer", status)
    assert refused.value.retryable == (status == 502)


def test_a_batch_answers_with_values_and_errors_in_their_places() -> None:
    batch = calls.batch([CALL, calls.members("r"), calls.unban("u")])
    results = [{"id": "e:1", "duplicate": False}, REFUSED, {}]
    found = answer_of(batch, 200, None, json.dumps({"results": results}).encode())
    assert (found[0].id, found[1].code, found[2]) == ("e:1", "forbidden", None)


def test_fields_that_a_newer_gateway_adds_are_left_out() -> None:
    answer = {"connections": 1, "rooms": 2, "new": 3, "workers": [
        {"worker": "w", "state": "ready", "connections": 1, "rooms": 2, "more": []}]}  # fmt: skip
    assert answer_of(calls.stats(), 200, None, json.dumps(answer).encode()).workers[0].worker == "w"
