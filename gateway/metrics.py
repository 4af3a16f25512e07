"""Every metric of a worker, defined once; `text()` shows them in Prometheus' exposition format.

Counters only grow and live as long as the worker. Adding to one is an attribute addition: cheap enough for hot
paths. A process has one set of counters, as it has one worker.
"""

from __future__ import annotations

from collections.abc import Iterator


class Counter:
    """A number that only grows."""

    kind = "counter"
    labels: tuple[str, ...] = ("worker",)
    """What tells the numbers of one metric apart."""
    __slots__ = ("meaning", "name", "value")

    def __init__(self, name: str, meaning: str) -> None:
        self.name = name
        self.meaning = meaning
        self.value = 0

    def add(self, number: int) -> None:
        """Counts `number` more."""
        self.value += number

    def samples(self) -> Iterator[tuple[str, float]]:
        """Each number, with the labels beside the worker's."""
        yield "", self.value


class ReasonCounter(Counter):
    """The same, counted for each reason. The reasons are a closed set: nothing that a client says makes a new one."""

    label = "reason"
    labels: tuple[str, ...] = ("worker", "reason")
    __slots__ = ("_by_reason",)

    def __init__(self, name: str, meaning: str, *reasons: str) -> None:
        super().__init__(name, meaning)
        self._by_reason = dict.fromkeys(reasons, 0)

    def because(self, reason: str) -> None:
        """Counts one more; raises KeyError for a reason that was not named when the counter was made."""
        self._by_reason[reason] += 1
        self.value += 1

    def knows(self, reason: str) -> bool:
        """Whether a reason was named when the counter was made."""
        return reason in self._by_reason

    def samples(self) -> Iterator[tuple[str, int]]:
        for reason, number in self._by_reason.items():
            yield f',{self.label}="{reason}"', number


class ResultCounter(ReasonCounter):
    """The same, counted for each result."""

    label = "result"
    labels = ("worker", "result")
    __slots__ = ()


class LimitCounter(ReasonCounter):
    """The same, counted for each limit."""

    label = "limit"
    labels = ("worker", "limit")
    __slots__ = ()


class MethodCounter(Counter):
    """Numbers for each method of the server API. The methods are those of its table, or `unknown`: nothing that a
    caller says makes a new one."""

    labels: tuple[str, ...] = ("worker", "method")
    __slots__ = ("_by_method",)

    def __init__(self, name: str, meaning: str) -> None:
        super().__init__(name, meaning)
        self._by_method: dict[str, float] = {}

    def add_to(self, method: str, number: float) -> None:
        """Counts more for a method."""
        self._by_method[method] = self._by_method.get(method, 0) + number

    def samples(self) -> Iterator[tuple[str, float]]:
        for method, number in self._by_method.items():
            yield f',method="{method}"', round(number, 6)


class CallCounter(Counter):
    """Requests to the server API, for each method and HTTP status; both are closed sets."""

    labels: tuple[str, ...] = ("worker", "method", "code")
    __slots__ = ("_by_call",)

    def __init__(self, name: str, meaning: str) -> None:
        super().__init__(name, meaning)
        self._by_call: dict[tuple[str, int], int] = {}

    def answered(self, method: str, code: int) -> None:
        """One more."""
        call = (method, code)
        self._by_call[call] = self._by_call.get(call, 0) + 1
        self.value += 1

    def samples(self) -> Iterator[tuple[str, int]]:
        for (method, code), number in self._by_call.items():
            yield f',method="{method}",code="{code}"', number


class NamedCounter(Counter):
    """The same, counted for each of what the operator has named in a file: nothing that a client says makes a new
    one."""

    label = "webhook"
    labels: tuple[str, ...] = ("worker", "webhook")
    __slots__ = ("_by_name",)

    def __init__(self, name: str, meaning: str) -> None:
        super().__init__(name, meaning)
        self._by_name: dict[str, int] = {}

    def count(self, name: str, number: int = 1) -> None:
        """Counts `number` more for a name; 0 shows it."""
        self._by_name[name] = self._by_name.get(name, 0) + number
        self.value += number

    def samples(self) -> Iterator[tuple[str, int]]:
        for name, number in self._by_name.items():
            yield f',{self.label}="{name}"', number


class NamedGauge(NamedCounter):
    """A number for each of them that goes up and down."""

    kind = "gauge"
    __slots__ = ()

    def set(self, name: str, number: int) -> None:
        """It is so much now."""
        self._by_name[name] = number


published = Counter("gateway_published_total", "Messages sent to the store.")
acknowledged = Counter("gateway_acknowledged_total", "Messages that the store took and numbered.")
unavailable = Counter("gateway_unavailable_total", "Messages that the store did not take in time.")
heard = Counter("gateway_heard_total", "Messages that the store's channels brought.")
delivered = Counter("gateway_delivered_total", "Messages written to members.")
holes = Counter("gateway_holes_total", "Holes noticed between live messages.")
malformed = Counter("gateway_malformed_total", "Payloads on rooms' channels that nobody can read.")
snapshots = Counter("gateway_snapshots_total", "Histories read for joins and repairs.")
control_malformed = Counter(
    "gateway_control_malformed_total", "Words to all workers (`gateway:control`) that nobody can read."
)
gaps = Counter("gateway_gaps_total", "Gaps that members were told of.")
connects = Counter("gateway_connects_total", "Sessions opened.")
disconnects = Counter("gateway_disconnects_total", "Sessions ended.")
refusals = Counter("gateway_refusals_total", "Events that were refused.")
frames_read = Counter(
    "gateway_frames_read_total",
    "Messages and control frames of WebSockets that were read, whatever came of them.",
)
packets_read = Counter(
    "gateway_packets_read_total", "Packets over polling that were read, whatever came of them."
)
requests_read = Counter(
    "gateway_requests_read_total",
    "HTTP requests that were read, and beginnings of ones that nobody can read.",
)
cut_off = Counter(
    "gateway_cut_off_total", "Connections that were ended because they sent what no honest client sends."
)
rate_limited = LimitCounter(
    "gateway_rate_limited_total",
    "What a limit refused; `refusals` and `sends_without_pause` ended a connection.",
    "sends", "joins", "history", "members", "read", "unread", "signals", "events", "refusals", "sends_without_pause",
    "user_sends", "user_connections", "address_handshakes", "address_failures", "address_connections",
)  # fmt: skip
handoffs = Counter("gateway_handoffs_total", "Connections passed to another worker.")
requests_refused = ReasonCounter(
    "gateway_requests_refused_total",
    "HTTP requests of the engine that were refused, handshakes among them.",
    "unknown_transport", "unknown_session", "bad_method", "bad_request", "too_large", "origin_not_allowed",
    "unsupported_protocol_version", "banned", "draining", "too_many_new_connections", "no_keys_for_tokens",
    "malformed", "too_many_from_address", "other",
)  # fmt: skip
emits_refused = ReasonCounter(
    "gateway_emits_refused_total",
    "What other processes published for python-socketio and the gateway could not read or do.",
    "malformed", "pickle", "msgpack", "socketio_redis_adapter", "not_a_message", "inbox_full",
)  # fmt: skip
auth = ResultCounter(
    "gateway_auth_total",
    "Clients that were asked who they are, by what came of it: in (`ok`, `guest`), not decided, or why not.",
    "ok", "guest", "undecided", "missing", "too_large", "not_a_token", "header", "crit", "unknown_key", "algorithm",
    "signature", "claims", "exp", "expired", "iat", "nbf", "not_yet", "life", "iss", "aud", "sub", "jti", "name",
    "rooms", "hook", "revoked", "banned", "too_many_connections", "other",
)  # fmt: skip
jwks_fetches = ResultCounter(
    "gateway_jwks_fetches_total", "Reads of the identity provider's keys.", "ok", "failed"
)
hook_answers = ReasonCounter(
    "gateway_join_hook_total",
    "Questions to the hook that decides about joins: what it answered, or why it was not asked.",
    "allowed", "refused", "failed", "paused", "too_many",
)  # fmt: skip
signals = ResultCounter(
    "gateway_signals_total",
    "Signals of clients, by what came of them: told to the room, or dropped, and why.",
    "told", "rate_limited", "too_many_users", "unavailable",
)  # fmt: skip
read_marks = ResultCounter(
    "gateway_read_marks_total",
    "Marks of what was read, by what came of them: stored, behind what was, of another epoch, or of one user too many.",
    "stored", "behind", "another_epoch", "too_many_users",
)  # fmt: skip
send_hook_answers = ReasonCounter(
    "gateway_send_hook_total",
    "Questions to the hook that decides about messages: what it answered, or why it was not asked.",
    "allowed", "changed", "refused", "failed", "paused", "too_many", "known",
)  # fmt: skip
deaf = Counter("gateway_deaf_total", "Times that this worker did not hear its own probe.")
background_failures = Counter(
    "gateway_background_failures_total", "Background tasks that failed: a fault of the gateway."
)

revoked_sessions = ReasonCounter(
    "gateway_revoked_sessions_total",
    "Sessions that were ended because their token was revoked, or their user or address banned.",
    "revoked", "banned",
)  # fmt: skip

api_requests = CallCounter(
    "gateway_api_requests_total",
    "Requests to the server API, by method and by the HTTP status of the answer.",
)
api_seconds = MethodCounter(
    "gateway_api_seconds_total",
    "Seconds that requests to the server API took, by method: divided by their number it is the mean.",
)
webhook_posts = NamedCounter("gateway_webhook_posts_total", "Posts that a webhook took.")
webhook_failures = NamedCounter(
    "gateway_hook_failures_total", "Posts that a webhook did not take; they are tried again."
)
webhook_gaps = NamedCounter(
    "gateway_webhook_gaps_total", "Rooms of whose messages a webhook missed some: it was away for too long."
)
webhook_backlog = NamedGauge(
    "gateway_webhook_backlog", "Rooms, and users who came or went, that a webhook must still be told of."
)
webhook_oldest_seconds = NamedGauge(
    "gateway_webhook_oldest_seconds", "For how long the oldest of them has waited; 0 where none waits."
)

moderations = ReasonCounter(
    "gateway_moderations_total",
    "What moderators and the application did, by what it was.",
    "redact", "edit", "kick", "mute", "unmute", "slow", "close", "reopen",
)  # fmt: skip
removed = ReasonCounter(
    "gateway_removed_total", "Sessions that moderators took out of a room, by why.", "kicked", "closed"
)

ALL = (
    published, acknowledged, unavailable, heard, delivered, holes, malformed, snapshots, gaps, connects, disconnects,
    frames_read, packets_read, requests_read, refusals, cut_off, rate_limited, handoffs, requests_refused,
    emits_refused, auth, jwks_fetches, hook_answers, signals, read_marks, send_hook_answers, deaf,
    background_failures, revoked_sessions, api_requests, api_seconds, control_malformed,
    moderations, removed,
    webhook_posts, webhook_failures, webhook_gaps, webhook_backlog, webhook_oldest_seconds,
)  # fmt: skip


def text(worker: str) -> str:
    """All metrics, one worker's, in Prometheus' text format."""
    lines = []
    for counter in ALL:
        lines.append(f"# HELP {counter.name} {counter.meaning}")
        lines.append(f"# TYPE {counter.name} {counter.kind}")
        for labels, number in counter.samples():
            lines.append(f'{counter.name}{{worker="{worker}"{labels}}} {number}')
    return "\n".join(lines) + "\n"
