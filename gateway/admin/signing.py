"""Who is signed in to the dashboard: a cookie that the workers of one host sign, and nothing that is kept.

    <key's name>:<begun>:<until>:<nonce>:<signature>

The signature covers the key's hash, too: a key that is taken out, or replaced under its name, ends what was signed in
by it. The secret is random, made by the first worker that needs it, and lives in the workers' private folder as long as
the gateway: a restart signs everybody out. A cookie counts for `LIFE_S`, and is renewed while it is used, up to
`DAY_S` after the signing in. Values only, but for the secret's file.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from gateway.access.api_keys import ADMIN, ApiKey, ApiKeys, ConfiguredKey

COOKIE = "gateway_admin"
LIFE_S = 1800
DAY_S = 12 * 3600
SECRET_BYTES = 32
FILE = "admin-secret"
"""In the workers' folder, which nobody else may look into."""


class Signed(NamedTuple):
    """Somebody who is signed in: by which key, since when, until when, and the number that tells it from others."""

    key: ApiKey
    begun_s: int
    until_s: int
    nonce: str


class Signing:
    """Makes and reads cookies."""

    def __init__(self, keys: ApiKeys, secret: bytes) -> None:
        self._keys = {each.key.name: each for each in keys.configured if may_sign_in(each.key)}
        self._secret = secret

    def begin(self, key: ApiKey, now_s: float) -> Signed:
        """Somebody has shown a key."""
        return Signed(key, int(now_s), int(now_s) + LIFE_S, secrets.token_hex(12))

    def renewed(self, signed: Signed, now_s: float) -> Signed:
        """The same, for longer."""
        return signed._replace(until_s=min(int(now_s) + LIFE_S, signed.begun_s + DAY_S))

    def cookie(self, signed: Signed) -> str:
        """What the browser keeps."""
        said = f"{signed.key.name}:{signed.begun_s}:{signed.until_s}:{signed.nonce}"
        return f"{said}:{self._mac(said, self._keys[signed.key.name])}"

    def read(self, cookie: str, now_s: float) -> Signed | None:
        """Who is signed in by a cookie; None for one that does not count, or not any more."""
        said, _, mac = cookie.rpartition(":")
        parts = said.split(":")
        configured = self._keys.get(parts[0])
        if len(cookie) > 256 or len(parts) != 4 or configured is None or not mac.isascii():
            return None
        if not hmac.compare_digest(mac, self._mac(said, configured)):
            return None
        begun_s, until_s = int(parts[1]), int(parts[2])  # numbers, as they are signed
        return Signed(configured.key, begun_s, until_s, parts[3]) if now_s < until_s else None

    def form_token(self, signed: Signed) -> str:
        """What a form must bring along, which another site cannot know."""
        return hmac.new(self._secret, b"form:" + signed.nonce.encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, signed: Signed, presented: str) -> bool:
        """Whether a form is one of ours."""
        return presented.isascii() and hmac.compare_digest(self.form_token(signed), presented)

    def _mac(self, said: str, configured: ConfiguredKey) -> str:
        return hmac.new(self._secret, said.encode() + b"\0" + configured.digest, hashlib.sha256).hexdigest()


def may_sign_in(key: ApiKey) -> bool:
    """Whether a key opens the dashboard: it must be for `admin`, and for all rooms, as they are all shown."""
    return key.allows(ADMIN, None)


def shared_secret(folder: str | None) -> bytes:
    """The secret of all workers that share a folder; a new one without a folder."""
    if folder is None:
        return secrets.token_bytes(SECRET_BYTES)
    path, mine = Path(folder) / FILE, Path(folder) / f"{FILE}-{secrets.token_hex(4)}"
    file = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, secrets.token_bytes(SECRET_BYTES))
        os.link(mine, path)  # whole, or not at all
    except FileExistsError:
        pass  # another worker was first
    finally:
        os.close(file)
        mine.unlink()
    return path.read_bytes()
