"""What workers count becomes what the Admin UI adds up."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from gateway.admin.ui_facts import counted
from gateway.admin.ui_stats import SILENT, Look, Servers, read

NOW_S = 1_000_000.9


def told(packets: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "host": "a", "pid": 7, "uptime_s": 1.5, "clients": 3, "polling": 1, "namespaces": {"/": 2, "/admin": 1},
        "counted": [["packetsIn", None, packets], ["rawDisconnection", "ping timeout", packets]], **more,
    }  # fmt: skip


def events(found: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [each["aggregatedEvents"] for each in found]


def tell(servers: Servers, living: Collection[str] | None = None, **answers: Any) -> list[dict[str, Any]]:
    return list(servers.tell(Look(answers if living is None else living, answers), NOW_S))


def test_a_server_is_told_in_the_words_of_the_ui() -> None:
    (stats,) = tell(Servers(), w1=told(5))
    assert stats == {
        "serverId": "w1", "hostname": "a", "pid": 7, "uptime": 1.5, "clientsCount": 3, "pollingClientsCount": 1,
        "namespaces": [{"name": "/", "socketsCount": 2}, {"name": "/admin", "socketsCount": 1}],
        "aggregatedEvents": [],
    }  # fmt: skip


def test_events_are_what_is_new_since_the_last_time_by_worker() -> None:
    servers = Servers()
    assert events(tell(servers, w1=told(5), w2=told(50))) == [[], []]
    in_ms = {"timestamp": 1_000_000_000, "count": 2}
    assert events(tell(servers, w1=told(7), w2=told(50))) == [
        [{"type": "packetsIn", **in_ms}, {"type": "rawDisconnection", "subType": "ping timeout", **in_ms}],
        [],
    ]


def test_a_worker_that_missed_a_question_brings_what_happened_meanwhile() -> None:
    servers = Servers()
    tell(servers, w1=told(5))
    assert tell(servers, ["w1"]) == []
    assert [each["count"] for each in events(tell(servers, w1=told(8)))[0]] == [3, 3]


def test_a_worker_that_is_silent_is_told_of_once_more_without_clients_and_then_forgotten() -> None:
    for living in (["w1"], []):
        servers = Servers()
        tell(servers, w1=told(5))
        rounds = [tell(servers, living) for _ in range(SILENT + 3)]
        assert [len(each) for each in rounds] == [0] * (SILENT - 1) + [1] + [0] * 3
        (last,) = rounds[SILENT - 1]
        assert (last["serverId"], last["hostname"], last["clientsCount"]) == ("w1", "a", 0)
        assert {each["socketsCount"] for each in last["namespaces"]} == {0}
        assert events(tell(servers, w1=told(9))) == [[]]


def test_a_worker_that_never_answers_is_told_of_by_its_id() -> None:
    servers = Servers()
    (last,) = [each for _ in range(SILENT + 3) for each in tell(servers, ["w1"])]
    assert (last["serverId"], last["clientsCount"]) == ("w1", 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pid": None}, {"clients": "many"}, {"namespaces": []}, {"namespaces": {"/": []}}, {"counted": 7},
        {"counted": [[1, 2]]}, {"uptime_s": {}}, {"counted": [["packetsIn", None, float("inf")]]},
    ],
    ids=lambda wrong: str(next(iter(wrong.items())))[:30],
)  # fmt: skip
def test_an_answer_that_nobody_can_read_is_left_out(wrong: dict[str, Any]) -> None:
    assert tell(Servers(), w1=told(**wrong)) == []


def test_what_a_worker_answers_can_be_read() -> None:
    stats = read("w1", told(counted=counted()))
    assert stats is not None
    assert {kind for kind, _ in stats.counts} == {
        "rawConnection", "rawDisconnection", "packetsIn", "packetsOut", "bytesOut",
    }  # fmt: skip
