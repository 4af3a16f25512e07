"""Tokens: a matrix of honest and forged ones. Whatever the text is, the answer is an identity or a refusal."""

from __future__ import annotations

import base64
import json
import string
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from jwt.algorithms import HMACAlgorithm, NoneAlgorithm

from gateway.access.identity import Identity, NotAdmitted, Reason
from gateway.access.signing_keys import keys_of_file, keys_of_jwks, keys_of_secrets
from gateway.access.tokens import TokenRules, header_of, verify
from gateway.access.verifying_keys import TRIED_MAX, KeySet
from tests.support.tokens import (
    OTHER_SECRET,
    SECRET,
    claims,
    ec_key,
    ed_key,
    forged,
    jwk,
    part,
    pem,
    rsa_key,
    signed,
)

RULES = TokenRules(issuers=["https://idp"], audiences=["chat"])
HS = HMACAlgorithm(HMACAlgorithm.SHA256)
HS512 = HMACAlgorithm(HMACAlgorithm.SHA512)
RS, ES, ED = (
    jwt.get_algorithm_by_name("RS256"),
    jwt.get_algorithm_by_name("ES256"),
    jwt.get_algorithm_by_name("EdDSA"),
)


def published() -> KeySet:
    """The keys of an identity provider: one of each kind."""
    keys = [
        jwk(rsa_key(), kid="r"),
        jwk(ec_key(), kid="e"),
        jwk(ed_key(), kid="d"),
        jwk(rsa_key(3), kid="p", alg="PS256"),
    ]
    return KeySet(keys_of_jwks(json.dumps({"keys": keys}).encode())[0])


def secret() -> KeySet:
    """The secret of an application."""
    return KeySet(keys_of_secrets("s:" + base64.b64encode(SECRET).decode()))


def judge(token: str, keys: KeySet, rules: TokenRules = RULES, now_s: float | None = None) -> Identity:
    """What a worker would say."""
    header = header_of(token)
    return verify(token, header, keys, rules, time.time() if now_s is None else now_s)[0]


def honest(key: Any = None, algorithm: str = "RS256", kid: str | None = "r", **other: Any) -> str:
    return signed(key or rsa_key(), algorithm, kid, **{"iss": "https://idp", "aud": "chat", **other})


def by_hand(header: dict[str, Any], key: Any = None, algorithm: Any = RS, payload: Any = None) -> str:
    body = claims(iss="https://idp", aud="chat") if payload is None else payload
    return forged(header, body, key or rsa_key(), algorithm)


def now() -> int:
    return int(time.time())


GOOD: dict[str, Callable[[], str]] = {
    "RS256": honest,
    "RS256 that names no key": lambda: honest(kid=None),
    "PS256": lambda: honest(rsa_key(3), "PS256", "p"),
    "ES256": lambda: honest(ec_key(), "ES256", "e"),
    "EdDSA": lambda: honest(ed_key(), "EdDSA", "d"),
    "without iat": lambda: honest(iat=None),
    "with nbf of now": lambda: honest(nbf=now()),
    "for several": lambda: honest(aud=["other", "chat"]),
    "a clock that is 5 s ahead": lambda: honest(iat=now() + 5, nbf=now() + 5),
    "a clock that is 5 s behind": lambda: honest(iat=now() - 60, exp=now() - 5),
    "with addresses of keys that nobody follows": lambda: by_hand(
        {"alg": "RS256", "kid": "r", "jku": "http://evil", "x5u": "http://evil", "jwk": jwk(rsa_key(1))}
    ),
    "with grants": lambda: honest(rooms={"interview:*": ["join", "send"], "lobby": ["*"]}),
}

BAD: dict[str, tuple[Callable[[], str], Reason, str]] = {
    "nothing": (lambda: "", Reason.MALFORMED, "not_a_token"),
    "a word": (lambda: "hello", Reason.MALFORMED, "not_a_token"),
    "two points": (lambda: "..", Reason.MALFORMED, "not_a_token"),
    "four parts": (lambda: honest() + ".x", Reason.MALFORMED, "not_a_token"),
    "9 KiB": (lambda: honest(filler="x" * 9216), Reason.MALFORMED, "too_large"),
    "letters beyond ASCII": (lambda: honest().replace("e", "é", 1), Reason.MALFORMED, "not_a_token"),
    "half a surrogate pair": (lambda: "\ud800.a.b", Reason.MALFORMED, "not_a_token"),
    "a header that is no JSON": (lambda: f"{part(b'{')}.{part({})}.x", Reason.MALFORMED, "not_a_token"),
    "a header that is a list": (lambda: f"{part([1])}.{part({})}.x", Reason.MALFORMED, "header"),
    "a header of 2,000 levels": (lambda: f"{part(b'[' * 2000)}.{part({})}.x", Reason.MALFORMED, "not_a_token"),
    "no alg": (lambda: by_hand({"kid": "r"}), Reason.MALFORMED, "header"),
    "alg that is a list": (lambda: by_hand({"alg": ["RS256"], "kid": "r"}), Reason.MALFORMED, "header"),
    "kid that is a number": (lambda: by_hand({"alg": "RS256", "kid": 1}), Reason.MALFORMED, "header"),
    "kid of 129 characters": (lambda: by_hand({"alg": "RS256", "kid": "k" * 129}), Reason.MALFORMED, "header"),
    "junk in its base64": (lambda: honest().replace(".", ".!", 1), Reason.MALFORMED, "not_a_token"),
    "none": (lambda: by_hand({"alg": "none", "kid": "r"}, b"", NoneAlgorithm()), Reason.INVALID, "algorithm"),
    "None in other letters": (lambda: by_hand({"alg": "nOnE", "kid": "r"}), Reason.INVALID, "algorithm"),
    "none and no key": (lambda: by_hand({"alg": "none"}, b"", NoneAlgorithm()), Reason.INVALID, "algorithm"),
    "none and no signature": (
        lambda: f"{part({'alg': 'none'})}.{part(claims())}.", Reason.INVALID, "algorithm"),
    "HS256 by the RSA key's PEM": (
        lambda: by_hand({"alg": "HS256", "kid": "r"}, pem(rsa_key()).encode(), HS), Reason.INVALID, "algorithm"),
    "HS256 by the RSA key's PEM, no kid": (
        lambda: by_hand({"alg": "HS256"}, pem(rsa_key()).encode(), HS), Reason.INVALID, "algorithm"),
    "HS256 by the JWK's text": (
        lambda: by_hand({"alg": "HS256", "kid": "r"}, json.dumps(jwk(rsa_key(), kid="r")).encode(), HS),
        Reason.INVALID, "algorithm"),
    "HS256 by an empty key": (lambda: by_hand({"alg": "HS256", "kid": "r"}, b"\0", HS), Reason.INVALID, "algorithm"),
    "RS256 that says RS512": (lambda: by_hand({"alg": "RS512", "kid": "r"}), Reason.INVALID, "algorithm"),
    "RS512 by the RS256 key": (lambda: honest(algorithm="RS512"), Reason.INVALID, "algorithm"),
    "PS256 by the RS256 key": (lambda: honest(algorithm="PS256"), Reason.INVALID, "algorithm"),
    "RS256 that names the EC key": (lambda: honest(kid="e"), Reason.INVALID, "algorithm"),
    "ES256 that names the RSA key": (lambda: honest(ec_key(), "ES256", "r"), Reason.INVALID, "algorithm"),
    "ES256 with a signature of zeros": (
        lambda: honest(ec_key(), "ES256", "e").rpartition(".")[0] + "." + part(b"\0" * 64),
        Reason.INVALID, "signature"),
    "no signature": (lambda: honest().rpartition(".")[0] + ".", Reason.INVALID, "signature"),
    "another's RSA key": (lambda: honest(rsa_key(1)), Reason.INVALID, "signature"),
    "another's RSA key, no kid": (lambda: honest(rsa_key(1), kid=None), Reason.INVALID, "signature"),
    "another's EC key": (lambda: honest(ec_key(1), "ES256", "e"), Reason.INVALID, "signature"),
    "another's Ed25519 key": (lambda: honest(ed_key(1), "EdDSA", "d"), Reason.INVALID, "signature"),
    "another's key, brought along": (
        lambda: by_hand({"alg": "RS256", "kid": "r", "jwk": jwk(rsa_key(1))}, rsa_key(1)),
        Reason.INVALID, "signature"),
    "another's key, at its own address": (
        lambda: by_hand({"alg": "RS256", "kid": "r", "jku": "http://127.0.0.1:1/"}, rsa_key(1)),
        Reason.INVALID, "signature"),
    "claims of one, signature of another": (
        lambda: ".".join([*honest(sub="root").split(".")[:2], honest().split(".")[2]]),
        Reason.INVALID, "signature"),
    "a kid that nobody has": (lambda: honest(kid="x"), Reason.INVALID, "unknown_key"),
    "a kid that is a path": (lambda: honest(kid="../../dev/null"), Reason.INVALID, "unknown_key"),
    "an empty kid": (lambda: honest(kid=""), Reason.INVALID, "unknown_key"),
    "crit": (lambda: by_hand({"alg": "RS256", "kid": "r", "crit": ["x"], "x": 1}), Reason.INVALID, "crit"),
    "crit of b64": (
        lambda: by_hand({"alg": "RS256", "kid": "r", "crit": ["b64"], "b64": False}), Reason.INVALID, "crit"),
    "an empty crit": (lambda: by_hand({"alg": "RS256", "kid": "r", "crit": []}), Reason.INVALID, "crit"),
    "claims that are a list": (
        lambda: by_hand({"alg": "RS256", "kid": "r"}, payload=[1]), Reason.INVALID, "claims"),
    "claims that are no JSON": (
        lambda: by_hand({"alg": "RS256", "kid": "r"}, payload=b"\xff"), Reason.INVALID, "claims"),
    "another issuer": (lambda: honest(iss="https://evil"), Reason.INVALID, "iss"),
    "an issuer that begins the same": (lambda: honest(iss="https://idp.evil"), Reason.INVALID, "iss"),
    "no issuer": (lambda: honest(iss=None), Reason.INVALID, "iss"),
    "an issuer that is a list": (
        lambda: by_hand({"alg": "RS256", "kid": "r"}, payload=claims(iss=["https://idp"], aud="chat")),
        Reason.INVALID, "iss"),
    "another audience": (lambda: honest(aud="shop"), Reason.INVALID, "aud"),
    "no audience": (lambda: honest(aud=None), Reason.INVALID, "aud"),
    "an audience that is an object": (lambda: honest(aud={"chat": 1}), Reason.INVALID, "aud"),
    "expired": (lambda: honest(iat=now() - 600, exp=now() - 60), Reason.EXPIRED, "expired"),
    "no exp": (lambda: honest(exp=None), Reason.INVALID, "exp"),
    "exp that is a text": (
        lambda: by_hand({"alg": "RS256", "kid": "r"}, payload=claims(iss="https://idp", aud="chat", exp="9999999999")),
        Reason.INVALID, "exp"),
    "exp that is true": (
        lambda: by_hand({"alg": "RS256", "kid": "r"}, payload=claims(iss="https://idp", aud="chat", exp=True)),
        Reason.INVALID, "exp"),
    "exp without end": (
        lambda: by_hand({"alg": "RS256", "kid": "r"}, payload=json.dumps(
            claims(iss="https://idp", aud="chat", exp=1)).replace('"exp": 1', '"exp": 1e999').encode()),
        Reason.INVALID, "claims"),
    "a life of two days": (lambda: honest(exp=now() + 2 * 86_400), Reason.INVALID, "life"),
    "no iat, an end in ten years": (lambda: honest(iat=None, exp=now() + 10**8), Reason.INVALID, "life"),
    "an end before its beginning": (lambda: honest(iat=now() + 9, exp=now() + 5), Reason.INVALID, "life"),
    "nbf in a minute": (lambda: honest(nbf=now() + 60), Reason.NOT_YET, "not_yet"),
    "iat in a minute": (lambda: honest(iat=now() + 60), Reason.NOT_YET, "not_yet"),
    "nbf that is a text": (lambda: by_hand({"alg": "RS256", "kid": "r"}, payload=claims(
        iss="https://idp", aud="chat", nbf="now")), Reason.INVALID, "nbf"),
    "no sub": (lambda: honest(sub=None), Reason.INVALID, "sub"),
    "an empty sub": (lambda: honest(sub=""), Reason.INVALID, "sub"),
    "a sub of 129 characters": (lambda: honest(sub="x" * 129), Reason.INVALID, "sub"),
    "a sub that is a number": (lambda: by_hand({"alg": "RS256", "kid": "r"}, payload=claims(
        iss="https://idp", aud="chat", sub=7)), Reason.INVALID, "sub"),
    "a sub with a line's end": (lambda: honest(sub="ada\nroot"), Reason.INVALID, "sub"),
    "a name that is a list": (lambda: honest(name=["Ada"]), Reason.INVALID, "name"),
    "a name of 65 characters": (lambda: honest(name="x" * 65), Reason.INVALID, "name"),
    "a jti that is a number": (lambda: by_hand({"alg": "RS256", "kid": "r"}, payload=claims(
        iss="https://idp", aud="chat", jti=7)), Reason.INVALID, "jti"),
    "rooms that are a list": (lambda: honest(rooms=["lobby"]), Reason.INVALID, "rooms"),
    "rooms with a text": (lambda: honest(rooms={"lobby": "join"}), Reason.INVALID, "rooms"),
    "rooms with numbers": (lambda: honest(rooms={"lobby": [1]}), Reason.INVALID, "rooms"),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_an_honest_token_says_who_somebody_is(name: str) -> None:
    assert judge(GOOD[name](), published()).user == "ada"


@pytest.mark.parametrize("name", BAD)
def test_any_other_token_is_refused_and_the_log_knows_why(name: str) -> None:
    make, reason, cause = BAD[name]
    with pytest.raises(NotAdmitted) as refused:
        judge(make(), published())
    assert (refused.value.reason, refused.value.cause) == (reason, cause)


def test_the_matrix_has_sixty_bad_tokens() -> None:
    assert len(BAD) >= 60


@pytest.mark.parametrize("name", [name for name in BAD if BAD[name][1] is not Reason.EXPIRED])
def test_no_token_of_the_matrix_is_let_in_by_a_secret(name: str) -> None:
    with pytest.raises(NotAdmitted):
        judge(BAD[name][0](), secret(), TokenRules(audiences=None))


@pytest.mark.parametrize("algorithm", [HS512, RS, NoneAlgorithm()])
def test_a_secret_verifies_hs256_alone(algorithm: Any) -> None:
    key = rsa_key() if algorithm is RS else SECRET
    for alg in ("HS512", "RS256", "none"):
        with pytest.raises(NotAdmitted):
            judge(forged({"alg": alg, "kid": "s"}, claims(), key, algorithm), secret(), TokenRules())


def test_a_secret_lets_its_own_tokens_in_with_and_without_the_name_of_the_key() -> None:
    for kid in ("s", None):
        assert judge(signed(kid=kid), secret(), TokenRules()).user == "ada"
        with pytest.raises(NotAdmitted):
            judge(signed(OTHER_SECRET, kid=kid), secret(), TokenRules())


def test_every_part_of_a_token_that_is_changed_is_noticed() -> None:
    token, keys = signed(), secret()
    for place in range(len(token)):
        for character in "AB_-=+/ .":
            changed = token[:place] + character + token[place + 1 :]
            if changed != token:
                with pytest.raises(NotAdmitted):
                    judge(changed, keys, TokenRules())


def test_a_token_has_one_text() -> None:
    """The last character of HS256's signature has two bits that count for nothing: four letters say the same."""
    token, keys = signed(), secret()
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    place = letters.index(token[-1])
    assert place % 4 == 0
    for same in letters[place + 1 : place + 4]:
        with pytest.raises(NotAdmitted):
            judge(token[:-1] + same, keys, TokenRules())
    assert judge(token, keys, TokenRules()).user == "ada"


def test_an_identity_holds_what_the_token_says_and_nothing_else() -> None:
    found = judge(
        honest(jti="t1", iat=now() - 5, exp=now() + 60, rooms={"lobby": ["join", "send"]}, admin=True),
        published(),
    )
    assert (found.user, found.name, found.token_id) == ("ada", "Ada", "t1")
    assert found.expires_at_s is not None
    assert round(found.expires_at_s - found.issued_at_s) == 65
    assert found.grants == {"lobby": {"join", "send"}}


def test_a_token_without_a_time_of_issue_counts_as_the_oldest_that_it_may_be() -> None:
    found = judge(honest(iat=None, exp=now() + 60), published(), now_s=time.time())
    assert found.expires_at_s is not None
    assert found.expires_at_s - found.issued_at_s == 86_400


def test_the_name_is_what_its_claim_says_in_composed_letters() -> None:
    rules = TokenRules(name_claim="nick")
    assert judge(signed(nick="Zoe\u0308"), secret(), rules).name == "Zo\u00eb"
    assert judge(signed(), secret(), rules).name is None
    assert judge(signed(nick=""), secret(), rules).name is None


def test_a_token_for_somebody_else_is_refused_where_no_audience_is_named() -> None:
    with pytest.raises(NotAdmitted) as refused:
        judge(signed(aud="shop"), secret(), TokenRules())
    assert refused.value.cause == "aud"
    assert judge(signed(aud="shop"), secret(), TokenRules(audiences=None)).user == "ada"


def test_a_token_that_names_no_key_is_tried_with_a_few_keys_only() -> None:
    keys = KeySet(keys_of_file("".join(pem(ec_key(number)) for number in range(TRIED_MAX + 1))))
    assert judge(signed(ec_key(TRIED_MAX - 1), "ES256"), keys, TokenRules()).user == "ada"
    with pytest.raises(NotAdmitted):
        judge(signed(ec_key(TRIED_MAX), "ES256"), keys, TokenRules())
