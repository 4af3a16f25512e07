"""The rules of rooms: who may join and send where, and how a room is kept.

Owns the decision. The first rule that matches a room decides; where none does, nobody may anything. A rule says by one
word who may join and who may send; `granted` asks the token. Whoever may join may read the history, see who is there
and signal: those need membership, and nothing more. To moderate takes a grant, whatever the rule.

Example: with `match = "class:*"`, `join = "users"`, `send = "granted"`, a user without grants may join `class:7` and
read, and one whose token grants `{"class:7": ["send"]}` may write there, too.

The decision is made when somebody joins, and is remembered as bits in the membership. Values only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.access.identity import Identity
from gateway.access.patterns import FirstMatch, overlap, parse
from gateway.access.rights import (
    HISTORY,
    JOIN,
    JUDGED,
    MEMBERS,
    MODERATE,
    SEND,
    SIGNAL,
    SLOWED,
    Rights,
    granted,
)

ANYONE, USERS, GRANTED, NOBODY, HOOK, IN_THE_ROOM = "anyone", "users", "granted", "nobody", "hook", "members"
JOIN_WORDS = (ANYONE, USERS, GRANTED, NOBODY, HOOK)
SEND_WORDS = (*JOIN_WORDS, IN_THE_ROOM)
LIST, COUNT, OFF = "list", "count", "off"

FOUND_MAX = 4096
"""Rooms whose rule is remembered; more than that begin anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomRule:
    """One rule.

    match         the pattern of the rooms that it is for (`patterns.py`)
    join          who may join: anyone, users (with a token), granted (by the token), nobody, hook
    send          who may send, once in: the same words, or members
    members       what is told of who is there: list, count or off
    notices       whether joins and leaves are announced
    history       messages kept and shown; 0 keeps none; None is what the gateway keeps
    history_days  how long a quiet room's are kept; None is as long as the gateway does
    slow_s        seconds between two messages of one user; moderators are exempt
    members_max   users at one time; 0 is no limit; moderators are exempt
    signals       whether members may signal
    moderation    what is told to the hook that is asked before each send; empty where none is asked
    receipts      whether a small room is told what its users have read
    gather_ms     for so long a worker gathers what it writes to members; 0: everything leaves at once
    edit_s        for so long users may edit what they have sent; 0: only moderators may
    line          the line of the file on which the rule begins; 0 where no file has it
    """

    match: str
    join: str = GRANTED
    send: str = IN_THE_ROOM
    members: str = LIST
    notices: bool = True
    history: int | None = None
    history_days: float | None = None
    slow_s: float = 0
    members_max: int = 0
    signals: bool = True
    moderation: str = ""
    receipts: bool = False
    edit_s: float = 0
    gather_ms: int = 0
    line: int = 0

    @property
    def asks_hook(self) -> bool:
        """Whether the hook has a word in who may do what."""
        return HOOK in (self.join, self.send)

    @property
    def announces(self) -> bool:
        """Whether joins and leaves are announced: never where names are not shown."""
        return self.notices and self.members == LIST


class Reconsidered(NamedTuple):
    """What becomes of memberships under another identity: rooms that are lost, and the rights in those that stay."""

    lost: list[str]
    kept: dict[str, Rights]


class RoomRules:
    """All rules of a gateway, in their order."""

    def __init__(self, rules: Sequence[RoomRule], path: str = "") -> None:
        """`path` is the file that they stand in; empty where there is none. Raises PatternError."""
        self.rules = tuple(rules)
        self.path = path
        self._first = FirstMatch()
        for each in self.rules:
            self._first.add(parse(each.match))
        self._found: dict[str, RoomRule | None] = {}  # by room; a join asks some times about the same one

    def rule(self, room: str) -> RoomRule | None:
        """The rule that decides about a room; None where nobody may anything."""
        try:
            return self._found[room]
        except KeyError:
            if len(self._found) >= FOUND_MAX:
                self._found.clear()
            number = self._first.find(room)
            rule = self._found[room] = None if number is None else self.rules[number]
            return rule

    def decide(self, identity: Identity, room: str, by_hook: Rights = 0) -> Rights:
        """What who has this identity may do in a room; `by_hook` is what the hook allows where the rule asks it."""
        rule = self.rule(room)
        return 0 if rule is None else rights_by(rule, identity, room, by_hook)

    def reconsider(self, identity: Identity, held: Mapping[str, Rights]) -> Reconsidered:
        """What becomes of the rooms that a client is in, with its rights there, when its token is replaced. Whom a hook
        let in stays, as it was not asked about the token; but moderates only if a grant says so, until it joins again:
        what was held does not say who allowed it."""
        found = Reconsidered([], {})
        for room, rights in held.items():
            if now := self.decide(identity, room, rights & ~MODERATE):
                found.kept[room] = now
            else:
                found.lost.append(room)
        return found

    def deciding(self, pattern: str) -> list[RoomRule]:
        """The rules that decide about some of the rooms of a pattern, in their order. Raises PatternError."""
        last = self._first.covering(parse(pattern))
        rules = self.rules if last is None else self.rules[: last + 1]
        return [rule for rule in rules if overlap(pattern, rule.match)]

    def never_reached(self) -> list[tuple[RoomRule, RoomRule]]:
        """Rules that decide nothing, because one before them matches all that they do; each with that one."""
        covering = ((rule, self._first.covering(parse(rule.match))) for rule in self.rules)
        return [
            (rule, self.rules[number])
            for rule, number in covering
            if number is not None and self.rules[number] is not rule
        ]


def rights_by(rule: RoomRule, identity: Identity, room: str, by_hook: Rights = 0) -> Rights:
    """What a rule lets who has this identity do."""
    by_token = granted(identity.grants, room) if identity.grants else 0
    if not _passes(rule.join, JOIN, identity, by_token, by_hook):
        return 0
    rights = JOIN | HISTORY | (by_token & MODERATE)
    if rule.asks_hook:
        rights |= by_hook & MODERATE
    if rule.members != OFF:
        rights |= MEMBERS
    if rule.signals:
        rights |= SIGNAL
    if rule.send == IN_THE_ROOM or _passes(rule.send, SEND, identity, by_token, by_hook):
        rights |= SEND
    if rule.slow_s and not rights & MODERATE:
        rights |= SLOWED
    if rule.moderation:
        rights |= JUDGED
    return rights


def _passes(word: str, right: Rights, identity: Identity, by_token: Rights, by_hook: Rights) -> bool:
    if word == ANYONE:
        return True
    if word == USERS:
        return not identity.is_guest
    if word == GRANTED:
        return bool(by_token & right)
    return word == HOOK and bool(by_hook & right)


def open_to(is_token_required: bool) -> RoomRules:
    """The rules without a file: everybody who is let in may do everything but moderate."""
    return RoomRules([RoomRule(match="**", join=USERS if is_token_required else ANYONE)])
