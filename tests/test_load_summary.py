"""The end of a load test: its table, and whether it fails."""

from __future__ import annotations

import pytest

from loadtest.ledger import Ledger
from loadtest.summary import exit_status, summary


def _talk(ledger: Ledger, room: str, delivered: list[int], sent: int = 3) -> None:
    """One talker and one listener, who gets the messages with these numbers."""
    for member in ("talker", "listener"):
        ledger.joined(member, room, "e:0")
    for number in range(1, sent + 1):
        ledger.sent("talker", room, f"m{number}", number)
        ledger.acknowledged("talker", room, f"m{number}", f"e:{number}")
        ledger.received("talker", room, f"m{number}", f"e:{number}", number)
    for number in delivered:
        ledger.received("listener", room, f"m{number}", f"e:{number}", number)


def test_a_run_in_which_everybody_got_everything_ends_well() -> None:
    ledger = Ledger()
    _talk(ledger, "room", [1, 2, 3])
    report = ledger.judge()
    assert exit_status(report) == 0
    assert "Nothing missing, doubled or out of order." in summary(report)


@pytest.mark.parametrize(
    ("delivered", "breach"),
    [([1, 2], "missing"), ([1, 3], "missing"), ([1, 2, 2, 3], "doubled"), ([1, 3, 2], "misordered")],
)
def test_a_breach_ends_the_run_badly_and_is_named(delivered: list[int], breach: str) -> None:
    ledger = Ledger()
    _talk(ledger, "room", delivered)
    report = ledger.judge()
    assert exit_status(report) == 1
    assert getattr(report, breach) > 0
    assert f"  {breach}: room room:" in summary(report)


def test_a_run_in_which_nothing_was_delivered_proves_nothing() -> None:
    report = Ledger().judge()
    assert exit_status(report) == 1
    assert "nothing is proved" in summary(report)


def test_the_worst_room_comes_first_after_all_rooms_together() -> None:
    ledger = Ledger()
    for number in range(8):
        _talk(ledger, f"good-{number}", [1, 2, 3])
    _talk(ledger, "bad", [1])
    lines = summary(ledger.judge()).splitlines()
    assert lines[1].split()[:6] == ["all", "9", "rooms", "27", "27", "52"]
    assert lines[2].split()[0] == "bad"
    assert sum(line.strip().startswith("good-") for line in lines) == 4
