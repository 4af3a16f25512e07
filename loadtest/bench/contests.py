"""What is measured: loads, who is compared with whom under them, and the goals. Values only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

GATEWAY, AGAIN, NODE, STOCK = "gateway", "again", "node", "stock"
DEFAULT_CONTENDERS = (GATEWAY, AGAIN, NODE)
"""`again` is the gateway a second time: what its ratio is off 1 by, the other ratios can be off by."""


@dataclass(frozen=True, slots=True)
class Load:
    """Rooms with members, and messages sent round robin over rooms and members, at `rate` a second in all.

    `size` is the padding of a message in characters. With `has_acks` each send asks for an acknowledgement. With
    `is_spread` each worker has as many members of each room; otherwise they are where the kernel put them.
    With `by_polling` members poll over HTTP; otherwise each has a WebSocket.
    """

    rooms: int
    members: int
    messages: int
    rate: float
    size: int = 40
    has_acks: bool = False
    is_spread: bool = False
    by_polling: bool = False

    @property
    def connections(self) -> int:
        return self.rooms * self.members

    @property
    def deliveries(self) -> int:
        """Every member of the room gets a message, its sender too."""
        return self.messages * self.members


@dataclass(frozen=True, slots=True)
class Lane:
    """One contender under one load; `label` is unique in its contest. `folder` is another checkout of the gateway.
    Where one connection says more than it may by default, `has_limits` is False. `gather_ms` is a rule's.
    """

    label: str
    contender: str
    load: Load
    workers: int = 2
    folder: Path | None = None
    has_limits: bool = True
    gather_ms: int = 0


class Way(StrEnum):
    """How a contest is measured; `measuring.py` has one function for each."""

    STEADY = "steady"
    """All lanes send at the same time, round after round."""
    WAVES = "waves"
    """The load's connections are opened and joined, in turn, round after round; all stay."""
    GROWTH = "growth"
    """Each round adds the load's connections; memory is what they add."""
    TRAFFIC = "traffic"
    """Each round adds the load's rooms, then sends its messages; memory is what the messages add."""
    IDLE = "idle"
    """Connections that do nothing; a round is a span of time."""
    STORM = "storm"
    """Each round fills new rooms with the load's messages; then all their members come at once, and stay."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Most that the median of a figure of the lane `gateway` may be: the figure itself, or its ratio to the lane
    `against`. With `is_least` it is the least. `fast` is the goal for the build `[fast]`, where that has another."""

    figure: str
    limit: float
    against: str = ""
    fast: float | None = None
    is_least: bool = False


@dataclass(frozen=True, slots=True)
class Contest:
    """Lanes that live at the same time, each with a Valkey of its own; the first third of the rounds warms up."""

    name: str
    title: str
    way: Way
    lanes: tuple[Lane, ...]
    goals: tuple[Goal, ...]
    rounds: int = 9
    seconds: float = 3.0
    """How long a round is, where time is given."""

    @property
    def warming(self) -> int:
        """How many rounds warm up."""
        return self.rounds // 3


def _of_node(limit: float, fast: float | None = None, figure: str = "us_per_delivery") -> tuple[Goal, ...]:
    return (Goal(figure, limit, NODE, fast),)


def _talk(rooms: int, members: int, rate: float, seconds: float = 3.0) -> Load:
    return Load(rooms, members, int(rate * seconds), rate)


_FLAT_OUT_PER_S = 20_000.0
_CROWDED = Load(rooms=1, members=400, messages=200, rate=2000)
_STILL = Load(rooms=1000, members=2, messages=0, rate=1)

_BETWEEN: tuple[tuple[str, str, Way, Load, tuple[Goal, ...], int], ...] = (
    ("pairs", "rooms of two, 300 msg/s", Way.STEADY, _talk(100, 2, 300), _of_node(0.31), 12),
    ("pairs-fast", "rooms of two, 2,500 msg/s", Way.STEADY, _talk(100, 2, 2500), _of_node(0.38), 9),
    ("teams", "rooms of twenty, 500 msg/s", Way.STEADY, _talk(50, 20, 500), _of_node(0.45, 0.39), 12),
    ("crowd", "one room of 200, 40 msg/s", Way.STEADY, _talk(1, 200, 40), _of_node(0.40, 0.35), 12),
    ("stadium", "one room of 2,000, 8 msg/s", Way.STEADY, _talk(1, 2000, 8), _of_node(0.48, 0.42), 9),
    ("hot", "one room of 400, flat out", Way.STEADY, _CROWDED, _of_node(0.20), 9),
    ("publish", "rooms of two, flat out: Valkey's CPU for each message", Way.STEADY,
     Load(rooms=200, members=2, messages=6000, rate=_FLAT_OUT_PER_S),
     (Goal("valkey_us_per_message", 9.5), Goal("publishes_per_s_a_core", 100_000, is_least=True)), 6),
    ("connect", "handshake, connect and join, 400 at a time", Way.WAVES,
     Load(rooms=200, members=2, messages=0, rate=1), _of_node(0.60, figure="us_per_join"), 9),
    ("memory", "connections in rooms of two, 2,000 to 8,000", Way.GROWTH, _STILL,
     (Goal("kib_per_connection", 3.5),), 4),
    ("room-memory", "what messages add to a room of two that had none", Way.TRAFFIC,
     Load(rooms=600, members=2, messages=2400, rate=1200), (Goal("kib_per_room", 2.0),), 4),
    ("idle", "4,000 connections that do nothing", Way.IDLE, replace(_STILL, rooms=2000),
     (Goal("idle_us_per_s", 0.8),), 3),
    ("storm", "5,000 clients, 1,250 at once, into rooms of 25 with 100 messages", Way.STORM,
     Load(rooms=50, members=25, messages=5000, rate=2500), (Goal("us_per_client", 430.0),), 4),
)  # fmt: skip
"""Name, title, way, load, goals, rounds."""

_TEAMS, _PAIRS = _talk(50, 20, 500), _talk(100, 2, 300)

_OWN = (
    Contest(
        "workers", "rooms of twenty over all workers, 500 msg/s: 8 workers against 1", Way.STEADY,
        (Lane(GATEWAY, GATEWAY, replace(_TEAMS, is_spread=True), workers=8),
         Lane("1 worker", GATEWAY, _TEAMS, workers=1)),
        (Goal("us_per_delivery", 1.4, "1 worker"),),
    ),
    Contest(
        "polling", "rooms of two, 300 msg/s: by polling against by WebSocket", Way.STEADY,
        (Lane(GATEWAY, GATEWAY, replace(_PAIRS, by_polling=True)), Lane("WebSocket", GATEWAY, _PAIRS)),
        (Goal("us_per_delivery", 3.5, "WebSocket"),),
    ),
    Contest(
        "promise", "rooms of two, 600 msg/s, each send acknowledged, against without", Way.STEADY,
        (Lane(GATEWAY, GATEWAY, replace(_talk(100, 2, 600), has_acks=True)),
         Lane("without", GATEWAY, _talk(100, 2, 600))),
        (Goal("missing", 0.0), Goal("us_per_delivery", 1.15, "without")),
    ),
)  # fmt: skip
"""The gateway against itself."""


def contests(contenders: tuple[str, ...] = DEFAULT_CONTENDERS) -> tuple[Contest, ...]:
    """All contests between these contenders (`name=FOLDER`: another checkout of the gateway); those of the gateway
    against itself too when it is among them. Ratios are of the first contender to each of the others."""
    between = tuple(
        Contest(name, title, way, tuple(_lane(each, load) for each in contenders), goals, rounds)
        for name, title, way, load, goals, rounds in _BETWEEN
    )
    return tuple(map(_fitted, between)) + (_OWN if GATEWAY in contenders else ())


def _fitted(contest: Contest) -> Contest:
    """A connection is asked once in 25 s whether it lives: that long is a round of those that do nothing. Three times
    8,000 connections are more than a process may hold by default, and memory is the same twice: nobody is there again.
    """
    match contest.way:
        case Way.IDLE:
            return replace(contest, seconds=25.0)
        case Way.STORM:  # one member of each room fills it
            return replace(contest, lanes=tuple(replace(lane, has_limits=False) for lane in contest.lanes))
        case Way.GROWTH:
            return replace(contest, lanes=tuple(lane for lane in contest.lanes if lane.label != AGAIN))
    return contest


def _lane(contender: str, load: Load) -> Lane:
    label, _, folder = contender.partition("=")
    if folder:
        return Lane(label, GATEWAY, load, folder=Path(folder).resolve())
    return Lane(label, GATEWAY if label == AGAIN else label, load)


def small(contest: Contest) -> Contest:
    """The same contest, small enough to see in a few seconds that it works; its figures mean nothing."""
    lanes = tuple(
        replace(lane, load=_small(lane.load), workers=min(lane.workers, 2)) for lane in contest.lanes
    )
    return replace(contest, lanes=lanes, goals=tuple(map(_held, contest.goals)), rounds=2, seconds=1.0)


def _held(goal: Goal) -> Goal:
    """The same, met by whatever is measured; that nothing is missing stays."""
    if goal.figure == "missing":
        return goal
    return replace(goal, limit=float("-inf") if goal.is_least else float("inf"))


def _small(load: Load) -> Load:
    return replace(
        load,
        rooms=min(load.rooms, 10),
        members=min(load.members, 40),
        messages=min(load.messages, 100),
        rate=200,
    )
