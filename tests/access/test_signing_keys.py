"""Keys as people write them down: what is taken, and the sentence for what is not, which never holds a secret."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.access.signing_keys import KeysError, keys_of_file, keys_of_jwks, keys_of_secrets
from tests.support.tokens import SECRET, ec_key, ed_key, jwk, pem, rsa_key

B64 = base64.b64encode(SECRET).decode()


def test_secrets_are_lines_and_the_first_comes_first() -> None:
    urlsafe = base64.urlsafe_b64encode(bytes([251, 239, 190] * 12)).rstrip(b"=").decode()
    keys = keys_of_secrets(f"# two\n\n2026-02: {B64} \nold:{urlsafe}\n")
    assert [(key.kid, key.algorithm) for key in keys] == [("2026-02", "HS256"), ("old", "HS256")]
    assert keys[0].material == SECRET
    assert keys[1].material == bytes([251, 239, 190] * 12)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no key"),
        ("# nothing\n", "no key"),
        (B64, "line 1 is not `name:base64`"),
        (f":{B64}", "line 1 is not"),
        (f"{'k' * 129}:{B64}", "line 1 is not"),
        (f"a b:{B64}", "line 1 is not"),
        (f"a:{B64}\na:{B64}", "line 2 has the name of another"),
        ("a:hush!hush!hush!hush!hush!hush!hush!hush!hush!", "line 1 is not base64"),
        ("a:" + base64.b64encode(b"hush" * 7).decode(), "line 1 is shorter than 32 bytes"),
        ("a:" + base64.b64encode(pem(rsa_key()).encode()).decode(), "everybody knows"),
        ("a:" + base64.b64encode(json.dumps(jwk(rsa_key())).encode()).decode(), "everybody knows"),
    ],
)
def test_other_secrets_are_refused_by_line_without_being_told(text: str, why: str) -> None:
    with pytest.raises(KeysError) as refused:
        keys_of_secrets(text)
    assert why in str(refused.value)
    assert "hush" not in str(refused.value)
    assert B64 not in str(refused.value)


def test_a_secret_is_not_shown_when_its_key_is() -> None:
    (key,) = keys_of_secrets(f"a:{B64}")
    assert "secret" not in repr(key)
    assert B64 not in repr(key)


def test_pem_blocks_are_keys_and_a_line_before_one_names_it() -> None:
    keys = keys_of_file(f"kid: a\n{pem(rsa_key())}\n# kid: b\n{pem(ec_key())}{pem(ed_key())}")
    assert [(key.kid, key.algorithm) for key in keys] == [("a", "RS256"), ("b", "ES256"), ("", "EdDSA")]


def private_pem() -> str:
    raw = rsa_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return raw.decode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (private_pem(), "block 1 is a private key"),
        (pem(rsa_key()).replace("PUBLIC KEY", "CERTIFICATE"), "is a CERTIFICATE"),
        (pem(rsa_key()).replace("MII", "XXX"), "cannot be read"),
        (pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)), "RSA of 1024 bits"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "RSA, P-256"),
        ("hello", "no key"),
        ("{", "not JSON"),
        ("{}", "no JWKS"),
        (json.dumps({"keys": []}), "no key"),
        (json.dumps({"keys": [{"kty": "oct", "k": "AAAA"}]}), "no public key"),
    ],
)
def test_a_file_with_anything_else_is_refused(text: str, why: str) -> None:
    with pytest.raises(KeysError, match=why):
        keys_of_file(text)


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"use": "enc"}, "not for signatures"),
        ({"key_ops": ["sign"]}, "not for signatures"),
        ({"key_ops": "verify"}, "not for signatures"),
        ({"alg": "HS256"}, "`alg` is none of"),
        ({"alg": "none"}, "`alg` is none of"),
        ({"alg": ["RS256"]}, "`alg` is none of"),
        ({"alg": "ES256"}, "`alg` is none of"),
        ({"d": "AAAA"}, "private key"),
        ({"kty": "oct"}, "no public key"),
        ({"kty": 1}, "no JSON object"),
        ({"kid": 1}, "`kid`"),
        ({"kid": "k" * 129}, "`kid`"),
        ({"n": "!"}, "cannot be read|RSA of"),
        ({"n": 1}, "cannot be read"),
        ({"e": None}, "cannot be read"),
    ],
)
def test_a_published_key_that_is_not_taken_does_not_keep_out_the_others(
    about: dict[str, Any], why: str
) -> None:
    listed = [{**jwk(rsa_key(), kid="bad"), **about}, jwk(ec_key(), kid="good")]
    keys, skipped = keys_of_jwks(json.dumps({"keys": listed}).encode())
    assert [key.kid for key in keys] == ["good"]
    assert re.search(why, skipped[0])


@pytest.mark.parametrize("text", [b"\xff", b"[]", b'{"keys": {}}', b'{"keys": [' + b"1," * 100 + b"1]}"])
def test_what_is_no_set_of_keys_is_refused_whole(text: bytes) -> None:
    with pytest.raises(KeysError):
        keys_of_jwks(text)
