"""What a Redis or Valkey says of itself, and what that means for rooms. Pure: no connection, no clock.

Owns the sentences of `gateway check`: what can be lost with this persistence and this replication, and what deserves a
warning. Whether it works at all is not judged here (`check.judge`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


class Wrong(Exception):
    """The gateway cannot work with this store; the text is one plain sentence."""


@dataclass(frozen=True, slots=True)
class Info:
    """The reply of INFO, read."""

    values: dict[str, int | str]

    @property
    def replicas(self) -> list[str]:
        """Addresses of the replicas that follow at this moment."""
        fields = [dict(pair.split("=", 1) for pair in text.split(",")) for text in self._replica_lines()]
        return [f"{each['ip']}:{each['port']}" for each in fields if each.get("state") == "online"]

    def _replica_lines(self) -> list[str]:
        """Such as `ip=10.0.0.2,port=6379,state=online,offset=42,lag=0`."""
        return [str(text) for name, text in self.values.items() if re.fullmatch(r"slave\d+", name)]


def parse_info(reply: bytes) -> Info:
    """Reads lines of `name:value`; whole numbers become numbers."""
    values: dict[str, int | str] = {}
    for line in reply.decode(errors="replace").splitlines():
        name, colon, text = line.partition(":")
        if colon and not line.startswith("#"):
            values[name] = int(text) if text.isascii() and text.isdigit() else text
    return Info(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one server says of itself. None where it does not tell: managed services often refuse CONFIG."""

    address: str
    """Where it was asked, as host:port or the path of a socket."""
    product: str
    """Redis or Valkey."""
    version: str
    """Of the product: a Valkey also names the Redis that it is compatible with."""
    is_primary: bool
    """Whether it takes writes."""
    primary_address: str
    """Whom a replica follows."""
    is_cluster: bool
    """Whether it is a node of a Cluster."""
    is_append_only: bool
    """Whether writes go to an append-only file."""
    flush: str | None
    """When that file is flushed: `appendfsync`."""
    delayed_flushes: int
    """How often its disk took longer than two seconds to flush it: `aof_delayed_fsync`."""
    snapshots: str | None
    """When snapshots are taken: `save`; empty for never."""
    replicas: int
    """How many replicas are connected."""
    min_replicas: int | None
    """Without so many it takes no writes: `min-replicas-to-write`."""
    used_bytes: int
    """Memory that it takes."""
    max_bytes: int
    """Memory that it may take; 0 for no limit."""
    eviction: str
    """What happens at the limit: `maxmemory-policy`."""


def facts_of(address: str, info: Mapping[str, Any], config: Mapping[str, str]) -> Facts:
    """Reads the replies of INFO and CONFIG GET; `config` is empty where CONFIG is refused."""
    is_valkey = "valkey_version" in info or info.get("server_name") == "valkey"
    min_replicas = config.get("min-replicas-to-write")
    return Facts(
        address=address,
        product="Valkey" if is_valkey else "Redis",
        version=str(info.get("valkey_version") or info.get("redis_version", "of an unknown version")),
        is_primary=info.get("role") == "master",
        primary_address=f"{info.get('master_host', 'unknown')}:{info.get('master_port', '')}",
        is_cluster=bool(info.get("cluster_enabled")),
        is_append_only=bool(info.get("aof_enabled")),
        flush=config.get("appendfsync"),
        delayed_flushes=int(info.get("aof_delayed_fsync", 0)),
        snapshots=config.get("save"),
        replicas=int(info.get("connected_slaves", 0)),
        min_replicas=None if min_replicas is None else int(min_replicas),
        used_bytes=int(info.get("used_memory", 0)),
        max_bytes=int(info.get("maxmemory", 0)),
        eviction=str(info.get("maxmemory_policy", "")),
    )


def describe(facts: Facts) -> Iterator[tuple[str, str]]:
    """Lines about one server, each with its heading."""
    yield "server", f"{facts.product} {facts.version} at {facts.address}"
    yield "persistence", _persistence(facts)
    yield "", _loss(facts)
    yield "replication", _replication(facts)
    yield "memory", _memory(facts)


def warnings(facts: Facts) -> Iterator[str]:
    """What works but should be known before it hurts."""
    if not facts.is_append_only and facts.snapshots == "":
        yield f"{facts.address} keeps nothing on disk: history does not survive its restart."
    if facts.delayed_flushes:
        yield (
            f"{facts.address} waited too long for its disk {facts.delayed_flushes} times (aof_delayed_fsync): "
            "what it acknowledged meanwhile was in its memory only; give it a faster disk."
        )
    if facts.max_bytes and facts.eviction not in ("noeviction", ""):
        yield (
            f"{facts.address} evicts keys when memory is short (maxmemory-policy {facts.eviction}): "
            "rooms would lose their history or their position; set noeviction."
        )
    if facts.replicas and facts.min_replicas == 0:
        yield (
            f"{facts.address} takes writes while cut off from its replicas, and a failover drops them: "
            "set min-replicas-to-write to 1."
        )


def _persistence(facts: Facts) -> str:
    flush = {
        "always": "flushed at every write",
        "everysec": "flushed every second",
        "no": "flushed when the operating system likes",
    }.get(facts.flush or "", "how often it is flushed the server does not tell")
    file = f"append-only file, {flush}" if facts.is_append_only else "no append-only file"
    if facts.snapshots is None:
        return f"{file}; whether it takes snapshots the server does not tell"
    return f"{file}; snapshots {f'by the rules {facts.snapshots}' if facts.snapshots else 'off'}"


def _loss(facts: Facts) -> str:
    """What acknowledged messages can be lost; from the pages on persistence of Redis and Valkey."""
    if facts.is_append_only and facts.flush == "always":
        return "Nothing acknowledged is lost by a crash of the server or of its machine."
    if facts.is_append_only and facts.flush == "everysec":
        return (
            "A crash of the server alone loses nothing, unless its disk is busy: then it can lose up to two seconds "
            "of messages; one of its machine can lose about the last second."
        )
    if facts.is_append_only:
        return (
            "A crash of the server alone loses nothing; one of its machine can lose the last 30 seconds or so of "
            "messages."
        )
    if facts.snapshots:
        return (
            "A crash loses every message since the last snapshot; members are told by a new epoch or a gap."
        )
    if facts.snapshots is None:
        return "A crash loses what is not in a snapshot; members are told by a new epoch or a gap."
    return "A restart loses all history; members are told by a new epoch."


def _replication(facts: Facts) -> str:
    if not facts.replicas:
        return "no replicas: while this server is away, send and join answer `unavailable`"
    needs = "unknown" if facts.min_replicas is None else str(facts.min_replicas)
    return (
        f"{facts.replicas} connected, asynchronous, min-replicas-to-write {needs}: "
        "a failover can lose the messages that had not reached the new primary"
    )


def _memory(facts: Facts) -> str:
    limit = f"of {_mib(facts.max_bytes)}" if facts.max_bytes else "without a limit"
    return f"{_mib(facts.used_bytes)} {limit}, maxmemory-policy {facts.eviction or 'unknown'}"


def _mib(count_bytes: int) -> str:
    return f"{count_bytes / 1_048_576:.1f} MiB"
