"""How what the gateway posts to the application is signed: as https://www.standardwebhooks.com say. Values only."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

SECRET_BYTES_MIN = 24
"""As Standard Webhooks ask for."""


def signatures(secrets_: Sequence[bytes], message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers by which the application can tell that the gateway posts, and when. Each secret makes a signature of
    its own, so that the application can change secrets; without any there are no headers."""
    if not secrets_:
        return {}
    signed = b".".join((message_id.encode(), b"%d" % at_s, body))
    each = (hmac.digest(secret, signed, hashlib.sha256) for secret in secrets_)
    made = " ".join(f"v1,{base64.b64encode(one).decode()}" for one in each)
    return {"webhook-id": message_id, "webhook-timestamp": str(at_s), "webhook-signature": made}


def new_id() -> str:
    """An id that no message had."""
    return f"msg_{secrets.token_hex(12)}"


def read_secret(text: str) -> bytes:
    """The secret of a file's text: base64, with or without `whsec_` before it. Raises ValueError."""
    try:
        secret = base64.b64decode(text.strip().removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError("it is not base64") from error
    if len(secret) < SECRET_BYTES_MIN:
        raise ValueError(f"it is shorter than {SECRET_BYTES_MIN} bytes")
    return secret


def read_secrets(text: str) -> tuple[bytes, ...]:
    """The secrets of a file's text, one a line; lines that begin with # are comments. Raises ValueError."""
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    if not lines:
        raise ValueError("it holds no secret")
    return tuple(map(read_secret, lines))
