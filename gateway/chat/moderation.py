"""What moderators do, whoever asks for it: a client with the grant, or the application by its API.

State first, then the word: what is decided about a room stands in Redis, where the scripts that let people in and let
them speak look at it; then all workers are told, and take out who must go. A word that is lost costs the seconds until
a worker's next look, and nothing else.

Owns what each operation writes, its line in the log (who did it, never a text), and its count. Who may do it has been
decided before.
"""

from __future__ import annotations

from typing import NamedTuple

import structlog

from gateway.chat.control import Control
from gateway.chat.not_allowed import not_allowed
from gateway.errors import Moderated, StoreError
from gateway.interfaces import CommandStore
from gateway.metrics import moderations
from gateway.moderation_events import Target
from gateway.protocol import Position, Refusal
from gateway.rooms.publisher import Publisher
from gateway.state.changing import EDITED, REDACTED, NotFound, NotOwn, TextChange, TooOld, change_text
from gateway.state.moderation import FOREVER_S, Decided, ModerationStore, subject_of

log = structlog.get_logger("gateway.chat")

WORD = "moderated"
"""What all workers are told, with the room."""

TOO_MANY = "Too many are muted or kicked in this room; wait until some of it ends, or take some back."


class Outcome(NamedTuple):
    """How many sessions it is about, and until when it stands (ms since 1970; 0 if it does not)."""

    sessions: int
    until_ms: int = 0


class Moderation:
    """The operations; `by` is who does it: a user's id, or an API key's name. All raise a StoreError when the store
    does not do it, and Refusal for what may not be."""

    def __init__(self, store: CommandStore, control: Control, publisher: Publisher) -> None:
        self._store = store
        self._control = control
        self._publisher = publisher
        self._state = ModerationStore(store)

    # -- messages

    async def redact(self, by: str, room: str, position: Position) -> int:
        """Takes a message's text and `meta` away; its place, sender and time stay. Returns when that was (ms). To do it
        again tells the room again. Raises Refusal `not_found`."""
        at_ms = await self._change(TextChange(room, position, REDACTED, "", by))
        self._done("redact", "message_redacted", by, room, id=str(position))
        return at_ms

    async def edit(self, by: str, room: str, position: Position, message: str) -> int:
        """Gives a message another text. Returns when that was (ms). Raises Refusal `not_found`, also for one that was
        redacted."""
        at_ms = await self._change(TextChange(room, position, EDITED, message, by))
        self._done("edit", "message_edited", by, room, id=str(position))
        return at_ms

    async def edit_own(self, user: str, room: str, position: Position, message: str, own_s: float) -> int:
        """The same by who has sent it, at most `own_s` ago. Raises Refusal `forbidden` for another's or one that
        is older."""
        at_ms = await self._change(TextChange(room, position, EDITED, message, user, user, own_s))
        self._done("edit", "message_edited", user, room, id=str(position))
        return at_ms

    async def _change(self, change: TextChange) -> int:
        self._publisher.will_change(change.room)
        try:
            return await change_text(self._store, self._publisher.channel(change.room, "changed"), change)
        except NotFound as missing:
            raise Refusal("not_found") from missing
        except NotOwn as others:
            raise Refusal("forbidden", "That message is not yours.", operation="edit") from others
        except TooOld as late:
            raise Refusal("forbidden", "That message is too old to be edited.", operation="edit") from late
        except Moderated as refused:
            raise not_allowed(refused, "edit") from refused

    # -- people

    async def kick(self, by: str, room: str, target: Target, for_s: float = 0.0, reason: str = "") -> Outcome:
        """Takes all sessions of somebody out of a room, on all workers; nobody of that name comes back for `for_s`."""
        sessions = await self._state.sessions(room, *target)
        decided = _checked(await self._state.kick(room, subject_of(*target), for_s, reason))
        await self._tell(room, decided)
        self._done("kick", "user_kicked", by, room, **_about(target), for_s=for_s)
        return Outcome(sessions, decided.until_ms)

    async def mute(self, by: str, room: str, target: Target, for_s: float | None = None) -> Outcome:
        """Lets somebody not speak in a room, by messages, edits or signals; without `for_s` until it is taken back."""
        decided = _checked(await self._state.mute(room, subject_of(*target), _or_forever(for_s)))
        await self._tell(room, decided)
        self._done("mute", "user_muted", by, room, **_about(target), for_s=for_s)
        return Outcome(await self._state.sessions(room, *target), decided.until_ms)

    async def unmute(self, by: str, room: str, target: Target) -> Outcome:
        """Lets somebody speak again."""
        await self._tell(room, await self._state.mute(room, subject_of(*target), None))
        self._done("unmute", "user_unmuted", by, room, **_about(target))
        return Outcome(await self._state.sessions(room, *target))

    # -- rooms

    async def slow(self, by: str, room: str, seconds: float | None, for_s: float | None = None) -> Outcome:
        """Sets the least time between two messages of one user, in place of the rule's; None lets the rule count
        again. Moderators need not wait."""
        lasts_s = None if seconds is None else _or_forever(for_s)
        decided = await self._state.slow(room, seconds or 0.0, lasts_s)
        await self._tell(room, decided)
        self._done("slow", "room_slowed", by, room, seconds=seconds, for_s=for_s)
        return Outcome(await self._state.everybody(room), decided.until_ms)

    async def close(self, by: str, room: str, for_s: float | None = None, reason: str = "") -> Outcome:
        """Takes everybody out of a room; nobody comes in or speaks there, until it ends or is taken back."""
        sessions = await self._state.everybody(room)
        decided = await self._state.close(room, _or_forever(for_s), reason)
        await self._tell(room, decided)
        self._done("close", "room_closed", by, room, for_s=for_s)
        return Outcome(sessions, decided.until_ms)

    async def reopen(self, by: str, room: str) -> Outcome:
        """Lets people in again."""
        await self._tell(room, await self._state.close(room, None))
        self._done("reopen", "room_reopened", by, room)
        return Outcome(0)

    # -- telling

    async def _tell(self, room: str, decided: Decided) -> None:
        """Workers that do not hear the word find the room noted."""
        await self._state.note(room, decided.at_ms)
        try:
            await self._control.say(WORD, room=room)
        except StoreError as error:
            log.warning("moderation_word_not_said", room=room, reason=str(error))

    def _done(self, what: str, event: str, by: str, room: str, **about: object) -> None:
        moderations.because(what)
        known = {name: value for name, value in about.items() if value is not None}
        log.info(event, by=by, room=room, **known)


def _checked(decided: Decided) -> Decided:
    if not decided.is_done:
        raise Refusal("forbidden", TOO_MANY, reason="too_many")
    return decided


def _or_forever(for_s: float | None) -> float:
    return FOREVER_S if for_s is None else for_s


def _about(target: Target) -> dict[str, str]:
    return {"user": target.user} if target.user else {"username": target.username}
