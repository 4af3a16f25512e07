"""How the Admin UI signs in: with an API key as its password, or, when its page is loaded again, with what it was
given.

    {"username": anything, "password": "gwk_…"}
    {"sessionId": "ops:1700000000:1700043200:…"}

A session id is signed as the dashboard's cookie is, with a secret of its own: the page keeps it where its scripts can
read it, so it must not open the dashboard. It counts for `DAY_S`, on the workers of one host, and only while its key is
configured. Values only; the caller passes the time.
"""

from __future__ import annotations

import hashlib
import hmac

from gateway.access.api_keys import ApiKeys
from gateway.admin.signing import DAY_S, Signed, Signing, may_sign_in

PURPOSE = b"session ids of the Admin UI"


class UiCredentials:
    """Reads and makes them."""

    def __init__(self, keys: ApiKeys, secret: bytes) -> None:
        """`secret` is what the workers of a host share."""
        self._keys = keys
        self._signing = Signing(keys, hmac.digest(secret, PURPOSE, hashlib.sha256))

    def read(self, auth: object, now_s: float) -> Signed | None:
        """Who connects, by the data of its CONNECT; None for who may not."""
        if not isinstance(auth, dict):
            return None
        session_id, password = auth.get("sessionId"), auth.get("password")
        signed = self._signing.read(session_id, now_s) if isinstance(session_id, str) else None
        if signed is not None or not isinstance(password, str):
            return signed
        key = self._keys.find(password.strip())
        if key is None or not may_sign_in(key):
            return None
        begun = self._signing.begin(key, now_s)
        return begun._replace(until_s=begun.begun_s + DAY_S)

    def session_id(self, signed: Signed) -> str:
        """What the UI shows when it connects again."""
        return self._signing.cookie(signed)


def shows_password(auth: object) -> bool:
    """Whether somebody has typed one: a page that is loaded again shows a session id, and may show an old one."""
    return isinstance(auth, dict) and bool(auth.get("password"))
