"""What is measured: loads, who is compared with whom under them, and the goals. Values only."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Load:
    """Rooms with members, and messages sent round robin over rooms and members, at `rate` a second in all.

    `size` is the padding of a message in characters. With `has_acks` each send asks for an acknowledgement. With
    `has_homes` all members of a room are on one worker; otherwise members are spread as the server spreads them.
    """

    rooms: int
    members: int
    messages: int
    rate: float
    size: int = 40
    has_acks: bool = False
    has_homes: bool = False

    @property
    def connections(self) -> int:
        return self.rooms * self.members

    @property
    def deliveries(self) -> int:
        """Every member of the room gets a message, its sender too."""
        return self.messages * self.members


@dataclass(frozen=True, slots=True)
class Lane:
    """One contender under one load; `label` is unique in its contest."""

    label: str
    contender: str
    load: Load
    workers: int = 2


@dataclass(frozen=True, slots=True)
class Contest:
    """Lanes that are measured in turn. Ratios are taken against the lane `against`; `goals`: most that the ratio
    of the lane `gateway` to it may be, by figure; the figures in `goals` are those that the contest is about."""

    name: str
    title: str
    lanes: tuple[Lane, ...]
    against: str
    goals: dict[str, float]


CONTENDERS = ("gateway", "node", "stock")

PAIRS = Load(rooms=200, members=2, messages=3000, rate=600)

_LOADS: dict[str, tuple[str, Load, dict[str, float]]] = {
    "pairs": ("rooms of two, 600 msg/s", PAIRS, {"us_per_delivery": 0.35, "p99_ms": 1.0}),
    "pairs-full": (
        "rooms of two, flat out",
        Load(rooms=200, members=2, messages=20_000, rate=20_000),
        {"us_per_delivery": 0.35, "p99_ms": 0.2},
    ),
    "teams": (
        "rooms of twenty, 1,000 msg/s",
        Load(rooms=100, members=20, messages=3000, rate=1000),
        {"us_per_delivery": 0.45, "p99_ms": 1.0},
    ),
    "crowd": (
        "one room of 400, 60 msg/s",
        Load(rooms=1, members=400, messages=300, rate=60),
        {"us_per_delivery": 0.55, "p99_ms": 1.0},
    ),
    "hot": (
        "one room of 400, flat out",
        Load(rooms=1, members=400, messages=800, rate=2000),
        {"us_per_delivery": 0.35, "p99_ms": 0.2},
    ),
    "idle": (
        "4,000 connections that do nothing",
        Load(rooms=2000, members=2, messages=1, rate=1),
        {"kb_per_connection": 0.3, "connect_us": 0.6},
    ),
}


def contests(contenders: tuple[str, ...] = CONTENDERS) -> tuple[Contest, ...]:
    """All contests between these contenders; those of the gateway against itself too when it is among them."""
    against = "node" if "node" in contenders else contenders[-1]
    between = tuple(
        Contest(name, title, tuple(Lane(each, each, load) for each in contenders), against, goals)
        for name, (title, load, goals) in _LOADS.items()
    )
    return between + (_OWN if "gateway" in contenders else ())


_HOMES = Load(rooms=200, members=4, messages=6000, rate=1200, has_homes=True)

_OWN = (
    Contest(
        "acks",
        "rooms of two, 600 msg/s: with acknowledgements, against without",
        (
            Lane("gateway", "gateway", replace(PAIRS, messages=6000, has_acks=True)),
            Lane("without", "gateway", replace(PAIRS, messages=6000)),
        ),
        "without",
        {"us_per_delivery": 1.15},
    ),
    Contest(
        "workers",
        "rooms of four, 1,200 msg/s, each room on one worker: 4 workers, against 2",
        (Lane("gateway", "gateway", _HOMES, workers=4), Lane("2 workers", "gateway", _HOMES)),
        "2 workers",
        {"us_per_delivery": 1.10},
    ),
)


def small(contest: Contest) -> Contest:
    """The same contest, small enough to see in a few seconds that it works; its ratios mean nothing."""
    lanes = tuple(replace(lane, load=_small(lane.load)) for lane in contest.lanes)
    return replace(contest, lanes=lanes, goals=dict.fromkeys(contest.goals, float("inf")))


def _small(load: Load) -> Load:
    return replace(
        load,
        rooms=min(load.rooms, 10),
        members=min(load.members, 40),
        messages=min(load.messages, 200),
        rate=200,
    )
