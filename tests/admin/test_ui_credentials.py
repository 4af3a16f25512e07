"""Who may connect the Admin UI."""

from __future__ import annotations

import pytest

from gateway.access.api_keys import ADMIN, READ, ApiKey, ApiKeys, ConfiguredKey, digest_of
from gateway.admin.signing import DAY_S, Signing
from gateway.admin.ui_credentials import UiCredentials

NOW_S = 1_000_000.0
SECRET = b"s" * 32
OPS = ApiKey("ops", frozenset((ADMIN,)))


def keys(key: ApiKey = OPS, text: str = "the key") -> ApiKeys:
    return ApiKeys([ConfiguredKey(key, digest_of(text), "here")])


def test_a_key_with_the_scope_admin_is_the_password_whatever_the_username() -> None:
    for name in ("ops", "", "somebody"):
        signed = UiCredentials(keys(), SECRET).read({"username": name, "password": "the key"}, NOW_S)
        assert signed is not None
        assert signed.key == OPS


@pytest.mark.parametrize(
    "key",
    [ApiKey("ops", frozenset((READ,))), ApiKey("ops", frozenset((ADMIN,)), ("tea:**",))],
    ids=["another scope", "some rooms"],
)
def test_a_key_for_less_is_none(key: ApiKey) -> None:
    assert UiCredentials(keys(key), SECRET).read({"password": "the key"}, NOW_S) is None


@pytest.mark.parametrize(
    "auth",
    [None, {}, {"password": "another"}, {"password": 7}, {"password": None, "sessionId": None},
     {"sessionId": "ops:1:2:3"}, {"sessionId": ["ops"]}, {"sessionId": "ö" * 300}, ["the key"], "the key"],
    ids=str,
)  # fmt: skip
def test_anything_else_is_refused(auth: object) -> None:
    assert UiCredentials(keys(), SECRET).read(auth, NOW_S) is None


def test_a_session_id_counts_for_a_day_and_as_long_as_its_key_is_there() -> None:
    credentials = UiCredentials(keys(), SECRET)
    signed = credentials.read({"password": "the key"}, NOW_S)
    assert signed is not None
    auth = {"sessionId": credentials.session_id(signed)}
    assert UiCredentials(keys(), SECRET).read(auth, NOW_S + DAY_S - 1) == signed
    assert credentials.read(auth, NOW_S + DAY_S) is None
    assert UiCredentials(keys(text="a newer key"), SECRET).read(auth, NOW_S) is None
    assert UiCredentials(ApiKeys(), SECRET).read(auth, NOW_S) is None


def test_a_session_id_does_not_open_the_dashboard_nor_a_cookie_the_ui() -> None:
    credentials, dashboard = UiCredentials(keys(), SECRET), Signing(keys(), SECRET)
    signed = credentials.read({"password": "the key"}, NOW_S)
    assert signed is not None
    assert dashboard.read(credentials.session_id(signed), NOW_S) is None
    assert credentials.read({"sessionId": dashboard.cookie(signed)}, NOW_S) is None
