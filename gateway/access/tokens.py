"""Reads a token: who it says somebody is, once a key of ours says so too.

Owns what a token may be: its size, its header, its signature, its claims. Promises that whatever the text is, the
answer is an `Identity` or `NotAdmitted`. Functions of values; the caller passes the keys and the time.

A check takes 50 to 150 µs with any algorithm, and a token is checked once (`remembered.py`): less than handing it to a
thread and back costs the loop, so it is done where it is asked for.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jwt
import orjson

from gateway.access.identity import Identity, NotAdmitted, Reason
from gateway.access.verifying_keys import KID_MAX, KeySet, VerifyingKey

TOKEN_MAX_BYTES = 8192
TEXT_MAX = 128
"""Longest `sub` and `jti`, in characters."""
TIME_MAX_S = 10**12
"""No Unix time that anybody means is so large; what JSON calls a number may be."""
GRANTS_MAX = 1000
"""Most patterns in the claim `rooms`; a token has no room for many more."""

_JWS = jwt.PyJWS()


class Header(NamedTuple):
    """What a token's header says that is listened to: which key, and the algorithm that this key must have."""

    kid: str | None
    algorithm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """Whose tokens count, and for how long."""

    issuers: Collection[str] = ()
    """Empty: any."""
    audiences: Collection[str] | None = ()
    """Empty: only tokens that name none; None: any."""
    name_claim: str = "name"
    name_max: int = 64
    age_max_s: float = 86_400
    leeway_s: float = 10


def header_of(token: str) -> Header:
    """The header of a token of allowed size; raises NotAdmitted."""
    if len(token) > TOKEN_MAX_BYTES:
        raise NotAdmitted(Reason.MALFORMED, "The token is longer than 8 KiB.", "too_large")
    if not token.isascii() or token.count(".") != 2:
        raise _malformed("not_a_token")
    try:
        found = orjson.loads(_bytes_of(token[: token.index(".")]))
    except orjson.JSONDecodeError:
        raise _malformed("not_a_token") from None
    if not isinstance(found, dict) or not isinstance(algorithm := found.get("alg"), str):
        raise _malformed("header")
    kid = found.get("kid")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= KID_MAX):
        raise _malformed("header")
    if (
        "crit" in found or "b64" in found
    ):  # extensions that whoever does not know them must refuse: we know none
        raise _invalid("crit")
    return Header(kid, algorithm)


def verify(
    token: str, header: Header, keys: KeySet, rules: TokenRules, now_s: float
) -> tuple[Identity, VerifyingKey]:
    """Who a token says somebody is, and by which key; `now_s` is Unix time. Raises NotAdmitted."""
    candidates = keys.matching(header.kid, header.algorithm)
    if not candidates:
        raise _invalid("algorithm" if keys.knows(header.kid) else "unknown_key")
    for key in candidates:
        payload = _payload(token, key)
        if payload is not None:
            return identity_of(_claims(payload), rules, now_s), key
    raise _invalid("signature")


def _payload(token: str, key: VerifyingKey) -> bytes | None:
    """What a token carries; None when this key has not signed it. Keys were prepared and measured when they were read,
    and the header was read by `header_of`: PyJWT's whole way does both anew for each token (36 µs of HS256's 40)."""
    signed, _, signature = token.rpartition(".")
    payload = _bytes_of(signed.partition(".")[2])
    algorithm = _JWS.get_algorithm_by_name(key.algorithm)
    try:
        is_signed = algorithm.verify(signed.encode(), key.material, _bytes_of(signature))
    except (jwt.PyJWTError, ValueError, TypeError):
        raise _malformed("not_a_token") from None
    return payload if is_signed else None


def _bytes_of(part: str) -> bytes:
    """A part of a token, which is base64url without padding, in the one way to write it: its last character has bits
    that count for nothing, and a token must not have two texts (RFC 4648, section 3.5)."""
    try:
        found = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise _malformed("not_a_token") from None
    if base64.urlsafe_b64encode(found).rstrip(b"=") != part.encode():
        raise _malformed("not_a_token")
    return found


def _claims(payload: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise _invalid("claims") from None
    if not isinstance(found, dict):
        raise _invalid("claims")
    return found


def identity_of(claims: Mapping[str, Any], rules: TokenRules, now_s: float) -> Identity:
    """Who these claims say somebody is; raises NotAdmitted. The signature is the caller's matter."""
    expires_at_s, issued_at_s = _life(claims, rules, now_s)
    _check_issuer(claims, rules)
    _check_audience(claims, rules)
    user = _text(claims, "sub")
    if not user:
        raise _invalid("sub")
    return Identity(
        user=user,
        name=_name(claims, rules),
        token_id=_text(claims, "jti"),
        issued_at_s=issued_at_s,
        expires_at_s=expires_at_s,
        grants=_grants(claims),
    )


def _life(claims: Mapping[str, Any], rules: TokenRules, now_s: float) -> tuple[float, float]:
    """When the token ends, and since when it counts."""
    expires_at_s = _time(claims, "exp")
    if expires_at_s is None:
        raise _invalid("exp")
    if expires_at_s + rules.leeway_s <= now_s:
        raise NotAdmitted(Reason.EXPIRED, "The token has expired.", "expired")
    issued_at_s = _time(claims, "iat")
    is_issued = issued_at_s is not None
    issued_at_s = issued_at_s if issued_at_s is not None else expires_at_s - rules.age_max_s
    if is_issued and not 0 < expires_at_s - issued_at_s <= rules.age_max_s:
        raise _invalid("life")
    if issued_at_s > now_s + rules.leeway_s:
        if not is_issued:
            raise _invalid("life")  # it ends later than a token of today may
        raise NotAdmitted(Reason.NOT_YET, "The token does not count yet.", "not_yet")
    not_before_s = _time(claims, "nbf")
    if not_before_s is not None and not_before_s > now_s + rules.leeway_s:
        raise NotAdmitted(Reason.NOT_YET, "The token does not count yet.", "not_yet")
    return expires_at_s, issued_at_s


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """A claim that is a Unix time; None where it is missing."""
    found = claims.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) < TIME_MAX_S:
        raise _invalid(name)
    return float(found)


def _check_issuer(claims: Mapping[str, Any], rules: TokenRules) -> None:
    issuer = claims.get("iss")
    if rules.issuers and not (isinstance(issuer, str) and issuer in rules.issuers):
        raise _invalid("iss")


def _check_audience(claims: Mapping[str, Any], rules: TokenRules) -> None:
    """RFC 7519, section 4.1.3: who is not named in `aud` must refuse the token."""
    audience = claims.get("aud")
    if rules.audiences is None or (audience is None and not rules.audiences):
        return
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not any(
        isinstance(each, str) and each in rules.audiences for each in named
    ):
        raise _invalid("aud")


def _text(claims: Mapping[str, Any], name: str) -> str:
    """A claim that is a short text; empty where it is missing."""
    found = claims.get(name)
    if found is None:
        return ""
    if not isinstance(found, str) or not 1 <= len(found) <= TEXT_MAX or _has_controls(found):
        raise _invalid(name)
    return found


def _name(claims: Mapping[str, Any], rules: TokenRules) -> str | None:
    found = claims.get(rules.name_claim)
    if found is None or found == "":
        return None
    if not isinstance(found, str) or len(found) > rules.name_max or _has_controls(found):
        raise _invalid("name")
    return unicodedata.normalize("NFC", found)


def _has_controls(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(character) == "Cc" for character in text)


def _grants(claims: Mapping[str, Any]) -> Mapping[str, frozenset[str]]:
    """The claim `rooms`: pattern → operations. Only its shape is judged here."""
    found = claims.get("rooms")
    if found is None:
        return {}
    if not isinstance(found, dict) or len(found) > GRANTS_MAX:
        raise _invalid("rooms")
    grants = {}
    for pattern, operations in found.items():
        if not pattern or not isinstance(operations, list):
            raise _invalid("rooms")
        if not all(isinstance(operation, str) and operation for operation in operations):
            raise _invalid("rooms")
        grants[pattern] = frozenset(operations)
    return grants


def _malformed(cause: str) -> NotAdmitted:
    return NotAdmitted(Reason.MALFORMED, "That is not a token.", cause)


def _invalid(cause: str) -> NotAdmitted:
    return NotAdmitted(Reason.INVALID, "The token is not valid here.", cause)
