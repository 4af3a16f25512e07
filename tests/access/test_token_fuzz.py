"""Tokens and keys of any shape: a refusal, never another error. Seeded, so that a failure comes again."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

from gateway.access.identity import NotAdmitted
from gateway.access.signing_keys import KeysError, keys_of_file, keys_of_jwks, keys_of_secrets
from gateway.access.tokens import TokenRules, header_of, identity_of, verify
from gateway.access.verifying_keys import KeySet
from tests.support.tokens import claims, ec_key, ed_key, jwk, part, pem, rsa_key, signed

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, 1e308, -1e308, 2**63, 2**64, "", "x", "x" * 300, "\0", "é", "=", "AAAA",
    [], ["x"], {}, {"x": 1}, [[]], "none", "HS256", "RS256", "ES256", "EdDSA", "RSA", "EC", "OKP", "oct",
]  # fmt: skip
NAMES = ["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5u", "zip", "enc"]


def published() -> KeySet:
    keys = [jwk(rsa_key(), kid="r"), jwk(ec_key(), kid="e"), jwk(ed_key(), kid="d"), jwk(rsa_key(1))]
    return KeySet(keys_of_jwks(json.dumps({"keys": keys}).encode())[0])


def test_no_header_makes_anything_but_a_refusal() -> None:
    chance, keys = random.Random(9), published()
    body = signed(rsa_key(), "RS256").split(".", 1)[1]
    for _ in range(1500):
        header = {
            name: chance.choice([*ODD, "r", "e", "d"]) for name in chance.sample(NAMES, chance.randint(0, 4))
        }
        token = f"{part(header)}.{body}"
        with pytest.raises(NotAdmitted):
            verify(token, header_of(token), keys, TokenRules(), time.time())


def test_no_text_makes_anything_but_a_refusal() -> None:
    chance, keys = random.Random(9), published()
    for token in (signed(rsa_key(), "RS256", "r"), signed(ec_key(), "ES256", "e")):
        for _ in range(700):
            text = list(token)
            for _ in range(chance.randint(1, 4)):
                place = chance.randrange(len(text))
                text[place] = chance.choice(
                    ["", ".", "=", "A", "_", " ", "\n", "é", "\ud800", "\0", text[place] * 2]
                )
            changed = "".join(text)
            if changed != token:
                with pytest.raises(NotAdmitted):
                    verify(changed, header_of(changed), keys, TokenRules(), time.time())


def test_no_claims_make_anything_but_an_identity_or_a_refusal() -> None:
    chance = random.Random(9)
    names = ["sub", "exp", "iat", "nbf", "iss", "aud", "jti", "name", "rooms"]
    rules = TokenRules(issuers=["x"], audiences=["x"])
    for _ in range(5000):
        odd = {
            name: chance.choice([*ODD, 10**400, float("nan")])
            for name in chance.sample(names, chance.randint(1, 5))
        }
        try:
            found = identity_of({**claims(iss="x", aud="x"), **odd}, rules, time.time())
        except NotAdmitted:
            continue
        assert 1 <= len(found.user) <= 128
        assert found.expires_at_s is not None
        assert found.expires_at_s - found.issued_at_s <= rules.age_max_s


def test_no_set_of_keys_makes_anything_but_keys_or_a_sentence() -> None:
    chance = random.Random(9)
    honest = [jwk(rsa_key()), jwk(ec_key()), jwk(ed_key())]
    for _ in range(1500):
        key = dict(chance.choice(honest))
        for name in chance.sample([*key, "kid", "alg", "use", "key_ops", "d", "crv", "n", "x", "y"], 2):
            key[name] = chance.choice(ODD)
        keys, skipped = keys_of_jwks(json.dumps({"keys": [key]}).encode())
        assert len(keys) + len(skipped) == 1


def test_no_file_makes_anything_but_keys_or_a_sentence() -> None:
    chance, files = random.Random(9), (pem(rsa_key()), pem(ec_key()), "a:" + "QUJD" * 20)
    for _ in range(500):
        text = list(chance.choice(files))
        for _ in range(chance.randint(1, 5)):
            text[chance.randrange(len(text))] = chance.choice(["", "-", ":", "\n", "A", "{", "é", "\0"])
        for read in (keys_of_file, keys_of_secrets):
            try:
                read("".join(text))
            except KeysError:
                pass
