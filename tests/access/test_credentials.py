"""Where a token may stand, and which one counts."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.access.credentials import NO_TEXT, Credentials

EVERYWHERE = ("query:token", "cookie:session", "header", "auth")
HANDSHAKE = {
    "HTTP_AUTHORIZATION": "Bearer of-header",
    "HTTP_COOKIE": "a=b; session=of-cookie; session=second",
    "QUERY_STRING": "EIO=4&token=of-query&token=second",
}


@pytest.mark.parametrize("auth", [None, {}, {"token": None}, {"token": ""}, {"join": []}, [], "text"])
def test_without_one_in_connect_there_is_none_unless_an_option_names_a_place(auth: Any) -> None:
    assert Credentials().find(auth, HANDSHAKE) is None


def test_the_order_is_connect_header_cookie_query_however_they_are_named() -> None:
    find, left = Credentials(EVERYWHERE).find, dict(HANDSHAKE)
    assert find({"token": "of-connect"}, left) == "of-connect"
    for name, token in (
        ("HTTP_AUTHORIZATION", "of-header"),
        ("HTTP_COOKIE", "of-cookie"),
        ("QUERY_STRING", "of-query"),
    ):
        assert find({}, left) == token
        del left[name]
    assert find({}, left) is None


@pytest.mark.parametrize("token", [1, ["a"], {"a": 1}, True])
def test_a_token_that_is_no_text_is_there_and_is_a_bad_one(token: Any) -> None:
    assert Credentials(EVERYWHERE).find({"token": token}, HANDSHAKE) == NO_TEXT


@pytest.mark.parametrize(
    ("environ", "token"),
    [
        ({"HTTP_AUTHORIZATION": "bearer t"}, "t"),
        ({"HTTP_AUTHORIZATION": "Basic dDp0"}, None),
        ({"HTTP_AUTHORIZATION": "Bearer"}, None),
        ({"HTTP_AUTHORIZATION": ""}, None),
        ({"HTTP_COOKIE": 'session="t"'}, "t"),
        ({"HTTP_COOKIE": "session="}, None),
        ({"HTTP_COOKIE": "Session=t; xsession=t; session"}, None),
        ({"QUERY_STRING": "token=a.b%2Dc"}, "a.b-c"),
        ({"QUERY_STRING": "token="}, None),
        ({"QUERY_STRING": "Token=t"}, None),
        ({"QUERY_STRING": "&".join(["a=b"] * 200) + "&token=t"}, None),
    ],
)
def test_headers_cookies_and_queries_are_read_as_they_are_written(
    environ: dict[str, str], token: str | None
) -> None:
    assert Credentials(EVERYWHERE).find(None, environ) == token
