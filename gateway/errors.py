"""What can go wrong with Redis, whoever asks."""

from __future__ import annotations

from dataclasses import dataclass


class StoreError(Exception):
    """Redis did not do what was asked."""


class StoreUnavailable(StoreError):
    """No answer in time, no connection, or a state that passes; whether the command ran is not known."""


class StoreDenied(StoreUnavailable):
    """This user may not do that, or is not let in; it passes when somebody changes the user's rights."""


class StoreRefused(StoreError):
    """Redis answered with an error that trying again does not change."""


class TooSoon(StoreError):
    """The sender's last message in this room was too recent; nothing was stored."""

    def __init__(self, wait_ms: int) -> None:
        super().__init__(f"the next message may come in {wait_ms} ms")
        self.wait_ms = wait_ms


class Moderated(StoreError):
    """Moderators do not allow it: nothing was stored. `reason` is `muted`, `kicked` or `closed`; until that time (ms
    since 1970)."""

    def __init__(self, reason: str, until_ms: int) -> None:
        super().__init__(f"{reason} until {until_ms} ms")
        self.reason = reason
        self.until_ms = until_ms


class KeyReused(StoreError):
    """The sender has used this idempotency key for another message; nothing was stored."""


class NameTaken(StoreError):
    """Another user, who has shown a token, is in the room under a name that looks like this one; nothing was stored."""


class StoreMoved(StoreError):
    """A Cluster node answered MOVED or ASK: the command belongs to another node."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why Redis cannot be used now, for whoever runs the gateway."""

    sentence: str
    """What is wrong and where, without a full stop; never a password."""
    advice: str
    """Whether waiting can help, and what to do; empty where the sentence says it."""
    is_brief: bool = False
    """It may be over in an instant: nothing has failed, a connection is just being opened."""

    def __str__(self) -> str:
        return self.sentence


class StoreUnreachable(StoreUnavailable):
    """There is no connection to Redis, or it is no server for the gateway; `trouble` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.sentence)
        self.trouble = trouble
