"""What is revoked and banned, as a worker has it in memory.

Owns the copy and the judgement by it: a look into a few dictionaries, so that it can be asked at each handshake and
each CONNECT, and answers while Redis is away. A ban that has ended refuses nobody, whether or not it was taken away.
An entry that nobody can read counts for nothing and is counted. Values only: the caller passes the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.access.identity import Identity, NotAdmitted, Reason
from gateway.access.networks import Networks
from gateway.state.revocations import BAN, NETWORK, TOKEN, USER
from gateway.transport.proxies import network_of

Entry = tuple[bytes, bytes]
"""Field and value, as `state/revocations.py` describes them."""


class Revocations:
    """The copy. It is read anew in pieces: `begin`, `take` for each piece, `finish`. What a piece adds counts at once,
    and what is there no more until `finish`, so that nobody slips in while it is read."""

    def __init__(self) -> None:
        self.is_known = False
        """Whether it was read at all."""
        self._entries: dict[bytes, bytes] = {}  # all of them, as they were read
        self._seen: set[bytes] = set()  # in this reading
        self._unreadable: set[bytes] = set()
        self._not_before: dict[str, float] = {}  # user → tokens issued at that time or before are revoked
        self._tokens: dict[str, float] = {}  # id → until when
        self._bans: dict[str, float] = {}  # user → until when; 0 is for ever
        self._networks = Networks()  # the same for networks
        self._kinds: dict[str, tuple[Callable[[str, list[float]], None], Callable[[str], object]]] = {
            USER: (self._put_user, lambda user: self._not_before.pop(user, None)),
            TOKEN: (self._put_token, lambda token_id: self._tokens.pop(token_id, None)),
            BAN: (self._put_ban, lambda user: self._bans.pop(user, None)),
            NETWORK: (self._put_network, lambda network: self._networks.remove(network_of(network))),
        }

    @property
    def count(self) -> int:
        """How many entries there are."""
        return len(self._entries)

    @property
    def unreadable(self) -> int:
        """How many entries nobody can read."""
        return len(self._unreadable)

    # -- judging

    def refuses(self, identity: Identity, address: str | None, now_s: float) -> NotAdmitted | None:
        """Why a client with this identity and address (in its usual form; None if nobody knows it) is refused."""
        if identity.user:
            if _holds(self._bans.get(identity.user), now_s):
                return NotAdmitted(Reason.BANNED, "You are banned.")
            not_before_s = self._not_before.get(identity.user)
            if not_before_s is not None and identity.issued_at_s <= not_before_s:
                return NotAdmitted(Reason.REVOKED, "Your token was revoked.")
            if identity.token_id and _holds(self._tokens.get(identity.token_id), now_s):
                return NotAdmitted(Reason.REVOKED, "Your token was revoked.")
        if self.refuses_address(address, now_s):
            return NotAdmitted(Reason.BANNED, "Your address is banned.", "banned_address")
        return None

    def refuses_address(self, address: str | None, now_s: float) -> bool:
        """Whether everybody with this address is refused."""
        if address is None or not self._networks:
            return False
        return any(_holds(end_s, now_s) for end_s in self._networks.holding(address))

    # -- reading

    def begin(self) -> None:
        """It is read anew."""
        self._seen.clear()

    def take(self, piece: Sequence[Entry]) -> list[str]:
        """Takes what was read; returns the fields that are new or have changed."""
        changed = []
        for field, value in piece:
            self._seen.add(field)
            if self._entries.get(field) != value:
                self._forget(field)
                self._entries[field] = value
                if self._put(field, value):
                    changed.append(field.decode())
        return changed

    def finish(self) -> None:
        """All was read: what did not come is there no more."""
        for field in self._entries.keys() - self._seen:
            self._forget(field)
        self._seen.clear()
        self.is_known = True

    def _put(self, field: bytes, value: bytes) -> bool:
        """Whether it could be read."""
        try:
            kind, name = _parts(field)
            self._kinds[kind][0](name, [float(word) for word in value.split()])
        except (ValueError, KeyError, IndexError):
            self._unreadable.add(field)
            return False
        return True

    def _forget(self, field: bytes) -> None:
        if self._entries.pop(field, None) is None:
            return
        if field in self._unreadable:
            self._unreadable.remove(field)
            return
        kind, name = _parts(field)
        self._kinds[kind][1](name)

    def _put_user(self, user: str, numbers: list[float]) -> None:
        self._not_before[user] = numbers[0]

    def _put_token(self, token_id: str, numbers: list[float]) -> None:
        self._tokens[token_id] = numbers[-1]

    def _put_ban(self, user: str, numbers: list[float]) -> None:
        self._bans[user] = numbers[-1]

    def _put_network(self, network: str, numbers: list[float]) -> None:
        self._networks.put(network_of(network), numbers[-1])


def _parts(field: bytes) -> tuple[str, str]:
    """What it begins with, and the name behind that. Raises ValueError."""
    kind, colon, name = field.decode().partition(":")
    if not name:
        raise ValueError("no name")
    return kind + colon, name


def _holds(end_s: float | None, now_s: float) -> bool:
    """Whether an entry that ends then still counts; 0 is never."""
    return end_s is not None and (end_s <= 0 or now_s < end_s)
