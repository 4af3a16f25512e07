"""The application sees a message before it is stored: it is asked by one POST, and allows, changes or refuses it.

Owns when it is asked, and what its answer means:

- At most `IN_FLIGHT_MAX` questions are under way. While half of the last `WINDOW` have failed, it is left alone for
  `PAUSE_S`. A question that fails is not repeated: the caller decides what that means for the message.
- What it said of a message with an idempotency key is remembered for `REMEMBERED_S`: who sends the message again,
  because no answer came, is told the same.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
import structlog

from gateway.access.application import IN_FLIGHT_MAX, PAUSE_S, Application, Breaker
from gateway.access.fetching import FetchFailed
from gateway.access.permissions import HookAway
from gateway.metrics import send_hook_answers

log = structlog.get_logger("gateway.access")

LIMIT_S = 1.0
"""Longest wait for an answer: the message waits for it, and what the same client says behind it."""

REMEMBERED_S = 60.0
"""For so long what was said of a message with a key holds."""

REMEMBERED_MAX = 1_000
"""Answers that are remembered: 33 MB, if all were about longest texts of emoji and changed them; usually a few hundred
kilobytes. Of more, the oldest are forgotten."""

SENTENCE_MAX = 200
"""Longest sentence with which the application refuses a message."""


class Said(NamedTuple):
    """A message that somebody wants to send.

    moderation  what the room's rule calls this
    room        where
    message     its text
    username    under which name
    user        the user's id; empty for a guest
    meta        what the client said beside the text, as JSON; empty for nothing
    key         its idempotency key; empty without one
    """

    moderation: str
    room: str
    message: str
    username: str
    user: str
    meta: bytes
    key: str

    def question(self) -> dict[str, Any]:
        """What the application is asked."""
        asked: dict[str, Any] = {
            "hook": "send",
            "moderation": self.moderation,
            "room": self.room,
            "message": self.message,
            "username": self.username,
            "user": self.user or None,
        }
        if self.meta:
            asked["meta"] = orjson.loads(self.meta)
        return asked


class Verdict(NamedTuple):
    """Whether a message is allowed. `text` is what is stored then, or what the sender is told: empty for the usual."""

    is_allowed: bool
    text: str


class SendHook:
    """What the application says of messages."""

    def __init__(
        self,
        application: Application,
        message_max: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`message_max` is the length of the longest message that may be stored."""
        self._application = application
        self._message_max = message_max
        self._clock = clock
        self._asking = 0
        self._breaker = Breaker()
        self._remembered: OrderedDict[Said, tuple[float, Verdict]] = OrderedDict()

    async def judge(self, said: Said) -> Verdict:
        """What the application says. Raises HookAway."""
        remembered = self._remembered.get(said)
        if remembered is not None and remembered[0] > self._clock():
            send_hook_answers.because("known")
            return remembered[1]
        self._check()
        self._asking += 1
        try:
            answered = await self._application.ask(said.question())
            verdict = _verdict(answered.data, said.message, self._message_max)
        except (FetchFailed, HookAway) as failed:
            self._note(str(failed))
            raise HookAway(str(failed)) from None
        finally:
            self._asking -= 1
        self._note("")
        _count(verdict, said)
        if said.key:
            self._remember(said, verdict)
        return verdict

    def _check(self) -> None:
        """Raises HookAway where nobody is to be asked now."""
        if self._breaker.is_open(self._clock()):
            send_hook_answers.because("paused")
            raise HookAway
        if self._asking >= IN_FLIGHT_MAX:
            send_hook_answers.because("too_many")
            raise HookAway

    def _remember(self, said: Said, verdict: Verdict) -> None:
        self._remembered.pop(said, None)
        self._remembered[said] = (self._clock() + REMEMBERED_S, verdict)
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)

    def _note(self, failure: str) -> None:
        """One question has ended; `failure` says why it failed, if it did."""
        if failure:
            send_hook_answers.because("failed")
            if self._breaker.is_calm:
                log.warning("send_hook_failed", why=failure)
        if self._breaker.note(not failure, self._clock()):
            log.error("send_hook_paused", why=failure, for_s=PAUSE_S)

    async def close(self) -> None:
        """Closes the connections."""
        await self._application.close()


def _count(verdict: Verdict, said: Said) -> None:
    if not verdict.is_allowed:
        send_hook_answers.because("refused")
    else:
        send_hook_answers.because("allowed" if verdict.text == said.message else "changed")


def _verdict(read: Any, message: str, message_max: int) -> Verdict:
    """Reads `{"allow": true, "message"?: …}`; what is anything else is no answer. Raises HookAway."""
    allow = read.get("allow") if isinstance(read, dict) else None
    text = read.get("message") if isinstance(read, dict) else None
    if not isinstance(allow, bool) or not isinstance(text, str | None):
        raise HookAway('its answer is not {"allow": true} or {"allow": false}')
    if not allow:
        return Verdict(False, (text or "")[:SENTENCE_MAX])
    if text is None:
        return Verdict(True, message)
    if not 1 <= len(text) <= message_max:
        raise HookAway("its message is empty or too long")
    return Verdict(True, text)
