"""What an error of Redis means to whoever runs the gateway: one sentence, and whether waiting can help.

Owns the words for it. `/readyz`, the log and `gateway check` say the same of the same error, because all of them ask
here. Pure: no connection, no clock.
"""

from __future__ import annotations

import os
import re
import ssl

from gateway.errors import StoreDenied, StoreError, StoreUnreachable, Trouble

OLDEST_MAJOR = 7
"""Sharded pub/sub and what the scripts rely on came with Redis 7.0; every Valkey has them."""

_TRIED_AGAIN = "waiting helps if it comes back: it is tried again until it answers"
_CHANGE_USER = (
    "waiting does not help: correct the user and the password of REDIS_URL, or the user's rights in Redis"
)
_CHANGE_URL = "waiting does not help: correct REDIS_URL"

_PLACE_IN_SCRIPT = re.compile(r"(?<!failure in) script: .*")
"""The digest and the line number behind what went wrong in a script. A missing right begins with words like them: "ACL
failure in script: User gateway has no permissions to run the 'hset' command script: on @user_script:36"."""

_BY_FIRST_WORD = {
    "NOAUTH": ("does not let this user in", _CHANGE_USER),
    "WRONGPASS": ("does not let this user in", _CHANGE_USER),
    "NOPERM": ("does not allow this user what the gateway needs", _CHANGE_USER),
    "READONLY": (
        "is read-only",
        "waiting helps if it becomes the primary; otherwise name the primary in REDIS_URL",
    ),
    "OOM": ("is full", "waiting helps only when memory gets free: raise maxmemory"),
    "MISCONF": (
        "takes no writes",
        "waiting helps only when it can write to its disk again: look into its log",
    ),
    "LOADING": ("does not answer yet", "waiting helps: it is reading its data"),
    "MASTERDOWN": ("takes no writes", _TRIED_AGAIN),
    "NOREPLICAS": ("takes no writes", "waiting helps when its replicas are back (min-replicas-to-write)"),
    "CLUSTERDOWN": ("takes no writes", "waiting helps when every slot has a primary again"),
    "BUSY": ("does not answer", "waiting helps when the script that keeps it busy ends"),
    "WRONGTYPE": (
        "holds something of another kind under one of the gateway's names",
        "waiting does not help: give the gateway a database, or by GATEWAY_PREFIX names, that nobody else uses",
    ),
}
"""First word of an error reply -> what the server does, and what to do."""


def trouble_with(place: str, error: BaseException) -> Trouble:
    """Says why a server cannot be used, from what its connection or its reply raised."""
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        return _tls(place, error)
    if isinstance(error, TimeoutError) or "not answer in time" in text:
        return Trouble(f"{place} does not answer in time", _TRIED_AGAIN)
    if isinstance(error, OSError):
        return Trouble(f"{place} cannot be reached: {_system_words(error)}", _TRIED_AGAIN)
    text = _PLACE_IN_SCRIPT.sub("", text)
    if isinstance(error, StoreDenied) and not text.startswith(("NO", "WRONG")):
        text = f"NOPERM {text.removeprefix('ERR ').removeprefix('ACL failure in script: ')}"
    word, _, rest = text.partition(" ")
    if word in _BY_FIRST_WORD:
        does, advice = _BY_FIRST_WORD[word]
        return Trouble(f"{place} {does}: {rest}", advice)
    if "AUTH" in text:
        return Trouble(f"{place} does not let this user in: {text.removeprefix('ERR ')}", _CHANGE_USER)
    if re.match(r"[A-Z]{3,} ", text):
        return Trouble(f"{place} refuses what the gateway needs: {text.removeprefix('ERR ')}", _CHANGE_URL)
    return Trouble(f"{place} cannot be used: {text or type(error).__name__}", _TRIED_AGAIN)


def trouble_of(error: StoreError) -> Trouble:
    """The trouble that an error brought along, or what its text says of Redis."""
    return error.trouble if isinstance(error, StoreUnreachable) else trouble_with("Redis", error)


def unfit(place: str, info: bytes, expects_cluster: bool) -> Trouble | None:
    """Why a server cannot be used by what it says of itself (INFO server), or None. Of a server that does not tell,
    nothing is said: its writes will show."""
    told = dict(line.split(":", 1) for line in info.decode(errors="replace").splitlines() if ":" in line)
    version, mode = told.get("redis_version", ""), told.get("server_mode") or told.get("redis_mode", "")
    is_valkey = "valkey_version" in told or told.get("server_name") == "valkey"
    major = version.split(".", 1)[0]
    if not is_valkey and major.isdigit() and int(major) < OLDEST_MAJOR:
        sentence = f"{place} is Redis {version}; the gateway needs Redis {OLDEST_MAJOR}.0 or newer, or Valkey"
        return Trouble(sentence, "waiting does not help: use a newer server")
    if mode == "sentinel":
        return Trouble(f"{place} is a Sentinel: name it by redis+sentinel://{place}", _CHANGE_URL)
    if mode == "cluster" and not expects_cluster:
        return Trouble(
            f"{place} is a node of a Redis Cluster: name it by redis+cluster://{place}", _CHANGE_URL
        )
    if mode == "standalone" and expects_cluster:
        return Trouble(f"{place} is not a node of a Redis Cluster: name it by redis://{place}", _CHANGE_URL)
    return None


def _tls(place: str, error: BaseException) -> Trouble:
    reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Trouble(
            f"{place} does not prove who it is: certificate verify failed: {reason}",
            "waiting does not help: name the file of its authority in REDIS_URL by ssl_ca_certs, "
            "or the host by the name in its certificate",
        )
    return Trouble(
        f"{place} cannot be spoken to over TLS: {str(reason).replace('_', ' ').lower()}",
        "waiting does not help unless the server changes: without TLS it is named by redis://",
    )


def _system_words(error: OSError) -> str:
    """Such as "Connection refused", whichever event loop raised it."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
