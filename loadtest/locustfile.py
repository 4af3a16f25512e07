"""People who chat, for Locust: each keeps its page of one ledger, which is judged when the run ends.

They are Locust's own Socket.IO users (`locust.contrib.socketio.SocketIOUser`), so it is the stock
python-socketio client that talks to the gateway. They talk, leave and come again, and drop their connection and
come back with `since`. All rooms of a run have names of their own, so several runs may go on at once.

Reconnecting is done here (`ChatUser._keep`): the threaded client's own gives up when a connection drops while it is
being made (python-socketio 5.18). What happens is recorded by the client's handlers; it starts one for each packet, in
their order, and none of them waits for anything, so the ledger has them in that order too.
"""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent.event import AsyncResult, Event
from locust import between, events, task
from locust.argument_parser import LocustArgumentParser
from locust.contrib.socketio import SocketIOUser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from socketio.exceptions import SocketIOError

from loadtest.ledger import Ledger
from loadtest.summary import exit_status, summary

ANSWER_WITHIN_S = 10.0
SETTLE_WITHIN_S = 60.0
"""Longer than the stock client may take to notice that its connection is gone (30 to 45 s)."""
TRIES = 5
RETRY_AFTER_S = 0.3
KEEP_EVERY_S = (0.05, 0.2)
TRANSPORTS = {"websocket": ["websocket"], "polling": ["polling"], "upgrade": ["polling", "websocket"]}


class Run:
    """What the users of one process share: rooms, ledger, and whether it is over."""

    def __init__(self, rooms: int, transport: str) -> None:
        tag = uuid.uuid4().hex[:8]
        self.rooms = [f"load-{tag}-{number}" for number in range(rooms)]
        self.transports = TRANSPORTS[transport]
        self.ledger = Ledger()
        self.numbers = itertools.count()
        self.sent_at: dict[str, float] = {}
        self.users: list[ChatUser] = []
        self.is_over = False

    def is_settled(self) -> bool:
        """Whether everybody is in, everything said is answered, and all members of a room are level."""
        levels = {(user.room, user.last_id) for user in self.users}
        all_in = all(user.is_in.is_set() and not user.unanswered for user in self.users)
        return all_in and len(levels) == len({room for room, _ in levels})


RUNS: dict[Environment, Run] = {}
"""Locust makes the users itself and hands them nothing but its environment."""


@events.init_command_line_parser.add_listener
def _options(parser: LocustArgumentParser) -> None:
    parser.add_argument("--rooms", type=int, default=10, help="Rooms that the users share")
    parser.add_argument(
        "--transport", choices=sorted(TRANSPORTS), default="websocket", help="How they connect"
    )


@events.init.add_listener
def _look_at_the_clock(environment: Environment, **_: Any) -> None:
    """gevent takes the time of the last turn of its loop for now: a start that took 6 s would be all of `-t 6s`."""
    gevent.get_hub().loop.update_now()


@events.test_start.add_listener
def _begin(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, MasterRunner | WorkerRunner):
        raise SystemExit("A ledger judges one process: start this several times instead of distributing it.")
    options = environment.parsed_options
    assert options is not None
    RUNS[environment] = Run(options.rooms, options.transport)


@events.test_stopping.add_listener
def _over(environment: Environment, **_: Any) -> None:
    RUNS[environment].is_over = True


@events.test_stop.add_listener
def _judge(environment: Environment, **_: Any) -> None:
    """Nobody talks any more: lets what is under way arrive, then judges, prints, and sets the exit status."""
    run = RUNS[environment]
    for user in run.users:
        user.come_back()
    deadline = time.monotonic() + SETTLE_WITHIN_S
    while not run.is_settled() and time.monotonic() < deadline:
        gevent.sleep(0.05)
    report = run.ledger.judge()
    for user in run.users:
        user.go()
    print(f"\n{summary(report)}\n", flush=True)
    environment.process_exit_code = exit_status(report)


class ChatUser(SocketIOUser):
    """Somebody in one room."""

    wait_time = between(0.5, 1.5)
    options = {"reconnection": False}  # noqa: RUF012 - Locust's way

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.run_ = RUNS[environment]
        number = next(self.run_.numbers)
        self.username, self.room = f"user{number}", self.run_.rooms[number % len(self.run_.rooms)]
        self.is_in = Event()
        self.last_id: str | None = None
        self.unanswered: set[AsyncResult] = set()
        self._wants_line = self._wants_in = True
        self._is_joining = self._is_gone = False
        self._texts = itertools.count()
        self.sio.on("disconnect", self._on_disconnect)
        self.sio.on("receive", self._on_receive)
        self.sio.on("error", self._on_error)

    def on_start(self) -> None:
        """Begins when it is in the room."""
        self.run_.users.append(self)
        gevent.spawn(self._keep)
        self.is_in.wait(ANSWER_WITHIN_S)

    def on_stop(self) -> None:
        """Goes early, if the run goes on without it; otherwise it stays for what is still under way."""
        if not self.run_.is_over:
            self.run_.users.remove(self)
            self._leave()
            self.go()

    @task(20)
    def say(self) -> None:
        """Says something; says it again, with the same key, for as long as it is not known what became of it."""
        text, key = f"{self.username}/{next(self._texts)}", uuid.uuid4().hex
        for _ in range(TRIES):
            if not self.is_in.wait(ANSWER_WITHIN_S):
                return
            answer = self._send(text, key)
            if answer is not None and (answer["ok"] or not answer["retryable"]):
                return
            gevent.sleep(RETRY_AFTER_S)

    @task(1)
    def leave_and_come_again(self) -> None:
        """Leaves, misses something, and joins like a stranger."""
        if self.is_in.is_set():
            self._leave()
            gevent.sleep(random.uniform(0.2, 2))
            self.come_back()

    @task(1)
    def reload(self) -> None:
        """Drops the connection, misses something, and comes back with the last position."""
        self._wants_line = False
        self._hang_up()
        gevent.sleep(random.uniform(0, 2))
        self.come_back()

    def come_back(self) -> None:
        """Wants to be in the room again, wherever a task was interrupted."""
        self._wants_line = self._wants_in = True

    def go(self) -> None:
        """Ends the connection for good."""
        self._is_gone = True
        self._hang_up()

    def _hang_up(self) -> None:
        # In a greenlet of its own: a task is killed when the run ends, and the client would stay half closed.
        gevent.spawn(self.sio.disconnect).join()

    def _keep(self) -> None:
        """Connects and joins whenever that is wanted and not so; ends with `go`."""
        while not self._is_gone:
            if self.sio.connected and self.sio.eio.state == "disconnected":
                self.sio.connected = False  # it dropped while it was being made, and the client missed it
                self._on_disconnect()
            elif self._wants_line and not self.sio.connected:
                self._connect()
            elif self._wants_in and self.sio.connected and not (self._is_joining or self.is_in.is_set()):
                self._join()
            gevent.sleep(random.uniform(*KEEP_EVERY_S))

    def _connect(self) -> None:
        try:
            self.sio.connect(self.host, transports=self.run_.transports)
        except (SocketIOError, ValueError):
            pass  # nobody there, turned away, or the client is still ending its last connection

    def _join(self) -> None:
        self._is_joining = True
        since = {} if self.last_id is None else {"since": self.last_id}
        self.run_.ledger.joining(self.username, self.room, self.last_id)
        self._ask("join", {"username": self.username, "room": self.room, **since}, self._on_joined)

    def _leave(self) -> None:
        self._wants_in = False
        answered = AsyncResult()
        self._ask("leave", {"username": self.username, "room": self.room}, partial(self._on_left, answered))
        try:
            answered.get(timeout=ANSWER_WITHIN_S)
        except gevent.Timeout:
            pass  # the connection ended

    def _send(self, text: str, key: str) -> dict[str, Any] | None:
        """The answer; None when the connection ended, or time did, before it came."""
        answered, data = AsyncResult(), {"username": self.username, "room": self.room, "message": text}
        self.unanswered.add(answered)
        now = time.monotonic()
        self.run_.sent_at.setdefault(text, now)
        self.run_.ledger.sent(self.username, self.room, text, now)
        self._ask("send", {**data, "idempotency_key": key}, partial(self._on_answer, answered, text, now))
        try:
            answer: dict[str, Any] | None = answered.get(timeout=ANSWER_WITHIN_S)
        except gevent.Timeout:
            self.unanswered.discard(answered)
            return None
        return answer

    def _ask(self, event: str, data: dict[str, Any], callback: Callable[..., None]) -> None:
        try:
            self.sio.emit(event, data, callback=callback)
        except SocketIOError:
            pass  # the connection has just ended; `_on_disconnect` says so to whoever waits

    def _on_disconnect(self, *reason: str) -> None:
        self.is_in.clear()
        self._is_joining = False
        self.run_.ledger.cut(self.username, self.room)
        for answered in self.unanswered:
            answered.set(None)
        self.unanswered.clear()

    def _on_joined(self, answer: dict[str, Any]) -> None:
        self._is_joining = False
        if answer["ok"]:
            self.run_.ledger.joined(self.username, self.room, answer["id"], answer.get("recovered"))
            self.last_id = answer["id"]
            self.is_in.set()

    def _on_left(self, answered: AsyncResult, answer: dict[str, Any]) -> None:
        self.is_in.clear()
        self.last_id = None
        self.run_.ledger.left(self.username, self.room)
        answered.set(answer)

    def _on_answer(self, answered: AsyncResult, text: str, sent_at: float, answer: dict[str, Any]) -> None:
        if answer["ok"]:
            self.run_.ledger.acknowledged(self.username, self.room, text, answer["id"])
        else:
            self.run_.ledger.refused(self.username, self.room, text, answer["code"])
        self._count("acknowledged", "send", time.monotonic() - sent_at)
        self.unanswered.discard(answered)
        answered.set(answer)

    def _on_receive(self, data: dict[str, Any]) -> None:
        now, text, position = time.monotonic(), data["message"], data.get("id")
        self.run_.ledger.received(self.username, data["room"], text, position, now)
        if position is None:
            return
        if self.is_in.is_set():  # else it is history
            self.last_id = position
            self._count("delivered", "receive", now - self.run_.sent_at.get(text, now))

    def _on_error(self, data: dict[str, Any]) -> None:
        if data["code"] == "gap":
            self.run_.ledger.gap(self.username, data["room"])
        self._count("error", data["code"], 0, RuntimeError(data["message"]))

    def _count(self, kind: str, name: str, seconds: float, error: Exception | None = None) -> None:
        """One line of Locust's statistics."""
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=1000 * seconds,
            response_length=0,
            exception=error,
            context={},
        )
