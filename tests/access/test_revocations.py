"""Who is refused by a worker's copy of what is revoked and banned: values only."""

from __future__ import annotations

import ipaddress
import random
import time
from collections.abc import Mapping

import pytest

from gateway.access.identity import GUEST, Identity, Reason
from gateway.access.networks import Networks
from gateway.access.revocations import Revocations
from gateway.transport.proxies import network_of

NOW_S = 1_800_000_000.0
ADA = Identity("ada", token_id="t1", issued_at_s=NOW_S - 100)


def copy_of(entries: Mapping[str, str], copy: Revocations | None = None) -> Revocations:
    """A copy that was read whole."""
    copy = copy or Revocations()
    copy.begin()
    copy.take([(field.encode(), value.encode()) for field, value in entries.items()])
    copy.finish()
    return copy


def reason(
    copy: Revocations, identity: Identity = ADA, address: str | None = None, now_s: float = NOW_S
) -> str:
    """Why a client is refused; empty if it is not."""
    refused = copy.refuses(identity, address, now_s)
    return "" if refused is None else f"{refused.code} {refused.reason.value}"


def test_nobody_is_refused_by_nothing() -> None:
    assert reason(copy_of({}), ADA, "203.0.113.7") == ""
    assert reason(Revocations(), GUEST, None) == ""


@pytest.mark.parametrize(
    ("issued_before_s", "expected"),
    [(-1, "unauthorized revoked"), (0, "unauthorized revoked"), (0.001, ""), (1, "")],
)
def test_tokens_issued_at_that_time_or_before_are_revoked(issued_before_s: float, expected: str) -> None:
    copy = copy_of({"user:ada": f"{NOW_S} {NOW_S + 60}"})
    assert reason(copy, Identity("ada", issued_at_s=NOW_S + issued_before_s)) == expected
    assert reason(copy, Identity("ben", issued_at_s=NOW_S + issued_before_s)) == ""


def test_a_token_is_revoked_by_its_id_and_no_other_is() -> None:
    copy = copy_of({"jti:t1": f"{NOW_S + 60}"})
    assert reason(copy) == "unauthorized revoked"
    assert reason(copy, Identity("ada", token_id="t2")) == ""
    assert reason(copy, Identity("ada")) == "", "a token without an id"
    assert reason(copy_of({"jti:": "0"}), Identity("ada")) == ""


@pytest.mark.parametrize(
    ("end_s", "is_banned"), [(0, True), (NOW_S + 1, True), (NOW_S, False), (NOW_S - 1, False)]
)
def test_a_ban_lasts_until_its_end_and_the_end_0_is_never(end_s: float, is_banned: bool) -> None:
    copy = copy_of({"ban:ada": str(end_s), "ip:203.0.113.0/24": str(end_s)})
    assert (reason(copy) == "forbidden banned") is is_banned
    assert (reason(copy, GUEST, "203.0.113.7") == "forbidden banned") is is_banned
    assert copy.refuses_address("203.0.113.7", NOW_S) is is_banned


def test_a_ban_that_ends_lets_in_without_any_write() -> None:
    copy = copy_of({"ban:ada": str(NOW_S + 5)})
    assert [reason(copy, now_s=NOW_S + after_s) for after_s in (4.9, 5.0)] == ["forbidden banned", ""]


def test_who_is_banned_and_revoked_is_told_of_the_ban() -> None:
    copy = copy_of({"ban:ada": "0", "user:ada": f"{NOW_S} {NOW_S + 60}", "jti:t1": "0"})
    assert reason(copy) == "forbidden banned"


def test_a_guest_is_no_user_whatever_is_banned() -> None:
    assert reason(copy_of({"ban:": "0", "user:": f"{NOW_S} 0"}), GUEST) == ""


ADDRESSES = [
    ("203.0.113.0/24", "203.0.113.255", True),
    ("203.0.113.0/24", "203.0.114.0", False),
    ("203.0.113.7", "203.0.113.7", True),
    ("203.0.113.7", "203.0.113.8", False),
    ("::ffff:203.0.113.0/120", "203.0.113.9", True),
    ("::ffff:203.0.113.7", "203.0.113.7", True),
    ("2001:db8::/32", "2001:db8:ffff::1", True),
    ("2001:db8::/32", "2001:db9::1", False),
    ("2001:db8::7", "2001:db8::7", True),
    ("2001:db8:0:1::/64", "2001:db8:0:1:ffff:ffff:ffff:ffff", True),
    ("2001:db8:0:1::/64", "2001:db8:0:2::", False),
    ("203.0.113.0/24", "2001:db8::7", False),
    ("cb00:7100::/24", "203.0.113.7", False),
]


@pytest.mark.parametrize(("network", "address", "is_banned"), ADDRESSES)
def test_a_network_holds_its_addresses_and_no_others(network: str, address: str, is_banned: bool) -> None:
    copy = copy_of({f"ip:{network}": "0"})
    assert copy.refuses_address(address, NOW_S) is is_banned


def test_of_networks_in_each_other_one_that_counts_is_enough() -> None:
    copy = copy_of({"ip:10.0.0.0/8": str(NOW_S - 1), "ip:10.1.0.0/16": "0", "ip:10.1.2.0/24": str(NOW_S - 1)})
    assert [copy.refuses_address(address, NOW_S) for address in ("10.1.2.3", "10.2.0.1")] == [True, False]


def test_networks_are_what_a_scan_of_all_of_them_finds() -> None:
    chosen = random.Random(9)
    networks, put = Networks(), {}
    for number in range(400):
        length = chosen.choice([8, 12, 16, 20, 24, 32])
        network = network_of(
            f"10.{chosen.randrange(8)}.{chosen.randrange(4)}.{chosen.randrange(256)}/{length}"
        )
        networks.put(network, number)
        put[network] = float(number)
    for network in list(put)[::3]:
        networks.remove(network)
        networks.remove(network)
        del put[network]
    assert len(networks) == len(put)
    for _ in range(500):
        address = f"10.{chosen.randrange(8)}.{chosen.randrange(4)}.{chosen.randrange(256)}"
        expected = [value for network, value in put.items() if ipaddress.ip_address(address) in network]
        assert sorted(networks.holding(address)) == sorted(expected)
    for network in list(put):
        networks.remove(network)
    assert (networks._values, networks._lengths) == ({}, {4: {}, 6: {}}), "nothing stays"


# -- reading


def test_what_is_new_counts_at_once_and_what_is_gone_until_all_was_read() -> None:
    copy = copy_of({"ban:ada": "0", "ban:ben": "0"})
    copy.begin()
    assert copy.take([(b"ban:cleo", b"0")]) == ["ban:cleo"]
    assert [reason(copy, Identity(user)) != "" for user in ("ada", "ben", "cleo")] == [True] * 3
    assert copy.take([(b"ban:ben", b"0")]) == [], "nothing new"
    copy.finish()
    assert [reason(copy, Identity(user)) != "" for user in ("ada", "ben", "cleo")] == [False, True, True]


def test_a_reading_that_broke_off_changes_nothing_that_the_next_one_does_not_put_right() -> None:
    copy = copy_of({"ban:ada": "0"})
    copy.begin()
    copy.take([(b"ban:ben", b"0")])
    copy_of({"ban:ada": "0"}, copy)
    assert [reason(copy, Identity(user)) != "" for user in ("ada", "ben")] == [True, False]


def test_an_entry_that_changes_counts_as_it_is_now() -> None:
    copy = copy_of({"ban:ada": "0", "ip:10.0.0.0/8": "0", "jti:t1": "0", "user:ada": f"{NOW_S} 0"})
    copy.begin()
    later = [(b"ban:ada", b"1"), (b"ip:10.0.0.0/8", b"1"), (b"jti:t1", b"1"), (b"user:ada", b"1 0")]
    assert len(copy.take(later)) == 4
    copy.finish()
    assert reason(copy, ADA, "10.0.0.1") == ""


GARBAGE = [
    ("", "0"), ("ban", "0"), ("ban:ada", ""), ("ban:ada", "soon"), ("who:ada", "0"), ("ip:nowhere", "0"),
    ("ip:10.0.0.0/40", "0"), ("user:ada", ""), ("jti:t1", "0x10"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), GARBAGE)
def test_what_nobody_can_read_counts_for_nothing_and_spoils_itself_alone(field: str, value: str) -> None:
    copy = copy_of({field: value, "ban:eve": "0"})
    assert copy.unreadable == 1
    assert (reason(copy), reason(copy, Identity("eve"))) == ("", "forbidden banned")
    copy_of({}, copy)
    assert (copy.unreadable, copy.count) == (0, 0)


def test_bytes_that_are_no_text_count_for_nothing() -> None:
    copy = Revocations()
    assert copy.take([(b"ban:\xff", b"0"), (b"ban:ada", b"\xff")]) == []
    assert copy.unreadable == 2


def test_a_copy_is_known_once_it_was_read_whole() -> None:
    copy = Revocations()
    copy.begin()
    copy.take([(b"ban:ada", b"0")])
    assert not copy.is_known
    copy.finish()
    assert copy.is_known


def test_an_address_costs_the_same_among_10_000_networks_as_among_100() -> None:
    """By a ratio of the quickest of several runs that take turns: a scan would take a hundred times as long."""

    def networks(count: int) -> Revocations:
        return copy_of({f"ip:10.{at >> 8}.{at & 255}.0/24": "0" for at in range(count)})

    copies, best_s = [networks(100), networks(10_000)], [9.0, 9.0]
    for _ in range(20):
        for at, copy in enumerate(copies):
            begun_s = time.perf_counter()
            for _ in range(200):
                copy.refuses_address("192.0.2.7", NOW_S)
            best_s[at] = min(best_s[at], time.perf_counter() - begun_s)
    assert best_s[1] < 5 * best_s[0], best_s


def test_the_reasons_are_words_of_the_contract() -> None:
    refused = copy_of({"ban:ada": "0"}).refuses(ADA, None, NOW_S)
    assert refused is not None
    assert refused.as_data() == {"code": "forbidden", "reason": Reason.BANNED.value, "retryable": False}
