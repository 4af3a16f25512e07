"""Heartbeats and time-outs of all sessions of a worker, on one timer.

Owns when a session is pinged, when a pong is late, and how long anything may take that a client must finish: its
CONNECT, its upgrade, its closing, the draining of its buffer. Time-outs know a session by its id, so that one that has
ended is not kept until they fall due: 25 s by default, in which a worker may see 100,000 come and go.
"""

from __future__ import annotations

import time

from gateway.metrics import pong_seconds
from gateway.option_groups import EngineOptions
from gateway.timers import Timers
from gateway.transport.connection import WebSocketConnection
from gateway.transport.library_socket import PING, Reason
from gateway.transport.socket import EngineSocket
from gateway.websocket.close_codes import NORMAL

LINGER_S = 2.0
"""How long a closed WebSocket may take to answer the close frame, and a polling client to fetch its last packets."""

PINGS_IN = 16
"""Of so many pings of the worker one is measured."""

HELD_UP_S = 0.05
"""A ping that leaves later than this after it was due, because the worker stood still, does not shorten the time in
which it is to be answered."""

UPGRADE_S = 10.0
"""How long a probing WebSocket may take to finish its upgrade; the reference server's `upgradeTimeout`."""


TOGETHER_S = 0.1
"""Pings of so much time leave together, and their pongs come together: 27 µs for both, where a worker that wakes for
each single one spends 37 (2,000 idle connections)."""


class Heartbeats:
    """The time-outs of one engine, a queue for each length."""

    def __init__(self, options: EngineOptions, sockets: dict[str, EngineSocket]) -> None:
        """`sockets` are the engine's sessions by id, until their ends; one that lingered is taken out of them."""
        timers = self.timers = Timers()  # the rooms and presence of the worker set theirs on it too
        self._sockets = sockets
        self._pings_sent = 0
        self._measured: dict[
            str, float
        ] = {}  # when pings left whose pongs are measured, until these are late
        # A ping is due, and the pong to it is late; each with the beat that it belongs to.
        self._pings = timers.queue(
            options.ping_interval_s, self._ping_due, _together_s(options.ping_interval_s)
        )
        self._pongs = timers.queue(options.ping_timeout_s, self._pong_due)
        # A session has been behind for too long.
        self._stuck = timers.queue(options.stuck_s, self._stuck_due)
        # A closing connection was not closed by its peer, or a session's last packets were not fetched.
        self._lingers = timers.queue(LINGER_S, self._linger_due)
        # A probing WebSocket did not finish its upgrade.
        self._upgrades = timers.queue(UPGRADE_S, self._upgrade_due)
        # A session entered no namespace; no queue where that is allowed.
        connect_s = options.connect_timeout_s
        self._connects = timers.queue(connect_s, self._connect_due) if connect_s is not None else None

    def opened(self, socket: EngineSocket) -> None:
        """A session began: it is pinged from now on, and must CONNECT in time."""
        self.schedule_ping(socket)
        if self._connects is not None:
            self._connects.add(socket.sid)

    def linger(self, item: EngineSocket | WebSocketConnection) -> None:
        """Ends a closing connection if its peer does not, or forgets a session that was kept for its last packets."""
        self._lingers.add(item if isinstance(item, WebSocketConnection) else item.sid)

    def close(self) -> None:
        """Stops; connections that linger are ended."""
        for _, item in self._lingers.entries:
            if isinstance(item, WebSocketConnection):
                item.abort()
        self.timers.close()

    def watch_upgrade(self, websocket: WebSocketConnection) -> None:
        """Closes a probing WebSocket that does not finish its upgrade."""
        self._upgrades.add(websocket)

    def schedule_ping(self, socket: EngineSocket) -> None:
        """The next heartbeat is one interval from now."""
        self._pings.add((socket.sid, socket.beat))

    def answered(self, socket: EngineSocket) -> None:
        """A ping was answered. The next one is due."""
        if (left_s := self._measured.pop(socket.sid, None)) is not None:
            pong_seconds.observe(time.monotonic() - left_s)
        self.schedule_ping(socket)

    def watch_stuck(self, socket: EngineSocket) -> float:
        """Closes the socket if it is still behind at the time that is returned."""
        return self._stuck.add(socket.sid)

    def _living(self, sid: str) -> EngineSocket | None:
        socket = self._sockets.get(sid)
        return socket if socket is not None and not socket.closed else None

    def _ping_due(self, item: tuple[str, int], due_s: float) -> None:
        sid, beat = item
        socket = self._living(sid)
        if socket is None or socket.beat != beat:
            return
        socket.awaits_pong = True
        socket.deadline_s = self._pongs.add(item, max(due_s, time.monotonic() - HELD_UP_S))
        self._pings_sent += 1
        if self._pings_sent % PINGS_IN == 1:
            self._measured[sid] = time.monotonic()
        socket.send_text(PING)

    def _pong_due(self, item: tuple[str, int], due_s: float) -> None:
        sid, beat = item
        self._measured.pop(sid, None)
        socket = self._living(sid)
        if socket is not None and socket.awaits_pong and socket.beat == beat:
            socket.end(Reason.PING_TIMEOUT, packet=None)

    def _stuck_due(self, sid: str, due_s: float) -> None:
        socket = self._living(sid)
        if socket is not None and socket.is_behind and socket.stuck_due_s == due_s:
            websocket = socket.websocket
            socket.end(Reason.TRANSPORT_ERROR, packet=None)
            if websocket is not None:
                websocket.abort()

    def _connect_due(self, sid: str, due_s: float) -> None:
        socket = self._living(sid)
        if socket is not None and not socket.connects:
            socket.end(Reason.TRANSPORT_CLOSE)

    def _linger_due(self, item: str | WebSocketConnection, due_s: float) -> None:
        if isinstance(item, WebSocketConnection):
            item.abort()
        else:
            self._sockets.pop(item, None)

    def _upgrade_due(self, websocket: WebSocketConnection, due_s: float) -> None:
        if not websocket.is_settled:
            websocket.close(NORMAL, None)


def _together_s(interval_s: float) -> float:
    """How late a ping may be: a hundredth of the interval, and no more than clients notice."""
    return min(TOGETHER_S, interval_s / 100)
