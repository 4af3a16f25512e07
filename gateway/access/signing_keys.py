"""Keys as people write them down: a file of secrets, PEM blocks, a JWKS.

Owns what is taken and what is refused, with the sentence that says so. Promises that no sentence holds a part of a
secret. Functions of values; `key_files.py` reads the files.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.access.verifying_keys import KID_MAX, VerifyingKey

SECRET_MIN_BYTES = 32
"""RFC 7518, section 3.2: an HS256 key is at least as long as its hash."""
KEYS_MAX = 100
"""So many keys at most in one set."""
RSA_BITS = range(2048, 8193)
"""RFC 7518, section 3.3, asks for 2,048 at least; above the other end a check takes milliseconds."""

_BY_CURVE = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_OF_JWK: dict[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}
_BLOCK = re.compile(
    r"(?P<before>.*?)(?P<pem>-----BEGIN (?P<label>[A-Z0-9 ]+)-----.*?-----END (?P=label)-----)", re.S
)
_NAMED = re.compile(r"^[#\s]*kid:\s*(\S+)\s*$", re.M)


class KeysError(ValueError):
    """These are no keys that the gateway takes; the text says why, without a part of a secret."""


def keys_of_secrets(text: str) -> list[VerifyingKey]:
    """Reads lines of `name:base64`; empty lines and those that begin with # do not count. Raises KeysError."""
    keys: dict[str, VerifyingKey] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        kid, colon, secret = line.strip().partition(":")
        if not colon or not re.fullmatch(rf"[!-~]{{1,{KID_MAX}}}", kid):
            raise KeysError(f"line {number} is not `name:base64`")
        if kid in keys:
            raise KeysError(f"line {number} has the name of another line")
        keys[kid] = _secret_key(kid, secret, number)
    return _counted(list(keys.values()))


def _secret_key(kid: str, secret: str, number: int) -> VerifyingKey:
    try:
        found = base64.b64decode(_padded(secret.strip().translate({45: 43, 95: 47})), validate=True)
    except (binascii.Error, ValueError):
        raise KeysError(f"line {number} is not base64 after its colon") from None
    if len(found) < SECRET_MIN_BYTES:
        raise KeysError(f"the secret of line {number} is shorter than {SECRET_MIN_BYTES} bytes")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(found)
    except jwt.InvalidKeyError:
        raise KeysError(f"line {number} holds a public key, which everybody knows, and no secret") from None
    return VerifyingKey(kid, "HS256", hashlib.sha256(found).digest(), found)


def _padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)


def keys_of_file(text: str) -> list[VerifyingKey]:
    """Reads PEM blocks or a JWKS; raises KeysError for any key in it that is not taken."""
    if not text.lstrip().startswith("{"):
        return _counted(list(_keys_of_pem(text)))
    keys, skipped = keys_of_jwks(text.encode())
    if skipped:
        raise KeysError(skipped[0])
    return _counted(keys)


def _keys_of_pem(text: str) -> Iterator[VerifyingKey]:
    """A line `kid: NAME` before a block names its key."""
    for number, block in enumerate(_BLOCK.finditer(text), 1):
        label, names = block["label"], _NAMED.findall(block["before"])
        if "PRIVATE" in label:
            raise KeysError(f"block {number} is a private key: the gateway needs the public one only")
        if label != "PUBLIC KEY":
            raise KeysError(
                f"block {number} is a {label}: write it as PUBLIC KEY (openssl … -pubout, or -pubkey)"
            )
        try:
            public = load_pem_public_key(block["pem"].encode())
            yield _public_key(names[-1] if names else "", public, None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as wrong:
            why = str(wrong) if isinstance(wrong, KeysError) else "cannot be read"
            raise KeysError(f"block {number}: {why}") from None


def keys_of_jwks(text: bytes) -> tuple[list[VerifyingKey], list[str]]:
    """Reads a JWKS: the keys that are taken, and why others are not. Raises KeysError for what is no JWKS."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise KeysError("it is not JSON") from None
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise KeysError("it is no JWKS: a JSON object with an array `keys`")
    if len(listed) > KEYS_MAX:
        raise KeysError(f"it has more than {KEYS_MAX} keys")
    keys, skipped = [], []
    for number, each in enumerate(listed, 1):
        try:
            keys.append(_key_of_jwk(each))
        except KeysError as wrong:
            skipped.append(f"key {number}: {wrong}")
    return keys, skipped


def _key_of_jwk(jwk: Any) -> VerifyingKey:
    if not isinstance(jwk, dict) or not isinstance(kind := jwk.get("kty"), str):
        raise KeysError("no JSON object with `kty`")
    if kind not in _OF_JWK:
        raise KeysError(f"of the kind {kind[:20]!r}, which is no public key")
    if "d" in jwk:
        raise KeysError("a private key, which nobody but the signer should have")
    if jwk.get("use", "sig") != "sig" or "verify" not in _operations(jwk):
        raise KeysError("not for signatures")
    kid, algorithm = jwk.get("kid", ""), jwk.get("alg")
    if not isinstance(kid, str) or len(kid) > KID_MAX:
        raise KeysError(f"`kid` is no text of at most {KID_MAX} characters")
    try:
        public = _OF_JWK[kind].from_jwk(jwk)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, UnsupportedAlgorithm):
        raise KeysError("cannot be read") from None
    return _public_key(kid, public, algorithm)


def _operations(jwk: Mapping[str, Any]) -> Any:
    found = jwk.get("key_ops", ["verify"])
    return found if isinstance(found, list) else ()


def _public_key(kid: str, public: Any, wanted: Any) -> VerifyingKey:
    """A key with its one algorithm: the one that it names, if it fits, else the usual one of its kind."""
    possible = _algorithms_of(public)
    algorithm = possible[0] if wanted is None else wanted
    if algorithm not in possible:
        raise KeysError(f"`alg` is none of {', '.join(possible)}")
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return VerifyingKey(kid, algorithm, hashlib.sha256(der).digest(), public)


def _algorithms_of(public: Any) -> tuple[str, ...]:
    if isinstance(public, rsa.RSAPublicKey):
        if public.key_size not in RSA_BITS:
            raise KeysError(f"RSA of {public.key_size} bits; from {RSA_BITS[0]} to {RSA_BITS[-1]} are taken")
        return _RSA_ALGORITHMS
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _BY_CURVE:
        return (_BY_CURVE[public.curve.name],)
    if isinstance(public, ed25519.Ed25519PublicKey):
        return ("EdDSA",)
    raise KeysError("RSA, P-256, P-384, P-521 or Ed25519 are taken")


def _counted(keys: list[VerifyingKey]) -> list[VerifyingKey]:
    if not keys:
        raise KeysError("it has no key")
    if len(keys) > KEYS_MAX:
        raise KeysError(f"it has more than {KEYS_MAX} keys")
    return keys
