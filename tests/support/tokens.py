"""Keys and tokens for tests: honest ones, and any that a forger could write."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

SECRET = b"a secret of tests, and long enough for them"
OTHER_SECRET = b"a secret of others, who must not be let in "


@cache
def _made(kind: str, number: int) -> Any:
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else ed25519.Ed25519PrivateKey.generate()


def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """A private key; the same for the same number."""
    return _made("rsa", number)  # type: ignore[no-any-return]


def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    """A private key on P-256."""
    return _made("ec", number)  # type: ignore[no-any-return]


def ed_key(number: int = 0) -> ed25519.Ed25519PrivateKey:
    """An Ed25519 key."""
    return _made("ed", number)  # type: ignore[no-any-return]


def pem(private: Any) -> str:
    """The public half, as PEM."""
    text: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def jwk(private: Any, **about: Any) -> dict[str, Any]:
    """The public half, as a JWK."""
    kinds: tuple[tuple[type, Any], ...] = (
        (rsa.RSAPrivateKey, RSAAlgorithm),
        (ec.EllipticCurvePrivateKey, ECAlgorithm),
        (ed25519.Ed25519PrivateKey, OKPAlgorithm),
    )
    algorithm = next(found for kind, found in kinds if isinstance(private, kind))
    return {**json.loads(algorithm.to_jwk(private.public_key())), **about}


def claims(**other: Any) -> dict[str, Any]:
    """Those of an honest token; a claim that is None is left out."""
    now_s = int(time.time())
    found = {"sub": "ada", "name": "Ada", "iat": now_s, "exp": now_s + 600, **other}
    return {name: value for name, value in found.items() if value is not None}


def signed(key: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **other: Any) -> str:
    """A token by PyJWT, as an application makes it."""
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**other), key, algorithm=algorithm, headers=headers)


def part(value: Any) -> str:
    """A value as it stands in a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header: Mapping[str, Any], payload: Any, key: Any, algorithm: Any) -> str:
    """A token with any header, signed by one of PyJWT's algorithms with any key."""
    text = f"{part(dict(header))}.{part(payload)}"
    return f"{text}.{part(algorithm.sign(text.encode(), key))}"


def secrets_file(folder: Path, *lines: tuple[str, bytes]) -> Path:
    """A file for GATEWAY_TOKEN_SECRETS_FILE."""
    file = folder / "secrets"
    pairs = lines or (("one", SECRET),)
    file.write_text("".join(f"{kid}:{base64.b64encode(secret).decode()}\n" for kid, secret in pairs))
    file.chmod(0o600)
    return file


class JwksServer:
    """An identity provider's keys, published on loopback: `async with JwksServer() as idp:`."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.answer: web.Response | None = None
        self.asked: list[float] = []
        """When it was asked (monotonic)."""
        self.delay_s = 0.0
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.name = secrets.token_hex(4)
        """No two are the same, though a port may be."""

    @property
    def url(self) -> str:
        """Where the keys are."""
        return f"http://127.0.0.1:{self.port}/jwks.json"

    async def __aenter__(self) -> JwksServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens, on the port of before if there was one."""

        async def answer(request: web.Request) -> web.StreamResponse:
            self.asked.append(time.monotonic())
            await asyncio.sleep(self.delay_s)
            if self.answer is not None:
                made = self.answer
                return web.Response(status=made.status, body=made.body, headers=made.headers)
            return web.json_response({"keys": self.keys})

        app = web.Application()
        app.router.add_get("/{any:.*}", answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Is away."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
