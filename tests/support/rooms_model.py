"""A small world around rooms: a store that can lose data or be replaced while it goes on, workers, channels that
break, members that are slow.

Owns the truth: which message was published after which, and which were acknowledged. It follows the rules of
`publish.lua` and `snapshot.lua`, and every wait of the real thing is a step here that a test takes when it likes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from gateway.errors import StoreError, StoreUnavailable
from gateway.protocol import Position, receive_json
from gateway.rooms.catching_up import catch_up, catch_up_at_once
from gateway.rooms.changes import missed_changes
from gateway.rooms.member import Member
from gateway.rooms.payloads import channel_epoch, told_head
from gateway.rooms.position_check import since
from gateway.rooms.resync import Answer
from gateway.rooms.room import Room
from gateway.state.history import NO_POSITION, Observed, Snapshot
from gateway.state.more import Change
from tests.support.hand_source import HandSource
from tests.support.recorder import Received, Recorder, member_of

ROOM, ROOM_JSON = "tea", b'"tea"'
HISTORY = 8


def entry(text: str) -> bytes:
    return b'{"message":"%b","username":"u","__createdtime__":1}' % text.encode()


CHANGED = "!"
"""What each change puts behind the text of a message."""


def original(text: str) -> str:
    """The text of a message as it was sent."""
    return text.rstrip(CHANGED)


@dataclass
class Truth:
    """What all servers of a world share: names that are given once, and `parents`, which says after which message (by
    text) each was published. One clock for all."""

    parents: dict[str, str] = field(default_factory=dict)
    epochs: int = 0
    now_ms: int = 0


@dataclass
class Server:
    """One room on one server."""

    truth: Truth
    epoch: str = ""
    seq: int = 0
    texts: list[str] = field(default_factory=list)
    begun_ms: int = 0
    name: str = ""
    sent_ms: dict[str, int] = field(default_factory=dict)
    changed_ms: dict[str, list[int]] = field(default_factory=dict)

    def _check(self, observed: Observed) -> bool:
        """epoch.lua; returns whether an epoch began because something was lost."""
        seen, has_lost = observed.position, False
        if self.epoch == seen.epoch:
            has_lost = self.seq < seen.seq or observed.is_contradicted
        elif self.epoch and observed.age_ms is not None:
            has_lost = observed.age_ms <= self.truth.now_ms - self.begun_ms
        if not self.epoch:
            self.seq = len(self.texts)
            if not self.seq and seen.epoch and not seen.seq and not observed.is_suspicious:
                self.epoch, self.begun_ms = seen.epoch, self.truth.now_ms
                return False
        if not self.epoch or has_lost:
            self.truth.epochs += 1
            self.epoch, self.begun_ms = f"e{self.truth.epochs}", self.truth.now_ms
        return has_lost

    def publish(self, observed: Observed) -> tuple[Position, str]:
        """publish.lua: numbers and stores a new message."""
        self._check(observed)
        text = f"m{len(self.truth.parents) + 1}"
        self.truth.parents[text] = original(self.texts[-1]) if self.texts else ""
        self.sent_ms[text] = self.truth.now_ms
        self.seq += 1
        self.texts = [*self.texts, text][-HISTORY:]
        return Position(self.epoch, self.seq), text

    def change(self, random: Random) -> bytes | None:
        """change.lua: changes one of the messages; returns the data of `changed`."""
        if not self.epoch or not self.texts:
            return None
        place = random.randrange(len(self.texts))
        seq = self.seq - len(self.texts) + 1 + place
        self.texts = [*self.texts[:place], self.texts[place] + CHANGED, *self.texts[place + 1 :]]
        self.changed_ms.setdefault(original(self.texts[place]), []).append(self.truth.now_ms)
        about = (str(Position(self.epoch, seq)).encode(), self.texts[place].encode(), self.truth.now_ms)
        return b'{"room":"tea","id":"%b","kind":"edited","message":"%b","by":"eve","at":%d}' % about

    def changes(self) -> dict[int, Change]:
        """Those of the messages that are shown, by seq."""
        oldest = self.seq - len(self.texts) + 1
        return {
            oldest + place: Change("edited", "eve", self.changed_ms[original(text)][-1])
            for place, text in enumerate(self.texts)
            if text.endswith(CHANGED)
        }

    def snapshot(self, observed: Observed, wanted: Position) -> Snapshot:
        """snapshot.lua."""
        has_begun = self._check(observed)
        if changes := self.changes():
            wanted = NO_POSITION
        from_seq = wanted.seq if wanted.epoch == self.epoch and wanted.seq <= self.seq else 0
        texts = self.texts[wanted.seq - self.seq - 1 :] if from_seq else self.texts
        return Snapshot(
            self.epoch, self.seq, [entry(text) for text in texts], has_begun, from_seq, changes=changes
        )

    def replica(self) -> Server:
        """Another server with the same data."""
        name = f"n{int(self.name[1:]) + 1}" if self.name else ""
        changed_ms = {text: list(times) for text, times in self.changed_ms.items()}
        return Server(
            self.truth,
            self.epoch,
            self.seq,
            list(self.texts),
            self.begun_ms,
            name,
            dict(self.sent_ms),
            changed_ms,
        )

    def lose(self, count: int) -> None:
        """Comes back without its last messages, and without what was changed since the first of them."""
        count = min(count, len(self.texts), self.seq)
        if not count:
            return
        lost_from_ms = self.sent_ms[original(self.texts[-count])]
        self.seq, self.texts = self.seq - count, self.texts[:-count]
        for place, text in enumerate(self.texts):
            times = self.changed_ms.get(original(text), [])
            times[:] = [at_ms for at_ms in times if at_ms < lost_from_ms]
            self.texts[place] = original(text) + CHANGED * len(times)

    def wipe(self) -> None:
        """Comes back empty."""
        self.epoch, self.seq, self.texts = "", 0, []


@dataclass
class Person:
    """A member on a worker, what it saw, and where in that it joined (and whether nothing was to be missing)."""

    member: Member[Room]
    recorder: Recorder
    who: int
    joins: list[tuple[int, bool]] = field(default_factory=list)
    is_joining: bool = False

    def last(self) -> Received | None:
        """The last stored message that it saw."""
        seen = [one for one in self.recorder.seen() if one.kind == "stored"]
        return seen[-1] if seen else None

    def last_position(self) -> Position | None:
        """Where it goes on when it comes back."""
        last = self.last()
        return last.position if last is not None else None


class Worker:
    """A room with its channel, its reading and its members. `store` takes its commands, `heard` fills its channel."""

    def __init__(
        self,
        store: Server,
        random: Random,
        name: str,
        on_epoch_begun: Callable[[Worker], None],
        gathers: bool = False,
    ) -> None:
        self.store = self.heard = store
        self.random, self.name = random, name
        self.source = HandSource(lambda room: on_epoch_begun(self))
        self.room = Room(
            ROOM, b"channel", self.source.start, self._now_s, self._open_window if gathers else None
        )
        self.windows: list[Room] = []
        self.answered_s = self.heard_s = 0.0
        self.channel: list[bytes] = []
        self.is_subscribed = True
        self.servers = 0, 0  # when the question was put
        self.found: Snapshot | None = None
        self.is_restarted = False
        self.people: list[Person] = []

    def _open_window(self, room: Room) -> None:
        assert not self.windows, "one window at a time"
        self.windows.append(room)

    def end_window(self) -> None:
        """The window of a room that gathers is over."""
        if self.windows:
            self.windows.pop().outgoing.window_over()

    def _now_s(self) -> float:
        return self.store.truth.now_ms / 1000

    def _servers(self) -> tuple[int, int]:
        return id(self.store), id(self.heard)

    @property
    def reads(self) -> str | None:
        """What the reading under way waits for, `turn` or `read`; None if none is."""
        step = self.source.step
        return step.kind if step is not None and step.kind != "pause" else None

    # -- what may happen

    def hear(self) -> None:
        """The channel brings some of what is on its way, in order."""
        count = self.random.randint(1, max(1, len(self.channel)))
        heard, self.channel = self.channel[:count], self.channel[count:]
        self.heard_s = self._now_s()
        self.room.receive(heard)

    def go_on_reading(self, fails: bool) -> None:
        """The snapshot under way comes one step further (asked for, executed, answered), or fails."""
        if self.reads is None:
            return
        if fails:
            self.found = None
            self.source.fail(StoreUnavailable("away"))
        elif self.reads == "turn":
            self.source.go_on()
            self.servers = self._servers()
        elif self.found is None:
            observed = self.source.ask()
            self.found = self.store.snapshot(observed, self.source.wanted)
            self.answered_s = self._now_s()
        else:
            found, self.found = self.found, None
            is_settled = self.servers == self._servers() and self.store is self.heard
            self.source.go_on(Answer(found, is_settled, self.store.name))

    def retry(self) -> None:
        """The pause after a reading that failed is over."""
        if self.source.step is not None and self.source.step.kind == "pause":
            self.source.go_on()

    def lose_channel(self) -> None:
        """The subscription breaks: what is on its way is lost."""
        if self.is_subscribed:
            self.room.channel_lost()
        self.is_subscribed, self.channel = False, []

    def resubscribe(self) -> None:
        """The subscription is back, and every room is repaired."""
        if not self.is_subscribed:
            self.is_subscribed = True
            if self.is_restarted:
                self.is_restarted = False
                self.room.server_left(self.heard_s)
                self.room.request_again()
            self.room.request_again()

    def move_commands(self, store: Server) -> None:
        """Its connection for commands breaks, and the next one leads to another server."""
        if self.store is not store:
            self.go_on_reading(fails=True)
            self.store = store
            self.room.server_left(self.answered_s)
            self.room.request_again()

    def move_channel(self, store: Server) -> None:
        """Its subscription breaks; the next one is at another server."""
        if self.heard is not store:
            self.lose_channel()
            self.heard = store
            self.room.server_left(self.heard_s)
            self.room.request_again()

    def come(self) -> None:
        """Somebody new joins, or joins again on the same connection, or comes back on another with `since`."""
        if not self.is_subscribed:
            return
        way = self.random.random()
        known = self.random.choice(self.people) if self.people and way < 0.5 else None
        if known is not None and known.is_joining:
            return
        if known is not None and way < 0.25:
            self.room.begin_rejoin(known.member)
            self._join(known, known.last_position() if self.random.random() < 0.7 else None, is_again=True)
            return
        recorder = Recorder(self.random.random() < 0.7, self.random.choice([4, 10, 1_000_000]))
        member = member_of(self.room, recorder, f"{self.name}-{self.random.getrandbits(40)}")
        person = Person(member, recorder, self.random.getrandbits(60))
        self.people.append(person)
        if known is not None:
            self.room.remove(known.member)
            self.people.remove(known)
            recorder.packets = list(known.recorder.packets)
            person.who, person.joins = known.who, known.joins
        self._join(person, person.last_position())

    def _join(self, person: Person, position: Position | None, is_again: bool = False) -> None:
        person.is_joining = True
        self.room.joining += 1

        def with_snapshot(snapshot: Snapshot | StoreError) -> None:
            self.room.joining -= 1
            person.is_joining = False
            if isinstance(snapshot, StoreError):
                if is_again:
                    self.room.abandon_rejoin(person.member)
                else:
                    self.people.remove(person)
                return
            entries, recovered = since(position, snapshot)
            replay = self.room.reading.made.of(ROOM_JSON, entries, snapshot)
            live = self.room.reading.packets_after(snapshot.position)
            person.joins.append((len(person.recorder.packets), recovered is True))
            known = position if recovered else None
            changes = missed_changes(ROOM_JSON, self.room.changes, snapshot, known, 0)
            if live or changes or not catch_up_at_once(self.room, person.member, known, replay):
                catch_up(self.room, person.member, known, (), [*replay.numbered, *live], changes)

        self.room.with_snapshot(with_snapshot, position)

    def leave(self) -> None:
        """Somebody leaves."""
        settled = [person for person in self.people if not person.is_joining]
        if settled:
            person = self.random.choice(settled)
            self.people.remove(person)
            self.room.remove(person.member)

    def drain(self) -> None:
        """Somebody who is behind reads everything."""
        slow = [person for person in self.people if person.recorder.is_behind]
        if slow:
            self.random.choice(slow).recorder.drain()


@dataclass
class Acknowledged:
    """A message that a sender was told is stored, and how much each member had got by then."""

    text: str
    seen: dict[int, int]


class World:
    """Workers on one store. Where it `splits`, another server takes over now and then, without the last messages
    perhaps, while the old one goes on for those who have not heard of it. Where it `has_bus`, as a Cluster, what one of
    the two stores may be heard by those who listen to the other. Where it `has_changes`, messages are changed; where it
    `gathers`, what rooms write waits for the end of a window."""

    def __init__(
        self,
        seed: int,
        loses_data: bool,
        splits: bool = False,
        has_bus: bool = False,
        has_changes: bool = False,
        gathers: bool = False,
    ) -> None:
        self.random = Random(seed)
        self.truth = Truth()
        self.store = Server(self.truth, name="n0" if has_bus else "")
        names = ("w1", "w2", "w3")[: 3 if splits else 2]
        self.workers = [Worker(self.store, self.random, name, self._tell_position, gathers) for name in names]
        self.acknowledged: list[Acknowledged] = []
        self._loses_data, self._splits, self._has_changes = loses_data, splits, has_changes
        self._gathers = gathers

    def step(self) -> None:
        """One thing happens."""
        self.truth.now_ms += 10
        worker = self.random.choice(self.workers)
        fails = self.random.random() < 0.1
        actions: dict[Callable[[], None], float] = {
            lambda: self.publish(worker): 12,
            worker.hear: 8,
            lambda: worker.go_on_reading(fails): 9,
            worker.retry: 2,
            worker.come: 3,
            worker.leave: 0.7,
            worker.drain: 3,
            worker.lose_channel: 0.4,
            worker.resubscribe: 2,
            lambda: self._drop_some(worker): 0.5,
            self._lose_data: 0.3 if self._loses_data else 0,
            self._split: 0.3 if self._splits else 0,
            lambda: worker.move_commands(self.store): 0.6,
            lambda: worker.move_channel(self.store): 0.6,
            lambda: self._change(worker): 3 if self._has_changes else 0,
            worker.end_window: 4 if self._gathers else 0,
        }
        self.random.choices(list(actions), list(actions.values()))[0]()

    def publish(self, worker: Worker) -> None:
        """A member of this worker sends; the acknowledgement may overtake the channel."""
        if not worker.room.members:
            return
        position, text = worker.store.publish(worker.room.observed)
        head = channel_epoch(position.epoch, worker.store.name) + b":%d " % position.seq
        self._tell(worker.store, head + receive_json(entry(text), ROOM_JSON, position))
        if self.random.random() < 0.5:
            worker.answered_s = self.truth.now_ms / 1000
            worker.room.detector.acknowledged(*position, entry(text))
            people = [person for one in self.workers for person in one.people if not person.is_joining]
            seen = {person.who: len(person.recorder.packets) for person in people}
            self.acknowledged.append(Acknowledged(text, seen))

    def _tell(self, store: Server, payload: bytes) -> None:
        for one in self.workers:
            by_bus = bool(store.name) and self.random.random() < 0.7
            if one.is_subscribed and (one.heard is store or by_bus):
                one.channel.append(payload)

    def _tell_position(self, worker: Worker) -> None:
        self._tell(worker.store, str(worker.room.position).encode())

    def _change(self, worker: Worker) -> None:
        """Somebody changes a message."""
        if (data := worker.store.change(self.random)) is not None:
            self._tell(worker.store, told_head("changed") + b" " + data)

    def _split(self) -> None:
        """Another server takes over; the old one goes on until everybody has left it."""
        if all(worker.store is self.store is worker.heard for worker in self.workers):
            self.store = self.store.replica()
            self.store.lose(self.random.randint(0, 2))

    def _drop_some(self, worker: Worker) -> None:
        """Messages get lost on the channel; the next one shows it."""
        shown = [at for at, one in enumerate(worker.channel[:-1]) if not one.startswith(b"!")]
        if shown:
            del worker.channel[shown[self.random.randrange(len(shown))]]

    def _lose_data(self) -> None:
        """The server restarts with older data, or with none: every connection to it breaks. A snapshot that it had
        sent comes before that is noticed, or never."""
        for worker in self.workers:
            if worker.found is not None and self.random.random() < 0.5:
                worker.go_on_reading(fails=False)
            worker.go_on_reading(fails=True)
            worker.lose_channel()
            worker.is_restarted = True
        if self.random.random() < 0.3:
            self.store.wipe()
        else:
            self.store.lose(self.random.randint(1, 6))
        for worker in self.workers:
            worker.room.server_left(worker.answered_s)
            worker.room.request_again()

    def settle(self) -> None:
        """Everything that is under way arrives and everybody reads; nobody sends anything more."""
        for worker in self.workers:
            worker.move_commands(self.store)
            worker.move_channel(self.store)
            worker.resubscribe()
        for _ in range(100):
            for worker in self.workers:
                worker.retry()
                worker.go_on_reading(fails=False)
                worker.drain()
                worker.end_window()
                if worker.channel:
                    worker.hear()
        for worker in self.workers:
            assert not worker.channel
            assert worker.source.step is None
            assert not worker.windows
