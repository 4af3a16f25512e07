"""Claims: what a worker has seen of a room at servers that it has left.

A server that took over may lack what the old one acknowledged, and the old one may have gone on for those who had not
heard of it. So what was seen there is kept as a claim until the new server has been told. A claim that does not hold
there makes the room begin a new epoch, by which all workers hear of the loss. Pure values, without I/O.
"""

from __future__ import annotations

from gateway.delivery.positions import Seen
from gateway.state.history import Snapshot

CLAIMS_MAX = 16
"""Claims that are kept of a room; of more, which only servers that change by the second bring, the newest."""


class Claims:
    """The claims of one room on one worker, oldest first. Messages are as the channel brings them."""

    __slots__ = ("_claims", "_told")

    def __init__(self) -> None:
        self._claims: dict[Seen, float] = {}
        self._told: list[Seen] = []

    def __bool__(self) -> bool:
        return bool(self._claims)

    def add(self, seen: Seen, at_s: float) -> None:
        """Something was seen, not after `at_s`, at a server that has been left."""
        if seen.position.epoch and seen not in self._claims:
            self._claims[seen] = at_s
            for oldest in list(self._claims)[:-CLAIMS_MAX]:
                del self._claims[oldest]

    def epoch(self, present: str) -> str:
        """The epoch of which the store is told next: the present one, or that of the oldest claim if there is one."""
        epochs = [seen.position.epoch for seen in self._claims]
        return present if present in epochs or not epochs else epochs[0]

    def seq(self, epoch: str) -> int:
        """The highest claim in an epoch; 0 without one."""
        return max((seen.position.seq for seen in self._in(epoch)), default=0)

    def latest_s(self, epoch: str) -> float | None:
        """When the latest claim in an epoch was seen; None without one."""
        return max((self._claims[seen] for seen in self._in(epoch)), default=None)

    def tell(self, epoch: str) -> None:
        """The store is told of the claims in this epoch."""
        self._told = self._in(epoch)

    def settle(self) -> None:
        """The server that took over has been told."""
        for seen in self._told:
            self._claims.pop(seen, None)
        self._told = []

    def are_contradicted(self, snapshot: Snapshot, room_json: bytes) -> bool:
        """Whether the store has another message in the place of one of these, or no longer shows what is there."""
        return any(
            seen.is_contradicted(snapshot, room_json) or seen.is_beyond(snapshot) for seen in self._claims
        )

    def _in(self, epoch: str) -> list[Seen]:
        return [seen for seen in self._claims if seen.position.epoch == epoch]
