"""One measurement of one lane, and rounds of them in turn.

The lanes of a contest take turns inside a round, so that a machine whose speed drifts slows all of them alike; every
measurement has fresh servers and a fresh Valkey.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from loadtest.bench.contenders import BenchError, Running, running
from loadtest.bench.contests import Contest, Lane, Load
from loadtest.bench.generator import Generator, GeneratorError, Seen
from loadtest.bench.probes import Store, Trees

CALM_CPU_S = 0.01
CALM_FOR_S = 0.25
CALM_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one lane did and cost in one round.

    CPU is user and system time of the whole process trees, in microseconds: `us_per_delivery` while messages
    flowed, `connect_us` per connection for handshake, connect and join; `valkey_us_per_delivery` is Valkey's own.
    `kb_per_connection` is growth of resident memory, KiB. `rate` is deliveries a second. `calls`: commands that
    Valkey ran while messages flowed, by name.
    """

    wanted: int
    deliveries: int
    acknowledged: int
    closed: int
    turned_away: int
    seconds: float
    rate: float
    us_per_delivery: float
    valkey_us_per_delivery: float
    p50_ms: float
    p99_ms: float
    kb_per_connection: float
    connect_us: float
    calls: dict[str, int]

    def is_complete(self, load: Load) -> bool:
        """Nothing missing, nothing too much, nobody cut off."""
        acknowledged = self.acknowledged == (load.messages if load.has_acks else 0)
        return self.deliveries == self.wanted and acknowledged and not self.closed

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


Runs = dict[str, list[Measurement | None]]
"""By a lane's label its measurements in the order of the rounds; None where a peer broke down."""


def run(contest: Contest, rounds: int, say: Callable[[str], None]) -> Runs:
    """All rounds of a contest. Raises BenchError when the gateway breaks down; a peer may."""
    runs: Runs = {lane.label: [] for lane in contest.lanes}
    for number in range(1, rounds + 1):
        for lane in contest.lanes:
            measured = _measure_or_none(lane, say)
            runs[lane.label].append(measured)
            say(f"{contest.name}, round {number}, {lane.label}: {_in_short(measured, lane.load)}")
    return runs


def _measure_or_none(lane: Lane, say: Callable[[str], None]) -> Measurement | None:
    try:
        return measure(lane)
    except BenchError as error:
        if lane.contender == "gateway":
            raise
        say(str(error))
        return None


def _in_short(measured: Measurement | None, load: Load) -> str:
    if measured is None:
        return "broke down"
    whole = "" if measured.is_complete(load) else f", INCOMPLETE: {measured.deliveries} of {measured.wanted}"
    return (
        f"{measured.us_per_delivery:.1f} µs of CPU per delivery, p99 {measured.p99_ms:.1f} ms, "
        f"{measured.rate:.0f} deliveries/s{whole}"
    )


def measure(lane: Lane) -> Measurement:
    """One measurement; raises BenchError when the contender does not start or turns members away."""
    with running(lane) as contender:
        try:
            with asyncio.Runner(loop_factory=_new_event_loop) as runner:
                return runner.run(_measure(lane, contender))
        except (GeneratorError, ConnectionError) as broken:
            raise BenchError(f"{lane.contender}: {broken}") from broken


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, which is not for every platform; else the library's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _measure(lane: Lane, contender: Running) -> Measurement:
    store = Store(contender.valkey_port)
    servers, valkey = Trees(contender.pids), Trees([store.pid])
    generator = Generator(lane.load, contender.ports, lane.workers)
    try:
        cpu_before, rss_before = servers.cpu_s(), servers.rss_bytes()
        await generator.connect()
        await _until_calm(servers, store)
        cpu_joined, rss_joined, valkey_joined = servers.cpu_s(), servers.rss_bytes(), valkey.cpu_s()
        counted = store.counters()
        seen = await generator.send()
        calls = store.counters().since(counted)
        flowing_s, valkey_s = servers.cpu_s() - cpu_joined, valkey.cpu_s() - valkey_joined
    finally:
        generator.close()
        store.close()
    per_delivery = 1e6 / max(1, seen.deliveries)
    return Measurement(
        wanted=lane.load.deliveries,
        deliveries=seen.deliveries,
        acknowledged=seen.acknowledged if lane.load.has_acks else 0,
        closed=seen.closed,
        turned_away=generator.turned_away,
        seconds=seen.seconds,
        rate=seen.deliveries / seen.seconds,
        us_per_delivery=flowing_s * per_delivery,
        valkey_us_per_delivery=valkey_s * per_delivery,
        p50_ms=_percentile_ms(seen, 0.5),
        p99_ms=_percentile_ms(seen, 0.99),
        kb_per_connection=(rss_joined - rss_before) / 1024 / lane.load.connections,
        connect_us=(cpu_joined - cpu_before) * 1e6 / generator.opened,
        calls=calls,
    )


async def _until_calm(servers: Trees, store: Store) -> None:
    """Waits until the servers have done with the joins, for 10 s at most: until they twice running hardly use CPU and
    ask nothing of Valkey."""
    before, calm = (servers.cpu_s(), store.counters()), 0
    for _ in range(int(CALM_WITHIN_S / CALM_FOR_S)):
        await asyncio.sleep(CALM_FOR_S)
        now = servers.cpu_s(), store.counters()
        is_calm = now[0] - before[0] <= CALM_CPU_S and not now[1].since(before[1])
        calm, before = (calm + 1 if is_calm else 0), now
        if calm == 2:
            return


def _percentile_ms(seen: Seen, share: float) -> float:
    ordered = sorted(seen.latencies_s) or [0.0]
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]
