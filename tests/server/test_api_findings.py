"""What `gateway check` says of the server API."""

from __future__ import annotations

from gateway.access.api_keys import ApiKey, ApiKeys, ConfiguredKey, digest_of
from gateway.server.api_findings import api_lines
from gateway.settings import Settings

KEYS = ApiKeys([ConfiguredKey(ApiKey("backend", frozenset(("publish",))), digest_of("gwk_x"), "here")])


def said(keys: ApiKeys, **variables: str) -> list[tuple[str, str]]:
    return list(api_lines(Settings.from_environment(variables), keys))


def test_it_says_whether_the_api_is_on_and_where() -> None:
    assert said(ApiKeys()) == []
    assert said(KEYS) == [("server api", "on, at the clients' port 8006, under /api/v1")]
    own = said(KEYS, GATEWAY_API_LISTEN="unix:/run/api.sock", GATEWAY_PATH_PREFIX="/chat")
    assert own == [("server api", "on, at unix:/run/api.sock alone, under /chat/api/v1")]
    ((heading, sentence),) = said(ApiKeys(), GATEWAY_API_LISTEN="127.0.0.1:1")
    assert heading == "warning"
    assert "no API key" in sentence
