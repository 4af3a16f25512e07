"""What workers count becomes what the Admin UI adds up."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.admin.ui_facts import counted
from gateway.admin.ui_stats import NewEvents, read

NOW_S = 1_000_000.9


def told(packets: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "host": "a", "pid": 7, "uptime_s": 1.5, "clients": 3, "polling": 1, "namespaces": {"/": 2, "/admin": 1},
        "counted": [["packetsIn", None, packets], ["rawDisconnection", "ping timeout", packets]], **more,
    }  # fmt: skip


def events(found: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [each["aggregatedEvents"] for each in found]


def test_a_server_is_told_in_the_words_of_the_ui() -> None:
    (stats,) = NewEvents().tell({"w1": told(5)}, NOW_S)
    assert stats == {
        "serverId": "w1", "hostname": "a", "pid": 7, "uptime": 1.5, "clientsCount": 3, "pollingClientsCount": 1,
        "namespaces": [{"name": "/", "socketsCount": 2}, {"name": "/admin", "socketsCount": 1}],
        "aggregatedEvents": [],
    }  # fmt: skip


def test_events_are_what_is_new_since_the_last_time_by_worker() -> None:
    new = NewEvents()
    assert events(list(new.tell({"w1": told(5), "w2": told(50)}, NOW_S))) == [[], []]
    in_ms = {"timestamp": 1_000_000_000, "count": 2}
    assert events(list(new.tell({"w1": told(7), "w2": told(50)}, NOW_S))) == [
        [{"type": "packetsIn", **in_ms}, {"type": "rawDisconnection", "subType": "ping timeout", **in_ms}],
        [],
    ]


def test_a_worker_that_comes_later_brings_nothing_from_before_and_one_that_is_gone_is_forgotten() -> None:
    new = NewEvents()
    list(new.tell({"w1": told(5)}, NOW_S))
    assert events(list(new.tell({"w2": told(9)}, NOW_S))) == [[]]
    assert events(list(new.tell({"w1": told(8), "w2": told(9)}, NOW_S))) == [[], []]


@pytest.mark.parametrize(
    "wrong",
    [
        {"pid": None}, {"clients": "many"}, {"namespaces": []}, {"namespaces": {"/": []}}, {"counted": 7},
        {"counted": [[1, 2]]}, {"uptime_s": {}}, {"counted": [["packetsIn", None, float("inf")]]},
    ],
    ids=lambda wrong: str(next(iter(wrong.items())))[:30],
)  # fmt: skip
def test_an_answer_that_nobody_can_read_is_left_out(wrong: dict[str, Any]) -> None:
    assert list(NewEvents().tell({"w1": told(**wrong)}, NOW_S)) == []


def test_what_a_worker_answers_can_be_read() -> None:
    stats = read("w1", told(counted=counted()))
    assert stats is not None
    assert {kind for kind, _ in stats.counts} == {
        "rawConnection", "rawDisconnection", "packetsIn", "packetsOut", "bytesOut",
    }  # fmt: skip
