"""What can go wrong with Redis, whoever asks."""

from __future__ import annotations


class StoreError(Exception):
    """Redis did not do what was asked."""


class StoreUnavailable(StoreError):
    """No answer in time, no connection, or a state that passes; whether the command ran is not known."""


class StoreRefused(StoreError):
    """Redis answered with an error that trying again does not change."""


class StoreMoved(StoreError):
    """A Cluster node answered MOVED or ASK: the command belongs to another node."""
