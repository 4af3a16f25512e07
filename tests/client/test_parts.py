"""The small parts of the client: what waits, who types, what is unread, when to try again, who reads along."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from gateway.client import feed
from gateway.client.errors import ChatError, refusal
from gateway.client.feed import Feed, Noticed, Reloaded
from gateway.client.marks import Mark
from gateway.client.outbox import WAITING_MAX, Outbox, Pending
from gateway.client.retrying import ask_pause_s, connect_pause_s, is_final
from gateway.client.typists import Typists


async def test_what_is_said_is_awaited_for_its_position() -> None:
    outbox, pending = Outbox(100), Pending("lobby", "Hi", {"reply": 1})
    outbox.add(pending)
    assert outbox.first(0) is pending
    assert pending.state == "waiting"
    outbox.settle(pending, "a:1")
    assert (await pending, pending.state, len(outbox)) == ("a:1", "sent", 0)
    assert pending.said() == {
        "room": "lobby", "message": "Hi", "idempotency_key": pending.key, "meta": {"reply": 1},
    }  # fmt: skip


async def test_what_may_be_stored_is_not_repeated_when_its_key_is_forgotten() -> None:
    """It would be stored twice. What never left waits as long as it must."""
    outbox, left, kept = Outbox(100), Pending("lobby", "left"), Pending("lobby", "kept")
    outbox.add(left)
    outbox.add(kept)
    left.unsure_since_s = 10.0
    assert outbox.first(109) is left
    assert outbox.first(110) is kept
    assert outbox.first(1e9) is kept
    with pytest.raises(ChatError, match="no_answer"):
        await left


async def test_no_more_waits_than_can_be_kept() -> None:
    outbox = Outbox(100)
    for number in range(WAITING_MAX):
        outbox.add(Pending("lobby", str(number)))
    with pytest.raises(ChatError, match="queue_full"):
        outbox.add(Pending("lobby", "one more"))
    first = outbox.pending[0]
    outbox.fail_all(ChatError("closed", "The end."))
    assert (len(outbox), first.state) == (0, "failed")


def test_typing_is_said_every_four_seconds_and_heard_for_six() -> None:
    typists = Typists()
    assert [typists.say(at) for at in (0.0, 3.9, 4.0, 5.0)] == [True, False, True, False]
    typists.sent()
    assert typists.say(5.0)
    typists.heard("Ada", 0)
    typists.heard("Bob", 3)
    assert typists.names(5.9) == ["Ada", "Bob"]
    assert typists.names(6.0) == ["Bob"]
    typists.stopped("Bob")
    assert typists.names(6.0) == []


def test_what_is_unread_is_counted_from_the_mark() -> None:
    mark = Mark()
    assert mark.unread("a:9") is None, "nobody has said it yet"
    mark.heard(None)
    assert mark.unread("a:9") == 9
    assert mark.move("a:7")
    assert not mark.move("a:6"), "it moves forward only"
    assert mark.unread("a:9") == 2
    mark.heard("a:3")
    assert mark.read == "a:7", "what the gateway has not heard yet is further"
    assert mark.unread("b:1") is None
    assert mark.move("b:1")


def test_a_guest_has_read_what_was_there_before() -> None:
    mark = Mark()
    mark.begin("a:9")
    mark.begin("a:11")
    assert mark.unread("a:12") == 3


def test_pauses_are_full_of_chance_and_no_longer_than_half_a_minute() -> None:
    pauses = [connect_pause_s(attempt, None) for attempt in range(100) for _ in range(10)]
    assert max(pauses) <= 30
    assert min(pauses) < 1
    slow = ChatError("rate_limited", "", True, 7.0)
    assert ask_pause_s(0, slow) >= 7
    assert connect_pause_s(0, slow) >= 7


@pytest.mark.parametrize(
    ("retryable", "in_a_row", "has_tokens", "final"),
    [(True, 9, False, False), (False, 1, False, True), (False, 1, True, False), (False, 2, True, True)],
)
def test_a_refusal_is_final_when_a_token_fetched_anew_is_refused_too(
    retryable: bool, in_a_row: int, has_tokens: bool, final: bool
) -> None:
    assert is_final(ChatError("unauthorized", "", retryable), in_a_row, has_tokens) is final


def test_a_refusal_is_read_with_what_it_says_beside() -> None:
    error = refusal(
        {"code": "forbidden", "message": "No.", "retryable": False, "reason": "muted", "until": 5}
    )
    assert (error.code, str(error), error.about) == (
        "forbidden",
        "forbidden: No.",
        {"reason": "muted", "until": 5},
    )
    assert refusal({"code": "rate_limited", "retry_after_ms": 250}).retry_after_s == 0.25
    assert refusal({}).code == "bad_answer"


async def test_a_reader_that_is_slow_is_told_to_look_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "WAITING_MAX", 3)
    made = Feed()
    events = made.events()
    for number in range(4):
        made.publish(Noticed("lobby", str(number)))
    made.publish(Noticed("tea", "4"))
    made.close()
    assert [each async for each in events] == [Reloaded("lobby", False), Noticed("tea", "4")]


async def test_a_reader_that_nobody_has_any_more_is_forgotten() -> None:
    made = Feed()
    made.events()
    made.publish(Noticed("lobby", "nobody listens"))
    assert not made._readers
    reading = asyncio.ensure_future(anext(made.events()))
    await asyncio.sleep(0)
    made.publish(Noticed("lobby", "heard"))
    assert await reading == Noticed("lobby", "heard")


def test_a_program_that_imports_the_client_loads_no_gateway() -> None:
    code = "import sys, gateway.client; print(sorted(each for each in sys.modules if each.startswith('gateway.')))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "gateway.client.chat" in ran.stdout
    for loaded in ("server", "metrics", "settings", "transport", "redis"):
        assert f"'gateway.{loaded}" not in ran.stdout
