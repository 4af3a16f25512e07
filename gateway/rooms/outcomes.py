"""What came of a message, beside its position."""

from __future__ import annotations


class StoredBefore(str):
    """The position of a message that was stored before, under the same idempotency key."""

    __slots__ = ()
