"""Loss detection: what a worker has observed in a room, held against a Redis that may have lost it.

A failover leads to a server that may lack messages which the old one acknowledged. The old one may also go on for those
who have not heard of the failover. Example: worker A moves to the new server at position 7; worker B is still at the
old one, is acknowledged 8 there, and follows. Only B knows of that 8. So:

- When a server is left, what was observed there is kept: the last message that members saw, and the last one that was
  acknowledged. Those are observations.
- Each publish and each reading of the room says what was observed (`state/scripts/epoch.lua` judges it).
- An observation is kept until the new server has been told. One that does not hold there makes the room begin a new
  epoch, by which all workers hear of the loss.

Values only, no I/O.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.protocol import Position, receive_json
from gateway.rooms.position_check import Observation
from gateway.state.history import NO_POSITION, Observed, Snapshot

OBSERVATIONS_MAX = 16
"""Observations that are kept of a room: two for each server that is left, so eight failovers before the first of them
has been told. Of more, which only servers that change by the second bring, the newest are kept."""


class LossDetector:
    """What one worker has observed in one room.

    _acknowledged   the highest position that was acknowledged here, in the epoch of the last acknowledgement
    _entry          the message that got it, as it is stored; empty before the first
    _observations   what was observed at servers that were left, and when those were last heard (`clock` seconds)
    _told           those of them that the reading under way tells
    _renumbered     the epoch in which Redis gave a number again; empty if none
    """

    __slots__ = (
        "_acknowledged", "_clock", "_entry", "_observations", "_renumbered", "_room_json", "_told",
    )  # fmt: skip

    def __init__(self, room_json: bytes, clock: Callable[[], float]) -> None:
        """`room_json` is the room's name as JSON: messages are kept as the channel brings them."""
        self._room_json = room_json
        self._clock = clock
        self._acknowledged, self._entry = NO_POSITION, b""
        self._observations: dict[Observation, float] = {}
        self._told: list[Observation] = []
        self._renumbered = ""

    @property
    def has_observations(self) -> bool:
        """Whether something was observed at a server that was left, and nobody has been told."""
        return bool(self._observations)

    def oldest_seq(self, epoch: str) -> int | None:
        """The lowest seq of the observations in an epoch: a snapshot must show what is there now."""
        return min((one.position.seq for one in self._in(epoch)), default=None)

    def acknowledged(self, epoch: str, seq: int, entry: bytes) -> None:
        """A message, as it is stored, got this position."""
        if epoch != self._acknowledged.epoch or seq > self._acknowledged.seq:
            self._acknowledged, self._entry = Position(epoch, seq), entry

    def server_left(self, position: Position, data: bytes | None, last_heard_s: float) -> None:
        """A server was left, last heard at `last_heard_s`, with the room at this position and this last message."""
        if self._entry:
            data_there = receive_json(self._entry, self._room_json, self._acknowledged)
            self._add(Observation(self._acknowledged, data_there), last_heard_s)
        self._add(Observation(position, data), last_heard_s)

    def renumbered(self, epoch: str) -> None:
        """Redis gave a number of this epoch to another message than before: the room must begin another epoch."""
        self._renumbered = epoch

    def highest_seq(self, epoch: str, seq: int) -> int | None:
        """What a publish says, with the room at this position, if nothing is suspicious: the highest seq of the epoch
        that is known to have existed. None if `observed` must say more."""
        if self._observations or self._renumbered:
            return None
        last = self._acknowledged
        return last.seq if last.epoch == epoch and last.seq > seq else seq

    def observed(self, position: Position) -> Observed:
        """What a publish says, with the room at `position`."""
        seq = self.highest_seq(*position)
        if seq is not None:
            return Observed(Position(position.epoch, seq))
        last = self._acknowledged
        epoch = self._epoch_to_tell(position.epoch)
        there = self._in(epoch)
        known = [position, last, *(one.position for one in there)]
        age_ms = None
        if there:
            age_s = self._clock() - max(self._observations[one] for one in there)
            age_ms = int(max(0.0, age_s) * 1000)
        highest = max((one.seq for one in known if one.epoch == epoch), default=0)
        return Observed(Position(epoch, highest), bool(self._renumbered), age_ms)

    def ask(self, position: Position) -> Observed:
        """The same for a reading of the room; `confirm` follows if the server that answered is the right one."""
        observed = self.observed(position)
        self._told = self._in(observed.position.epoch)
        return observed

    def confirm(self) -> None:
        """The server that took over has been told what the last `ask` said."""
        for one in self._told:
            self._observations.pop(one, None)
        self._told = []

    def is_contradicted(self, snapshot: Snapshot, last: Observation | None) -> bool:
        """Whether Redis has other messages in the places of observations, or in that of the `last` message that live
        members saw, or shows no longer what is in the place of an observation. It must begin a new epoch then."""
        room_json = self._room_json
        is_other = any(
            one.is_contradicted(snapshot, room_json) or one.is_trimmed(snapshot) for one in self._observations
        )
        if not is_other and last is not None:
            is_other = last.is_contradicted(snapshot, room_json)
        self._renumbered = snapshot.epoch if is_other else ""
        return is_other

    def _add(self, observation: Observation, last_heard_s: float) -> None:
        """The connection that leaves first may have heard the server less recently than the other one, by which the
        last acknowledgement came: the later time counts."""
        if observation.position.epoch:
            known_s = self._observations.get(observation, last_heard_s)
            self._observations[observation] = max(known_s, last_heard_s)
            for oldest in list(self._observations)[:-OBSERVATIONS_MAX]:
                del self._observations[oldest]

    def _epoch_to_tell(self, present: str) -> str:
        """One epoch is told at a time: the one that was renumbered, else the present one if there are no observations
        or some in it, else that of the oldest observation."""
        epochs = [one.position.epoch for one in self._observations]
        return self._renumbered or (present if present in epochs or not epochs else epochs[0])

    def _in(self, epoch: str) -> list[Observation]:
        return [one for one in self._observations if one.position.epoch == epoch]
