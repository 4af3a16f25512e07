"""How each kind of contest is measured: one function for each `Way`, from lanes that run to figures by round.

All lanes live at the same time, and their order moves on by one in each round: whatever slows the machine slows all.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from loadtest.bench.contests import Contest, Load, Way
from loadtest.bench.generator import Generator, Seen
from loadtest.bench.probes import Counters
from loadtest.bench.standing import Cost, Standing

SETTLE_S = 0.3
"""What a round began is done by then, after its last delivery: expired keys, answers that nobody waits for."""
COLLECT_S = 4.0
"""After that memory is read: a server that frees in the background has done so."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One lane in one round: `figures` by name (report.FIGURES has them all), how many deliveries, acknowledgements or
    connections there were of those `wanted`, how many connections the server closed, and what Valkey was asked."""

    figures: dict[str, float]
    wanted: int
    got: int
    closed: int = 0
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Nothing missing, nothing too much, nobody cut off."""
        return self.got == self.wanted and not self.closed

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


Round = dict[str, Measurement]
"""By a lane's label."""


def in_turn(lanes: Sequence[Standing], number: int) -> list[Standing]:
    """The order of a round."""
    first = number % len(lanes)
    return [*lanes[first:], *lanes[:first]]


async def steady(contest: Contest, lanes: Sequence[Standing], say: Callable[[Round], None]) -> None:
    """All lanes send at once; CPU is counted from before the first message until after the last delivery."""
    generators: dict[str, Generator] = {}
    for lane in lanes:
        generators[lane.lane.label] = await lane.connected(lane.lane.load)
        await lane.calm()
    for number in range(contest.rounds):
        order = in_turn(lanes, number)
        before = {each.lane.label: (each.cost(), each.store.counters()) for each in lanes}
        seen = await asyncio.gather(*(generators[each.lane.label].send() for each in order))
        await asyncio.sleep(SETTLE_S)
        by_label = {each.lane.label: one for each, one in zip(order, seen, strict=True)}
        say(
            {
                each.lane.label: _sent(each, before[each.lane.label], by_label[each.lane.label])
                for each in lanes
            }
        )


def _sent(lane: Standing, before: tuple[Cost, Counters], seen: Seen) -> Measurement:
    load, cost = lane.lane.load, lane.cost().since(before[0])
    wanted = load.deliveries + (load.messages if load.has_acks else 0)
    got = seen.deliveries + (seen.acknowledged if load.has_acks else 0)
    valkey_us = cost.valkey_us / load.messages
    figures = {
        "us_per_delivery": cost.servers_us / max(1, seen.deliveries),
        "valkey_us_per_message": valkey_us,
        "publishes_per_s_a_core": 1e6 / max(valkey_us, 1e-9),
        "p50_ms": _percentile_ms(seen, 0.5),
        "p99_ms": _percentile_ms(seen, 0.99),
        "missing": float(abs(wanted - got)),
    }
    return Measurement(figures, wanted, got, seen.closed, lane.store.counters().since(before[1]))


async def waves(contest: Contest, lanes: Sequence[Standing], say: Callable[[Round], None]) -> None:
    """One lane after the other opens and joins the load's connections, beside all that are there already."""
    for number in range(contest.rounds):
        done: Round = {}
        for lane in in_turn(lanes, number):
            load, before = lane.lane.load, lane.cost()
            await lane.connected(load)
            await lane.calm(3.0)
            done[lane.lane.label] = _joined(load, lane.cost().since(before), "us_per_join")
        say(done)


def _joined(load: Load, cost: Cost, figure: str) -> Measurement:
    """Of connections that have all joined: a generator raises where one does not."""
    each = {
        figure: cost.servers_us / load.connections,
        "valkey_us_per_join": cost.valkey_us / load.connections,
    }
    return Measurement(each, load.connections, load.connections)


async def growth(contest: Contest, lanes: Sequence[Standing], say: Callable[[Round], None]) -> None:
    """Each round all lanes get the load's connections, one lane after the other; then memory is read."""
    marks = {lane.lane.label: lane.servers.pss_kib() for lane in lanes}
    for number in range(contest.rounds):
        for lane in in_turn(lanes, number):
            await lane.connected(lane.lane.load)
            await lane.calm()
        await asyncio.sleep(COLLECT_S)
        say(_grown(lanes, marks, "kib_per_connection", lambda load: load.connections))


async def traffic(contest: Contest, lanes: Sequence[Standing], say: Callable[[Round], None]) -> None:
    """Each round all lanes get the load's rooms, with their members; memory is read before and after its messages."""
    for number in range(contest.rounds):
        generators = []
        for lane in in_turn(lanes, number):
            generators.append(await lane.connected(lane.lane.load))
            await lane.calm()
        await asyncio.sleep(COLLECT_S)
        marks = {lane.lane.label: lane.servers.pss_kib() for lane in lanes}
        await asyncio.gather(*(each.send() for each in generators))
        await asyncio.sleep(COLLECT_S)
        say(_grown(lanes, marks, "kib_per_room", lambda load: load.rooms))


def _grown(
    lanes: Sequence[Standing], marks: dict[str, float], figure: str, number_of: Callable[[Load], int]
) -> Round:
    """What each lane's memory has grown by since its mark, for each; the marks move on."""
    done: Round = {}
    for lane in lanes:
        label, load, now = lane.lane.label, lane.lane.load, lane.servers.pss_kib()
        figures = {figure: (now - marks[label]) / number_of(load)}
        done[label] = Measurement(figures, load.connections, load.connections)
        marks[label] = now
    return done


async def idle(contest: Contest, lanes: Sequence[Standing], say: Callable[[Round], None]) -> None:
    """What connections cost that do nothing: CPU in a span of time, less what the servers took without them."""
    for lane in lanes:
        await lane.calm()
    alone = await _busy_us_per_s(lanes, contest.seconds)
    for lane in lanes:
        await lane.connected(lane.lane.load)
    for lane in lanes:
        await lane.calm()
    for _ in range(contest.rounds):
        busy = await _busy_us_per_s(lanes, contest.seconds)
        done: Round = {}
        for lane in lanes:
            label, many = lane.lane.label, lane.lane.load.connections
            here = many - sum(each.closed for each in lane.held)
            done[label] = Measurement({"idle_us_per_s": (busy[label] - alone[label]) / many}, many, here)
        say(done)


async def _busy_us_per_s(lanes: Sequence[Standing], for_s: float) -> dict[str, float]:
    before = {lane.lane.label: lane.servers.cpu_us() for lane in lanes}
    await asyncio.sleep(for_s)
    return {each.lane.label: (each.servers.cpu_us() - before[each.lane.label]) / for_s for each in lanes}


async def storm(contest: Contest, lanes: Sequence[Standing], say: Callable[[Round], None]) -> None:
    """One lane after the other: new rooms are filled, then all their members come as fast as they are let in."""
    for number in range(contest.rounds):
        done: Round = {}
        for lane in in_turn(lanes, number):
            load, tag = lane.lane.load, uuid.uuid4().hex[:8]
            await lane.filled(load, tag)
            before = lane.cost()
            await lane.connected(load, tag, load.connections)
            await lane.calm(3.0)
            done[lane.lane.label] = _joined(load, lane.cost().since(before), "us_per_client")
        say(done)


WAYS: dict[Way, Callable[[Contest, Sequence[Standing], Callable[[Round], None]], Awaitable[None]]] = {
    Way.STEADY: steady,
    Way.WAVES: waves,
    Way.GROWTH: growth,
    Way.TRAFFIC: traffic,
    Way.IDLE: idle,
    Way.STORM: storm,
}


def _percentile_ms(seen: Seen, share: float) -> float:
    ordered = sorted(seen.latencies_s) or [0.0]
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]
