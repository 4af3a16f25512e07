"""What one room writes to its live members, and when.

Owns the ways to write to them and, where the room's rule has a `gather_ms`, what waits for its end. Promises that every
live member gets all of it in order, each packet once, and that what came in one turn leaves in one write per member.

With a window of 50 ms: the first message after a quiet moment leaves at once, and opens a window. What comes in it
leaves at its end, in one write per member, and opens the next one. So a room writes to a member at most every 50 ms,
and what comes seldom waits for nothing. Whoever stops being live gets what waits first, by itself: it then has all up
to the room's position, as if nothing had waited. Whoever becomes live meanwhile has got that in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.metrics import delivered
from gateway.rooms.batch import Batch
from gateway.rooms.fanout import Targets
from gateway.rooms.member import Member, MemberState, Traffic

GATHERED_BYTES_MAX = 16_384
"""With more than that waiting nobody waits for the end of the window: a write stays well below what a socket may hold
unsent."""

Members = Mapping[str, Member[Any]]

OpenWindow = Callable[[Any], object]
"""Takes a room that gathers, and calls its `outgoing.window_over` after its `gather_ms`."""


class Outgoing:
    """What a room writes.

    traffic       what live members have got
    _members      the room's, live or not
    _targets      the live ones as ways to write; None after a change
    _open_window  opens a window, at the end of which `window_over` is called; None where nothing waits
    _is_open      whether there is a window now
    _waiting      what has come in it; None where nothing has
    """

    __slots__ = ("_is_open", "_members", "_open_window", "_targets", "_waiting", "traffic")

    def __init__(self, members: Members, open_window: Callable[[], object] | None) -> None:
        self._members = members
        self._open_window = open_window
        self._targets: Targets | None = None
        self._is_open = False
        self._waiting: Batch | None = None
        self.traffic = Traffic()

    # -- members

    def changed(self) -> None:
        """A member is live from now on, or no longer, or writes in another way."""
        self._targets = None

    def enters(self, member: Member[Any]) -> None:
        """A member becomes live, which has got what waits."""
        self._targets = None
        if member.state is not MemberState.LIVE and self._waiting is not None:
            messages, size = self._waiting.skip_all(member.session)
            member.count(-messages, -size)  # it is counted with the others when they get it

    def settle(self, member: Member[Any]) -> None:
        """A member will not be live any more: it gets what waits."""
        self._targets = None
        if self._waiting is not None and member.state is MemberState.LIVE:
            packets, messages, size = self._waiting.of(member.session)
            # First: it may fall behind by what it gets, and is settled again.
            self._waiting.skip_all(member.session)
            member.count(messages, size)
            delivered.value += messages
            if packets:
                member.socket.send_texts(packets)

    # -- writing

    def messages(self, packets: list[bytes], is_measured: bool) -> None:
        """Stored messages, for all live members."""
        if self._open_window is not None:
            self.leave(Batch(packets, is_measured=is_measured))
            return
        targets = self._targets
        if targets is None:
            targets = self._targets = self._live_but(())
        delivered.value += len(packets) * targets.write(packets, is_measured)
        self.traffic.add(packets)

    def leave(self, batch: Batch) -> None:
        """Writes what came in one turn to all live members: now, or at the end of the window."""
        if self._open_window is None:
            self._write(batch)
        elif not self._is_open:
            self._is_open = True
            self._open_window()
            self._write(batch)
        elif self._waiting is None:
            self._waiting = batch
        else:
            self._waiting.extend(batch)
            if self._waiting.size > GATHERED_BYTES_MAX:
                self.flush()

    def window_over(self) -> None:
        """The end of the window; what leaves now opens the next one."""
        self._is_open = False
        if self._waiting is not None and self._open_window is not None:
            self._is_open = True
            self._open_window()
            self.flush()

    def flush(self) -> None:
        """Writes what waits."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._write(waiting)

    def now(self, packets: Sequence[bytes]) -> None:
        """Writes packets to all live members at once, behind what waits, in one write with it: who falls behind by that
        has got both."""
        batch = self._waiting or Batch([])
        self._waiting = None
        batch.extend(Batch(list(packets)))
        self._write(batch)

    def _write(self, batch: Batch) -> None:
        apart = (
            [one for one in map(self._members.get, batch.skipped) if one is not None] if batch.skipped else ()
        )
        if not apart:
            targets = self._targets
            if targets is None:
                targets = self._targets = self._live_but(())
            count = targets.write(batch.packets, batch.is_measured)
        else:
            count = self._live_but(batch.skipped).write(batch.packets, batch.is_measured)
        delivered.value += batch.messages * count
        for member in apart:
            self._write_apart(batch, member)
        self.traffic.messages += batch.messages
        self.traffic.bytes += batch.message_bytes

    def _write_apart(self, batch: Batch, member: Member[Any]) -> None:
        if member.state is MemberState.LIVE:
            packets, messages, _ = batch.of(member.session)
            delivered.value += messages
            if packets:
                member.socket.send_texts(packets)

    def _live_but(self, sessions: Sequence[str] | Mapping[str, object]) -> Targets:
        return Targets(
            member.socket
            for session, member in self._members.items()
            if member.state is MemberState.LIVE and session not in sessions
        )
