"""Answers to what clients sent, as the store gives them: those that come together leave together.

Redis answers many commands at once, and a client that has sent a burst then gets many acknowledgements. Each in a write
of its own is a call of the system for 40 bytes: uvloop and asyncio write at once, and join nothing. So the answers of a
burst wait until the event loop has handled all that has arrived, and leave in one write for each client, in their
order. Who waits for one answer only, as most do, gets it at once.

Owns the answers that wait; no longer than to the next turn of the loop.
"""

from __future__ import annotations

import asyncio

from gateway.chat.session import Session


class Answers:
    """The answers of one worker."""

    def __init__(self) -> None:
        self._waiting: dict[Session, list[bytes]] = {}

    def add(self, session: Session, packet: bytes) -> None:
        """Sends an answer to a client, behind what waits for it."""
        waiting = self._waiting
        if (packets := waiting.get(session)) is not None:
            packets.append(packet)
        elif session.unanswered:
            if not waiting:
                asyncio.get_running_loop().call_soon(self.leave)
            waiting[session] = [packet]
        else:
            session.socket.send_text(packet)

    def leave(self) -> None:
        """Writes all that waits, now."""
        waiting, self._waiting = self._waiting, {}
        for session, packets in waiting.items():
            session.socket.send_texts(packets)
