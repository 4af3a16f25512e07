"""The first page of the dashboard, of answers that workers gave."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.admin.looking import Overview
from gateway.admin.overview_page import UNKNOWN, overview
from gateway.admin.pages import Frame

FRAME = Frame("/admin", "admin.css", "admin.js")


def _answer(**more: Any) -> dict[str, Any]:
    return {
        "state": "ready", "host": "a", "connections": 3, "rooms": 1, "memberships": 3, "messages_s": 0.0,
        "deliveries_s": 0.0, "busiest": [], "largest": [["tea", 3]], "slowest": [], "recent": None, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "is_known"),
    [({"has_rates": True}, True), ({"has_rates": False}, False), ({}, True)],
    ids=["looked before", "first look", "older worker"],
)
def test_a_rate_that_no_worker_can_know_yet_is_not_shown_as_nothing(
    more: dict[str, Any], is_known: bool
) -> None:
    regions = overview(FRAME, Overview({"one": _answer(**more)}, [], [("tea", 3)]))
    assert ("Nothing is said now." in regions["busy"]) is is_known
    assert (UNKNOWN in regions["totals"]) is not is_known
    assert (UNKNOWN in regions["workers"]) is not is_known
