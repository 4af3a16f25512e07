"""Evidence: what a worker knows to have been in a room, held against a store that may have lost it.

A server that took over may lack what the old one acknowledged, and the old one may have gone on for those who had not
heard of it. So what was seen at a server is kept as a claim when that server is left, until the new one has been told.
A claim that does not hold there makes the room begin a new epoch (see snapshot.lua), by which all workers hear of the
loss. Pure values, without I/O.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.protocol import Position, receive_json
from gateway.rooms.position_check import Observation
from gateway.state.history import NO_POSITION, OTHER, Snapshot

CLAIMS_MAX = 16
"""Claims that are kept of a room; of more, which only servers that change by the second bring, the newest."""


class LossDetector:
    """Of one room on one worker. Messages are kept as the channel brings them."""

    __slots__ = ("_acknowledged", "_claims", "_clock", "_entry", "_other_epoch", "_room_json", "_told")

    def __init__(self, room_json: bytes, clock: Callable[[], float]) -> None:
        self._room_json = room_json
        self._clock = clock
        self._acknowledged, self._entry = NO_POSITION, b""
        self._claims: dict[Observation, float] = {}
        self._told: list[Observation] = []
        self._other_epoch = ""

    @property
    def has_claims(self) -> bool:
        """Whether something was seen at a server that was left."""
        return bool(self._claims)

    def acknowledged(self, epoch: str, seq: int, entry: bytes) -> None:
        """A message, as it is stored, got this position."""
        if epoch != self._acknowledged.epoch or seq > self._acknowledged.seq:
            self._acknowledged, self._entry = Position(epoch, seq), entry

    def left(self, position: Position, data: bytes | None, at_s: float) -> None:
        """A server was left that was last heard at `at_s`, with the room at this position."""
        if self._entry:
            self._add(
                Observation(
                    self._acknowledged, receive_json(self._entry, self._room_json, self._acknowledged)
                ),
                at_s,
            )
        self._add(Observation(position, data), at_s)

    def suspect(self, epoch: str) -> None:
        """The store numbers again in this epoch what it had numbered before: it must begin another one."""
        self._other_epoch = epoch

    def claim(self, position: Position) -> tuple[Position, bytes]:
        """What the store is told, with the room at `position`: the highest position that is known to have existed in
        the epoch in question, and why the store may not hold it."""
        last = self._acknowledged
        if not self._claims and not self._other_epoch:
            return (last if last.epoch == position.epoch and last.seq > position.seq else position), b""
        epoch = self._epoch(position.epoch)
        claims = self._in(epoch)
        known = [position, last, *(seen.position for seen in claims)]
        doubt = OTHER if self._other_epoch else b""
        if claims:
            age_s = self._clock() - max(self._claims[seen] for seen in claims)
            doubt = b"%b%d" % (doubt, max(0.0, age_s) * 1000)
        return Position(epoch, max((one.seq for one in known if one.epoch == epoch), default=0)), doubt

    def tell(self, position: Position) -> tuple[Position, bytes]:
        """The same, for a reading of the room: it is told."""
        found = self.claim(position)
        self._told = self._in(found[0].epoch)
        return found

    def settle(self) -> None:
        """The server that took over has been told."""
        for seen in self._told:
            self._claims.pop(seen, None)
        self._told = []

    def is_contradicted(self, snapshot: Snapshot, last: Observation | None) -> bool:
        """Whether the store has other messages in the places of claims, or of what live members saw `last`, or no
        longer shows what is in the place of a claim: then it must begin a new epoch."""
        room_json = self._room_json
        is_other = any(
            one.is_contradicted(snapshot, room_json) or one.is_beyond(snapshot) for one in self._claims
        )
        if not is_other and last is not None:
            is_other = last.is_contradicted(snapshot, room_json)
        self._other_epoch = snapshot.epoch if is_other else ""
        return is_other

    def _add(self, seen: Observation, at_s: float) -> None:
        if seen.position.epoch and seen not in self._claims:
            self._claims[seen] = at_s
            for oldest in list(self._claims)[:-CLAIMS_MAX]:
                del self._claims[oldest]

    def _epoch(self, present: str) -> str:
        """The epoch of which the store is told next: the present one, or that of the oldest claim if there is one."""
        epochs = [seen.position.epoch for seen in self._claims]
        return self._other_epoch or (present if present in epochs or not epochs else epochs[0])

    def _in(self, epoch: str) -> list[Observation]:
        return [seen for seen in self._claims if seen.position.epoch == epoch]
