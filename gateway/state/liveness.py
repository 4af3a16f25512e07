"""Who lives, judged by whether heartbeats change, not by what time they bear.

Ages are differences on one clock, the observer's own. A time in the store says nothing of age where the store was away
or full, or where its clock was set: every heartbeat is old then, and everybody lives. Values only, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

LOOKS_PER_DEATH = 3
"""A pause between two looks counts as at most this part of the time after which a worker is dead: in a longer one the
store was away, or the observer stood still, and the others may have had no chance to beat."""


class _Seen(NamedTuple):
    stamp: float
    unchanged_s: float


class Liveness:
    """What one worker has seen of the heartbeats of all."""

    def __init__(self, dead_after_s: float) -> None:
        self._dead_after_s = dead_after_s
        self._seen: dict[str, _Seen] = {}
        self._looked_s: float | None = None

    def look(self, stamps: Mapping[str, float], now_s: float) -> list[str]:
        """Takes the present heartbeats; returns the workers whose has not changed for `dead_after_s`, or for as long as
        they said when they departed (`departure`)."""
        looked_s = now_s if self._looked_s is None else self._looked_s
        passed_s = min(now_s - looked_s, self._dead_after_s / LOOKS_PER_DEATH)
        self._looked_s = now_s
        before, self._seen = self._seen, {}
        for worker, stamp in stamps.items():
            last = before.get(worker)
            is_same = last is not None and last.stamp == stamp
            self._seen[worker] = _Seen(
                stamp, last.unchanged_s + passed_s if last is not None and is_same else 0.0
            )
        return [
            worker for worker, seen in self._seen.items() if seen.unchanged_s >= self._limit_s(seen.stamp)
        ]

    def _limit_s(self, stamp: float) -> float:
        return self._dead_after_s if stamp >= 0 else min(self._dead_after_s, -1.0 - stamp)


def departure(sweep_in_s: float) -> float:
    """The stamp of a worker that departed: it is dead once others have seen that for `sweep_in_s`."""
    return -1.0 - sweep_in_s
