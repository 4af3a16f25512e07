"""What one connection may do, what it is told, and when it is ended for good. Times are given."""

from __future__ import annotations

import asyncio
import heapq
import sys

import pytest

from gateway.access.connection_limits import HEARD_S, OVER_FOR_S, ConnectionLimits, Trouble, Usage
from gateway.access.users import Users
from gateway.builds import PLAIN, build_name
from gateway.client_events import Event, History, Join, Leave, Members, Send
from gateway.limit_options import LimitOptions
from gateway.metrics import rate_limited
from gateway.protocol import Refusal

SEND = Send("ada", "tea", "hello", None)
JOIN, LEAVE = Join("ada", "tea", None), Leave(None, "tea")
MEMBERS, HISTORY = Members("tea"), History("tea", None, 100)
ROOMS = 100
BEGUN_S = 5000.0


def limits(**options: float) -> ConnectionLimits:
    """The limits of a worker: the defaults, but for what is given, and 10 messages a second, by which the examples
    count."""
    return ConnectionLimits(LimitOptions(**{"sends_per_s": 10.0, **options}), ROOMS)  # type: ignore[arg-type]


def wait_ms(limits: ConnectionLimits, usage: Usage, event: Event, now_s: float) -> int | None:
    """What a refused event is told; None for one that passes."""
    try:
        limits.spend(usage, event, now_s)
    except Refusal as refusal:
        told: int = refusal.about["retry_after_ms"]
        return told
    return None


def refused(limits: ConnectionLimits, usage: Usage, event: Event, number: int, now_s: float) -> int:
    """How many of so many at once are refused."""
    return sum(wait_ms(limits, usage, event, now_s) is not None for _ in range(number))


@pytest.mark.parametrize(
    ("event", "burst", "per_s"),
    [(SEND, 20, 10), (MEMBERS, 20, 5), (HISTORY, 20, 5), (LEAVE, 200, 60), (JOIN, 200, 60)],
)
def test_each_event_has_its_burst_and_its_rate(event: Event, burst: int, per_s: int) -> None:
    of_all, usage = limits(), Usage()
    assert refused(of_all, usage, event, burst + 5, BEGUN_S) == 5
    assert refused(of_all, usage, event, per_s + 5, BEGUN_S + 1.0) == 5


def test_history_and_members_do_not_draw_from_each_other() -> None:
    of_all, usage = limits(), Usage()
    assert refused(of_all, usage, HISTORY, 30, BEGUN_S) == 10
    assert refused(of_all, usage, MEMBERS, 20, BEGUN_S) == 0


def test_only_what_passed_its_own_limit_draws_from_the_one_of_all_events() -> None:
    of_all, usage = limits(), Usage()
    assert refused(of_all, usage, HISTORY, 1000, BEGUN_S) == 980
    assert refused(of_all, usage, LEAVE, 200, BEGUN_S) == 20


@pytest.mark.parametrize("option", ["sends_per_s", "reads_per_s", "events_per_s", "refusals_max"])
def test_zero_turns_a_limit_off(option: str) -> None:
    of_all, usage = limits(**{option: 0, "sends_cut_off_per_s": 0}), Usage()
    events: dict[str, Event] = {"sends_per_s": SEND, "reads_per_s": HISTORY, "events_per_s": LEAVE}
    if option in events:
        open_wide = limits(**{option: 0, "events_per_s": 0})
        assert refused(open_wide, usage, events[option], 1000, BEGUN_S) == 0
    else:
        assert not any(of_all.charge(usage, "bad_request", True, BEGUN_S) for _ in range(1000))


def test_a_signal_that_is_too_much_is_dropped() -> None:
    of_all, usage = limits(), Usage()
    assert [of_all.has_signal(usage, BEGUN_S) for _ in range(12)] == [True] * 10 + [False] * 2


# -- what a client is told


@pytest.mark.parametrize("number", [21, 60, 1000])
def test_messages_that_are_refused_together_are_told_times_at_which_each_is_taken(number: int) -> None:
    of_all, usage = limits(), Usage()
    coming = [(BEGUN_S, each) for each in range(number)]
    refusals = taken = 0
    last_s = BEGUN_S
    while coming:
        now_s, each = heapq.heappop(coming)
        told_ms = wait_ms(of_all, usage, SEND, now_s)
        if told_ms is None:
            taken, last_s = taken + 1, now_s
        else:
            refusals += 1
            assert not of_all.charge(usage, "rate_limited", True, now_s), (
                "who does as it is told is never ended"
            )
            heapq.heappush(coming, (now_s + told_ms / 1000, each))
    assert (taken, refusals) == (number, number - 20)
    assert last_s - BEGUN_S == pytest.approx((number - 20) / 10, abs=0.05)


def test_who_types_while_it_comes_again_with_what_was_refused_is_not_ended() -> None:
    of_all, usage = limits(), Usage()
    coming = [(BEGUN_S, -1) for _ in range(300)] + [(BEGUN_S + each, each) for each in range(60)]
    heapq.heapify(coming)
    taken = 0
    while coming:
        now_s, each = heapq.heappop(coming)
        told_ms = wait_ms(of_all, usage, SEND, now_s)
        if told_ms is None:
            taken += 1
            continue
        assert not of_all.charge(usage, "rate_limited", True, now_s)
        heapq.heappush(coming, (now_s + told_ms / 1000, each))
    assert taken == 360


def test_who_was_quiet_for_a_while_is_not_told_to_stand_behind_what_it_gave_up() -> None:
    of_all, usage = limits(), Usage()
    refused(of_all, usage, SEND, 500, BEGUN_S)
    assert refused(of_all, usage, SEND, 20, BEGUN_S + 3) == 0
    assert wait_ms(of_all, usage, SEND, BEGUN_S + 3) in range(98, 103)


# -- ends that are for good


def test_the_21st_refusal_in_5_seconds_is_the_last() -> None:
    of_all, usage = limits(), Usage()
    assert [of_all.charge(usage, "bad_request", True, BEGUN_S) for _ in range(21)].index(True) == 20


def test_four_refusals_a_second_go_on_for_ever() -> None:
    of_all, usage = limits(), Usage()
    assert not any(of_all.charge(usage, "forbidden", True, BEGUN_S + each / 4) for each in range(5000))


@pytest.mark.parametrize("code", ["unavailable", "internal", "shutting_down"])
def test_what_is_not_its_fault_costs_a_client_nothing(code: str) -> None:
    of_all, usage = limits(), Usage()
    assert not any(of_all.charge(usage, code, True, BEGUN_S) for _ in range(10_000))
    assert usage.refusals == 0


def test_who_flushes_1000_kept_messages_before_it_joins_again_is_not_ended() -> None:
    of_all, usage = limits(), Usage()
    for number in range(1000):
        now_s = BEGUN_S + number / 500
        code = "not_joined" if wait_ms(of_all, usage, SEND, now_s) is None else "rate_limited"
        assert not of_all.charge(usage, code, False, now_s)


def test_who_is_refused_in_a_room_while_it_is_in_others_is_ended() -> None:
    of_all, usage = limits(), Usage()
    assert [of_all.charge(usage, "not_joined", True, BEGUN_S) for _ in range(21)].index(True) == 20


@pytest.mark.parametrize("loops", [1, 5])
@pytest.mark.parametrize(("event", "per_s"), [(SEND, 10), (HISTORY, 5)])
def test_who_waits_as_it_is_told_and_goes_on_is_not_ended(event: Event, per_s: int, loops: int) -> None:
    """Each loop sends, waits whenever it is refused, and sends again."""
    of_all, usage = limits(), Usage()
    coming = [(BEGUN_S, loop) for loop in range(loops)]
    taken = 0
    while coming[0][0] < BEGUN_S + 120:
        now_s, loop = heapq.heappop(coming)
        told_ms = wait_ms(of_all, usage, event, now_s)
        taken += told_ms is None
        assert told_ms is None or not of_all.charge(usage, "rate_limited", True, now_s)
        heapq.heappush(coming, (now_s + (told_ms or 1) / 1000, loop))
    assert taken == pytest.approx(120 * per_s + 20, rel=0.1)


@pytest.mark.parametrize(("per_s", "ends"), [(13, False), (19, False), (25, True), (45, True)])
def test_who_does_not_listen_is_ended_after_it_must_have_heard(per_s: int, ends: bool) -> None:
    of_all, usage = limits(), Usage()
    ended_s = end_of(of_all, usage, per_s, 300)
    assert (ended_s is not None) == ends
    assert ended_s is None or ended_s > HEARD_S


@pytest.mark.parametrize(("per_s", "ends"), [(49, False), (52, True), (200, True)])
def test_more_than_50_messages_a_second_for_10_seconds_are_the_end(per_s: int, ends: bool) -> None:
    of_all, usage = limits(refusals_max=0), Usage()
    ended_s = end_of(of_all, usage, per_s, 60)
    assert (ended_s is not None) == ends
    assert ended_s is None or OVER_FOR_S <= ended_s <= OVER_FOR_S + 3, ended_s


def end_of(limits: ConnectionLimits, usage: Usage, per_s: int, for_s: int) -> float | None:
    """After how many seconds of so many messages a second a connection is ended."""
    for number in range(per_s * for_s):
        now_s = BEGUN_S + number / per_s
        told_ms = wait_ms(limits, usage, SEND, now_s)
        if told_ms is not None and limits.charge(usage, "rate_limited", True, now_s):
            return now_s - BEGUN_S
    return None


def test_a_flood_that_pauses_before_the_tenth_second_goes_on() -> None:
    of_all, usage = limits(), Usage()
    for _ in range(5):
        assert end_of(of_all, usage, 200, 9) is None
        usage.sends -= 21  # 21 seconds pass
        usage.refusals -= 21
        assert usage.trouble is not None
        usage.trouble.second -= 21
        line = usage.trouble.line("sends")
        line.first_s, line.last_s, line.full_s = line.first_s - 21, line.last_s - 21, line.full_s - 21


def test_every_refusal_is_counted_by_its_limit() -> None:
    of_all, usage = limits(), Usage()
    before = dict(rate_limited.samples())
    refused(of_all, usage, SEND, 23, BEGUN_S)
    after = dict(rate_limited.samples())
    assert {label: after[label] - before[label] for label in after if after[label] != before[label]} == {
        ("sends",): 3
    }


# -- joins


async def test_the_joins_of_a_reconnect_come_at_once_and_more_of_them_wait() -> None:
    of_all, usage = limits(joins_per_s=200), Usage()
    for _ in range(ROOMS):
        await of_all.join_slowly(usage, BEGUN_S)
    async with asyncio.timeout(5):
        begun = asyncio.get_running_loop().time()
        await of_all.join_slowly(usage, BEGUN_S)
        await of_all.join_slowly(usage, BEGUN_S)
    assert asyncio.get_running_loop().time() - begun >= 0.014


async def test_more_joins_than_may_wait_are_refused() -> None:
    of_all = limits(joins_waiting_max=2)
    usages = [Usage() for _ in range(3)]
    for usage in usages:
        usage.joins = BEGUN_S + ROOMS / 20
    waiting = [asyncio.create_task(of_all.join_slowly(usage, BEGUN_S)) for usage in usages[:2]]
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as told:
        await of_all.join_slowly(usages[2], BEGUN_S)
    assert told.value.about["retry_after_ms"] in range(49, 53)
    waiting[0].cancel()
    await asyncio.wait(waiting)
    await of_all.join_slowly(usages[2], BEGUN_S)  # there is room again


async def test_5000_members_who_come_back_into_100_rooms_each_are_limited_nowhere() -> None:
    of_all, before = limits(), rate_limited.value
    for member in range(5000):
        usage, now_s = Usage(), BEGUN_S + member / 2000
        for _ in range(ROOMS):
            of_all.spend(usage, JOIN, now_s)
            await of_all.join_slowly(usage, now_s)
        assert refused(of_all, usage, HISTORY, 20, now_s) == 0
    assert rate_limited.value == before


# -- users


def test_the_connections_of_a_user_share_its_messages() -> None:
    of_all, users = limits(), Users(20)
    tabs = [Usage(users.acquire("42")) for _ in range(3)]
    assert [refused(of_all, tab, SEND, 20, BEGUN_S) for tab in tabs] == [0, 0, 20]
    assert [refused(of_all, tab, SEND, 10, BEGUN_S + 1) for tab in tabs] == [0, 0, 10]


def test_what_a_connection_has_used_up_is_small() -> None:
    usage = Usage()
    # Compiled, it holds its eight times itself, where the plain one refers to floats of 24 bytes each.
    assert sys.getsizeof(usage) <= (120 if build_name() == PLAIN else 128)
    usage.trouble = Trouble()
    assert sys.getsizeof(usage.trouble) <= 80
