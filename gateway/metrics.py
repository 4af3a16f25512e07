"""Every metric of a worker, defined once. `docs/metrics.md` says when to worry.

Numbers begin at 0 and live as long as the worker. A process has one set of them, as it has one worker. Gauges are
looked up by `server/gauges.py` when somebody asks; `server/exposition.py` shows all in Prometheus' format.
"""

from __future__ import annotations

from gateway.metric_kinds import (
    AnyMetric,
    Counter,
    Gauge,
    Histogram,
    HistogramFamily,
    NamedCounter,
    NamedGauge,
    ReasonCounter,
    ResultCounter,
    TableCounter,
)

ANSWERS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""What waits for one answer of the store: half a millisecond on one host, 2.5 s more than any time-out."""
CALLS_S = (0.01, 0.05, 0.25, 1.0, 2.5)
"""Whole requests, for each of many methods: fewer, as each costs a series."""

published = Counter("gateway_published_total", "Messages sent to the store.")
acknowledged = Counter("gateway_acknowledged_total", "Messages that the store took and numbered.")
unavailable = Counter("gateway_unavailable_total", "Messages that the store did not take in time.")
heard = Counter("gateway_heard_total", "Messages that the store's channels brought.")
delivered = Counter("gateway_delivered_total", "Messages written to members.")
holes = Counter("gateway_holes_total", "Holes noticed between live messages.")
malformed = Counter("gateway_malformed_total", "Payloads on rooms' channels that nobody can read.")
snapshots = ReasonCounter(
    "gateway_snapshots_total", "Histories read for joins and repairs.", "join", "repair", label="for"
)
control_malformed = Counter(
    "gateway_control_malformed_total", "Words to all workers (`gateway:control`) that nobody can read."
)
repairs = ResultCounter(
    "gateway_repairs_total",
    "Rooms brought up, by what came of it; those that are confirmed had missed nothing, and were not read.",
    "settled", "confirmed", "unsettled", "unavailable", "refused", "failed",
)  # fmt: skip
gaps = ReasonCounter(
    "gateway_gaps_total",
    "Gaps that members were told of: the store lost messages, or a member missed more than it keeps.",
    "lost", "trimmed", label="cause",
)  # fmt: skip
epochs_begun = Counter(
    "gateway_epochs_begun_total", "Epochs that this worker began when it read a room that had lost messages."
)
joins = ReasonCounter(
    "gateway_joins_total",
    "Joins that succeeded: `none` without `since`, else whether everything since then was still there.",
    "none", "true", "false", label="recovered",
)  # fmt: skip
join_seconds = Histogram(
    "gateway_join_seconds", "From a join to its member being live, history included.",
    (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0),
)  # fmt: skip
replayed = Counter(
    "gateway_replayed_messages_total",
    "Stored messages that were read for members who joined or had missed them.",
)
duplicates = Counter(
    "gateway_duplicates_total", "Messages that the store had before, by their idempotency key."
)
publish_seconds = Histogram(
    "gateway_publish_seconds", "From handing a message to the store to its answer.", ANSWERS_S
)
echo_seconds = Histogram(
    "gateway_echo_seconds",
    "From handing a message to the store to hearing it on the room's channel; one in sixteen is measured.",
    ANSWERS_S,
)
written_bytes = Counter("gateway_written_bytes_total", "Bytes of messages written to clients.")
fanout_seconds = Histogram(
    "gateway_fanout_seconds",
    "Writing what one read brought of a room to all its members here; one in eight is measured.",
    (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0),
)
pong_seconds = Histogram(
    "gateway_pong_seconds", "From a ping to the client's pong; one in sixteen is measured.",
    (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 20.0),
)  # fmt: skip
loop_lag_seconds = Histogram(
    "gateway_loop_lag_seconds", "How late the event loop came to what was due; measured four times a second.",
    (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0),
)  # fmt: skip
connects = ResultCounter(
    "gateway_connects_total",
    "CONNECTs of clients: a session opened, the client was refused, or nobody could decide.",
    "ok", "refused", "undecided",
)  # fmt: skip
disconnects = ReasonCounter(
    "gateway_disconnects_total",
    "Sessions ended, by why.",
    "client_disconnect", "client_namespace_disconnect", "server_disconnect", "ping_timeout", "transport_close",
    "transport_error", "other",
)  # fmt: skip
handshakes_refused = ReasonCounter(
    "gateway_handshakes_refused_total",
    "Handshakes that were refused: those of `gateway_requests_refused_total` that began a session.",
    "unknown_transport", "bad_method", "bad_request", "origin_not_allowed", "unsupported_protocol_version", "banned",
    "draining", "too_many_new_connections", "no_keys_for_tokens", "too_many_from_address", "other", label="why",
)  # fmt: skip
refusals = TableCounter(
    "gateway_refusals_total", "Events that were refused, by event and error code.", ("event", "code"), 25
)
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
rate_limited = ReasonCounter(
    "gateway_rate_limited_total",
    "What a limit refused; `refusals` and `sends_without_pause` ended a connection.",
    "sends", "joins", "history", "members", "read", "unread", "signals", "events", "refusals", "sends_without_pause",
    "user_sends", "user_connections", "address_handshakes", "address_failures", "address_connections", label="limit",
)  # fmt: skip
handoffs = ResultCounter(
    "gateway_handoffs_total",
    "Connections that another worker should answer: passed on, or the worker is gone, or did not take them.",
    "passed", "gone", "failed",
)  # fmt: skip
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

api_requests = TableCounter(
    "gateway_api_requests_total",
    "Requests to the server API, by method and by the HTTP status of the answer.",
    ("method", "code"), 25,
)  # fmt: skip
api_seconds = HistogramFamily(
    "gateway_api_seconds",
    "From a request to the server API to its answer, by method; after five of them `other`.",
    "method", CALLS_S, 5,
)  # fmt: skip
webhook_posts = NamedCounter("gateway_webhook_posts_total", "Posts that a webhook took.")
webhook_failures = NamedCounter(
    "gateway_hook_failures_total", "Posts that a webhook did not take; they are tried again."
)
hook_seconds = HistogramFamily(
    "gateway_hook_seconds",
    "From a question to a hook (`connect`, `join`, `send`), or a post to a webhook by its name, to the answer.",
    "hook", CALLS_S, 7,
)  # fmt: skip
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

bus_reconnects = Counter("gateway_bus_reconnects_total", "Connections for channels that were opened again.")
store_reconnects = Counter(
    "gateway_store_reconnects_total", "Connections for commands that were opened again."
)
store_rtt_seconds = Histogram(
    "gateway_store_rtt_seconds",
    "From writing a command to reading its reply: the oldest reply that one read brings.",
    (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 2.5),
)

connections = Gauge(
    "gateway_connections", "Engine.IO sessions that are open, by what carries them.", ("transport",)
)
sessions = Gauge(
    "gateway_sessions",
    "Clients that are in (CONNECT was answered): guests, or users with a token.",
    ("identity",),
)
rooms = Gauge("gateway_rooms", "Rooms that this worker is subscribed to.")
memberships = Gauge("gateway_memberships", "Members of all rooms together: sessions times their rooms.")
behind_members = Gauge("gateway_behind_members", "Members that read too slowly, and get the rest later.")
outbound_bytes = Gauge("gateway_outbound_bytes", "Bytes that wait to be taken by all clients together.")
outbound_bytes_max = Gauge("gateway_outbound_bytes_max", "Bytes that wait for the slowest client.")
bus_silence_seconds = Gauge(
    "gateway_bus_silence_seconds", "For how long the store's channels have said nothing, probes included."
)
bus_subscriptions = Gauge("gateway_bus_subscriptions", "Channels that this worker wants to hear.")
store_up = Gauge("gateway_store_up", "1 while commands reach the store.")
store_pending = Gauge("gateway_store_pending", "Commands that the store has not answered yet.")
jwks_age_seconds = Gauge(
    "gateway_jwks_age_seconds",
    "How old the identity provider's keys are; only where tokens are checked by them.",
)
drain_state = Gauge("gateway_drain_state", "1 while the worker drains.")
ready = Gauge("gateway_ready", "1 while the worker should get new sessions (`/readyz`).")
build_info = Gauge("gateway_build_info", "1; the version and the build are the labels.", ("version", "build"))
worker_up = Gauge(
    "gateway_worker_up", "1 for a worker that answered this scrape, 0 for one that should have and did not."
)

ALL: tuple[AnyMetric, ...] = (
    worker_up, ready, drain_state, build_info, connections, sessions, rooms, memberships, behind_members,
    outbound_bytes, outbound_bytes_max, connects, disconnects, auth, refusals, rate_limited, handshakes_refused,
    requests_refused, cut_off, joins, join_seconds, replayed, published, acknowledged, unavailable, duplicates,
    publish_seconds, echo_seconds, heard, delivered, written_bytes, fanout_seconds, holes, repairs, gaps, epochs_begun,
    snapshots, malformed, pong_seconds, loop_lag_seconds, bus_silence_seconds, bus_subscriptions, bus_reconnects, deaf,
    store_up, store_reconnects, store_pending, store_rtt_seconds, handoffs, frames_read, packets_read, requests_read,
    emits_refused, jwks_fetches, jwks_age_seconds, hook_answers, signals, read_marks, send_hook_answers, hook_seconds,
    background_failures, revoked_sessions, api_requests, api_seconds, control_malformed, moderations, removed,
    webhook_posts, webhook_failures, webhook_gaps, webhook_backlog, webhook_oldest_seconds,
)  # fmt: skip
"""All of them, in the order in which they are shown."""
