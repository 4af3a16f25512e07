"""What may come from one address. Times are given."""

from __future__ import annotations

import pytest

from gateway.access import addresses as module
from gateway.access.addresses import Addresses
from gateway.limit_options import LimitOptions

SCHOOL, OTHER = "203.0.113.7", "203.0.113.8"
BEGUN_S = 5000.0


def addresses(**options: object) -> Addresses:
    return Addresses(LimitOptions(**options))  # type: ignore[arg-type]


def refused(counted: Addresses, address: str | None, number: int, now_s: float) -> int:
    return sum(counted.handshake(address, now_s) > 0 for _ in range(number))


def test_200_come_at_once_then_20_a_second_and_the_rest_is_told_when() -> None:
    counted = addresses()
    assert refused(counted, SCHOOL, 205, BEGUN_S) == 5
    assert counted.handshake(SCHOOL, BEGUN_S) == 1
    assert refused(counted, SCHOOL, 25, BEGUN_S + 1) == 5
    assert refused(counted, OTHER, 200, BEGUN_S + 1) == 0


@pytest.mark.parametrize(("one", "two", "is_same"), [
    ("2001:db8:1:2::7", "2001:db8:1:2:ffff::1", True),
    ("2001:db8:1:2::7", "2001:db8:1:3::7", False),
    (SCHOOL, OTHER, False),
])  # fmt: skip
def test_ipv6_counts_by_its_64(one: str, two: str, is_same: bool) -> None:
    counted = addresses()
    refused(counted, one, 200, BEGUN_S)
    assert (refused(counted, two, 1, BEGUN_S) == 1) == is_same


@pytest.mark.parametrize(
    "shared", [None, "127.0.0.1", "::1", "10.1.2.3", "172.17.0.1", "192.168.1.1", "fd00::1"]
)
def test_who_may_be_very_many_is_not_limited(shared: str | None) -> None:
    counted = addresses()
    assert refused(counted, shared, 10_000, BEGUN_S) == 0
    for _ in range(1000):
        counted.failed(shared, BEGUN_S)
    assert refused(counted, shared, 1, BEGUN_S) == 0
    assert len(counted) == 0


def test_without_shared_networks_loopback_is_an_address_as_any() -> None:
    assert refused(addresses(shared_networks=()), "127.0.0.1", 201, BEGUN_S) == 1


def test_too_many_refused_connects_shut_an_address_out_for_a_minute() -> None:
    counted = addresses()
    for _ in range(30):
        counted.failed(SCHOOL, BEGUN_S)
    assert refused(counted, SCHOOL, 1, BEGUN_S) == 0
    counted.failed(SCHOOL, BEGUN_S)
    assert counted.handshake(SCHOOL, BEGUN_S + 1) == 59
    assert refused(counted, OTHER, 1, BEGUN_S + 1) == 0
    assert counted.handshake(SCHOOL, BEGUN_S + 60) == 0
    for _ in range(10):
        counted.failed(SCHOOL, BEGUN_S + 60)
    assert counted.handshake(SCHOOL, BEGUN_S + 60) == 0


def test_sessions_of_an_address_are_counted_only_where_that_is_limited() -> None:
    counted = addresses(address_connections=2)
    for sid in "ab":
        assert counted.has_room(SCHOOL) == 0
        counted.opened(sid, SCHOOL)
    assert (counted.has_room(SCHOOL) > 0, counted.has_room(OTHER), counted.has_room("127.0.0.1")) == (
        True,
        0,
        0,
    )
    counted.ended("a")
    counted.ended("a")
    counted.ended("never opened")
    assert counted.has_room(SCHOOL) == 0
    unlimited = addresses()
    unlimited.opened("a", SCHOOL)
    assert unlimited.has_room(SCHOOL) == 0


def test_zero_turns_a_limit_off() -> None:
    assert refused(addresses(address_handshakes_per_s=0), SCHOOL, 10_000, BEGUN_S) == 0
    counted = addresses(address_failures_per_min=0)
    for _ in range(1000):
        counted.failed(SCHOOL, BEGUN_S)
    assert counted.handshake(SCHOOL, BEGUN_S) == 0


def test_the_map_is_bounded_and_who_fills_it_locks_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADDRESSES_MAX", 1000)
    counted = addresses()
    refused(counted, SCHOOL, 250, BEGUN_S)
    for number in range(2000):
        counted.handshake(f"2001:db8:{number:x}::1", BEGUN_S)
        assert len(counted) <= 1000
    assert refused(counted, SCHOOL, 200, BEGUN_S) == 0, "it is forgotten, not locked out"
    assert refused(counted, OTHER, 200, BEGUN_S) == 0


def test_addresses_that_have_used_up_nothing_are_forgotten() -> None:
    counted = addresses()
    for number in range(1000):
        counted.handshake(f"203.0.{number // 250}.{number % 250}", BEGUN_S + number)
    assert len(counted) <= 3
