"""Follows what is revoked and banned, and ends the sessions that are refused now.

1. Each heartbeat brings the version of what Redis holds, and a word on `gateway:control` brings it at once.
2. When the version is another than the one that was read, all entries are read, in pieces.
3. Sessions that a new entry refuses get an `error` with the reason, and their connection is closed. A stock client
   comes back, and is refused at CONNECT for good.

While Redis is away the copy in memory decides. When Redis has lost what it held, the copy stays too: a ban that was
lost must not let anybody in before somebody sees that. New workers do not know it, so it is logged as an error.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from gateway.access.identity import NotAdmitted, Reason
from gateway.access.revocations import Revocations
from gateway.chat.control import Word
from gateway.chat.session import Session
from gateway.chat.sessions import Sessions
from gateway.errors import StoreError, StoreUnavailable
from gateway.metrics import revoked_sessions
from gateway.protocol import Refusal
from gateway.state.revocations import BAN, USER, RevocationStore

log = structlog.get_logger("gateway.chat")

PAUSE_S = 0.1
"""Least time between two readings: in a storm of changes each reading brings many."""

SESSIONS_AT_ONCE = 100
"""Sessions that are looked at before others are served; to end one takes about 0.1 ms."""


class Revoking:
    """Keeps a worker's copy up to date."""

    def __init__(self, store: RevocationStore, copy: Revocations, sessions: Sessions) -> None:
        self._store = store
        self._copy = copy
        self._sessions = sessions
        self._version: bytes | None = None  # the one that was read; None before
        self._wanted = asyncio.Event()
        self._failure = ""  # of the last reading; logged when it changes

    def on_version(self, version: bytes | None) -> None:
        """A heartbeat, or a word, brought the version; None where it could not be found out."""
        if version is not None and version != self._version:
            self._wanted.set()

    def on_word(self, word: Word) -> None:
        """The word `revoked` came, with the `version`. Raises KeyError or ValueError."""
        version = word["version"]
        if not isinstance(version, str):
            raise ValueError("no version")
        self.on_version(version.encode())

    async def run(self) -> None:
        """Woken by a version that is not the one that was read; ended by cancellation. What fails is due again with the
        next heartbeat."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self.read()
            await asyncio.sleep(PAUSE_S)

    async def read(self) -> None:
        """Reads everything, if it has changed, and ends who is refused now. Never raises for what Redis answers."""
        try:
            await self._read()
            self._failure = ""
        except Exception as error:  # whatever it is: without this loop a worker would never learn of a ban
            if str(error) != self._failure and not isinstance(error, StoreUnavailable):
                is_odd = not isinstance(error, StoreError)
                log.error("revocations_unreadable", reason=str(error), exc_info=error if is_odd else None)
            self._failure = str(error)

    async def _read(self) -> None:
        version = await self._store.version()
        if version == self._version:
            return
        if not version and self._version:
            log.error("revocations_lost", kept_in_memory=self._copy.count)
            self._version = version
            return
        self._copy.begin()
        async for piece in self._store.pieces():
            await self._end_refused(self._copy.take(piece))
            await asyncio.sleep(0)  # several pieces may have come at once
        self._copy.finish()
        self._version = version
        if version:
            unreadable = self._copy.unreadable
            log.info(
                "revocations_read",
                entries=self._copy.count,
                **({"unreadable": unreadable} if unreadable else {}),
            )

    # -- sessions

    async def _end_refused(self, changed: list[str]) -> None:
        """Ends the sessions that new entries refuse. Those of a user are few; for a token or a network all are looked
        at, a few at a time."""
        for field in changed:
            kind, colon, name = field.partition(":")
            if kind + colon in (USER, BAN):
                for session in self._sessions.of_user(name):
                    self._judge(session)
        if all(field.startswith((USER, BAN)) for field in changed):
            return
        everybody = self._sessions.all()
        for at in range(0, len(everybody), SESSIONS_AT_ONCE):
            for session in everybody[at : at + SESSIONS_AT_ONCE]:
                self._judge(session)
            await asyncio.sleep(0)

    def _judge(self, session: Session) -> None:
        if session.is_over:
            return
        refused = self._copy.refuses(session.identity, session.address, time.time())
        if refused is not None:
            _end(session, refused)


def _end(session: Session, refused: NotAdmitted) -> None:
    session.is_over = True  # whatever else refuses it, it was told
    revoked_sessions.because(refused.reason.value)
    log.info("session_revoked", session=session.sid, user=session.identity.user or None, reason=refused.cause)
    session.tell(Refusal(refused.code, refused.sentence, reason=refused.reason.value))
    session.socket.end("banned" if refused.reason is Reason.BANNED else "token revoked")
