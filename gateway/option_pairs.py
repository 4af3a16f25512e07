"""Options that must fit each other: each pair that cannot, and the sentence that says so.

Owns no option; `option_groups.py` does, and asks here. A pair that only works badly is described in docs/options.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.identity_options import identity_contradictions
from gateway.redis_url import Topology, read_redis_url
from gateway.send_hook_options import send_hook_contradictions
from gateway.tracing_options import tracing_contradictions

CHARACTER_BYTES = 12
"""What a character may take in JSON: an emoji that a client writes as two escapes, such as `\\ud83d\\ude00`."""
STORED_CHARACTER_BYTES = 6
"""What a character takes at most as it is stored and sent to members: a control character, such as `\\u0001`."""
AROUND_BYTES = 4096
"""What else an event may take: 64 + 128 + 128 characters of names and keys, and what stands around them."""
BESIDE_BYTES = 3072
"""What may stand beside a message's text: `meta` of 1 KiB, as a client may write it, or the user's id with it."""
PIECE_BYTES = 32_768
"""What a member that catches up is given at once, as long as it is not behind (`rooms/catching_up.py`); a larger
message goes alone."""
LIVE_BYTES = 32_768
"""Room for what comes live meanwhile."""


def contradictions(settings: Any) -> Iterator[tuple[bool, str]]:
    """Options that cannot both hold: whether it is so, and the sentence."""
    yield from _of_sizes(settings)
    yield from _of_redis(settings.redis)
    yield from _of_times(settings)
    yield from _of_access(settings)
    yield from send_hook_contradictions(settings.send_hook)
    yield from tracing_contradictions(settings.tracing)


def _of_sizes(settings: Any) -> Iterator[tuple[bool, str]]:
    engine, message_max = settings.engine, settings.limits.message_max
    apart_bytes = (
        max(PIECE_BYTES, STORED_CHARACTER_BYTES * message_max + AROUND_BYTES + BESIDE_BYTES) + LIVE_BYTES
    )
    yield (
        engine.outbound_max_bytes - engine.outbound_mark_bytes < apart_bytes,
        f"GATEWAY_OUTBOUND_MAX_BYTES must be at least {apart_bytes} above GATEWAY_OUTBOUND_MARK_BYTES: "
        "a member below the mark is given a piece of the history, with messages of up to "
        f"{message_max} characters (GATEWAY_MESSAGE_MAX), and must not be cut for it",
    )
    needed_bytes = CHARACTER_BYTES * message_max + AROUND_BYTES + BESIDE_BYTES
    yield (
        engine.max_payload_bytes < needed_bytes,
        f"GATEWAY_FRAME_MAX_BYTES must be at least {needed_bytes} for messages of {message_max} "
        "characters (GATEWAY_MESSAGE_MAX)",
    )


def _of_redis(redis: Any) -> Iterator[tuple[bool, str]]:
    yield redis.probe_s >= redis.unresponsive_s, "GATEWAY_PROBE_S must be below GATEWAY_DEAF_S"
    yield (
        redis.route == "cluster" and not _is_of(redis.url, Topology.CLUSTER),
        "GATEWAY_ROUTE=cluster needs a REDIS_URL that begins with redis+cluster://",
    )
    yield (
        redis.sentinel_username is not None and redis.sentinel_password is None,
        "GATEWAY_SENTINEL_USERNAME needs a GATEWAY_SENTINEL_PASSWORD",
    )
    yield (
        redis.sentinel_password is not None and not _is_of(redis.url, Topology.SENTINEL),
        "GATEWAY_SENTINEL_PASSWORD needs a REDIS_URL that begins with redis+sentinel://",
    )
    yield (
        redis.is_prefix_historys_too and not redis.prefix,
        "GATEWAY_PREFIX_HISTORY=on needs a GATEWAY_PREFIX",
    )


def _of_times(settings: Any) -> Iterator[tuple[bool, str]]:
    publish, presence = settings.publish, settings.presence
    yield (
        publish.position_ttl_s < publish.history_ttl_s,
        "GATEWAY_POSITION_TTL_S must not be below GATEWAY_HISTORY_TTL_S: "
        "a history without its position is numbered anew",
    )
    yield (
        presence.worker_dead_s < 2 * presence.heartbeat_s,
        "GATEWAY_WORKER_DEAD_S must be at least twice GATEWAY_HEARTBEAT_S: "
        "workers that live would be presumed dead",
    )


def _of_access(settings: Any) -> Iterator[tuple[bool, str]]:
    rates = settings.rates
    yield (
        settings.server.path in ("", "/healthz", "/readyz", "/metrics"),
        "GATEWAY_PATH must be a path of its own, such as /socket.io",
    )
    yield (
        settings.access.join_hook_secret_file is not None and settings.access.join_hook is None,
        "GATEWAY_JOIN_HOOK_SECRET_FILE needs a GATEWAY_JOIN_HOOK",
    )
    yield (
        0 < rates.sends_cut_off_per_s <= rates.sends_per_s,
        "GATEWAY_SENDS_CUT_OFF_PER_S must be above GATEWAY_SENDS_PER_S: "
        "who keeps to the one would be ended by the other",
    )
    yield (
        settings.api.address is not None and settings.api.address.port == settings.server.port,
        "GATEWAY_API_LISTEN must not have the PORT of the clients",
    )
    yield from identity_contradictions(
        settings.identity, settings.engine.origins, settings.redis.url is not None
    )


def _is_of(url: str | None, topology: Topology) -> bool:
    return url is not None and read_redis_url(url).topology is topology
