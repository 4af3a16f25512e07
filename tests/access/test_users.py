"""What all connections of a user share, for as long as it matters."""

from __future__ import annotations

import pytest

from gateway.access import users as module
from gateway.access.users import Users, UserUsage


def acquired(users: Users, user: str) -> UserUsage:
    usage = users.acquire(user)
    assert usage is not None
    return usage


def test_one_connection_too_many_is_refused_until_another_ends() -> None:
    users = Users(2)
    first, _ = acquired(users, "42"), acquired(users, "42")
    assert users.acquire("42") is None
    assert users.acquire("43") is not None
    users.release(first, 0.0)
    assert users.acquire("42") is not None
    assert users.acquire("42") is None


def test_zero_is_no_limit() -> None:
    users = Users(0)
    assert all(users.acquire("42") is not None for _ in range(1000))


def test_who_reconnects_has_no_new_burst_and_who_is_gone_for_long_is_forgotten() -> None:
    users = Users(20)
    usage = acquired(users, "42")
    usage.sends = 104.0
    users.release(usage, 100.0)
    again = acquired(users, "42")
    assert again.sends == 104.0
    users.release(again, 101.0)
    users.release(acquired(users, "43"), 110.0)
    assert len(users) == 0


def test_the_map_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GONE_MAX", 100)
    users = Users(20)
    for number in range(1000):
        usage = acquired(users, str(number))
        usage.sends = 1e9
        users.release(usage, 0.0)
    assert len(users) == 100
    assert acquired(users, "999").sends == 1e9
