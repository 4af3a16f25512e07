"""Options: read from the environment, checked, and refused with a sentence that names the option."""

from __future__ import annotations

import re

import pytest

from gateway.settings import Settings, SettingsError, variable_of


def test_defaults_are_the_ones_promised() -> None:
    settings = Settings.from_environment({})
    assert (settings.port, settings.host, settings.redis_url) == (8006, "0.0.0.0", None)
    assert (settings.room_name_max, settings.username_max, settings.message_max) == (128, 64, 4096)
    assert (settings.frame_max_bytes, settings.rooms_per_connection) == (65_536, 100)
    assert (settings.outbound_max_bytes, settings.outbound_mark_bytes) == (1_048_576, 262_144)
    assert (settings.ping_interval_s, settings.ping_timeout_s, settings.connect_timeout_s) == (25, 20, 10)
    assert (settings.history_messages, settings.history_ttl_s, settings.position_ttl_s) == (
        100,
        2_592_000,
        5_184_000,
    )
    assert (settings.idempotency_ttl_s, settings.redis_timeout_s, settings.grace_s) == (300, 2, 10)
    assert (settings.drain_s, settings.compression) == (20, False)


@pytest.mark.parametrize(
    ("option", "variable"),
    [
        ("port", "PORT"),
        ("workers", "WEB_CONCURRENCY"),
        ("redis_url", "REDIS_URL"),
        ("host", "GATEWAY_HOST"),
        ("drain_s", "GATEWAY_DRAIN_S"),
    ],
)
def test_the_usual_variables_keep_their_names_and_the_rest_begin_with_gateway(
    option: str, variable: str
) -> None:
    assert variable_of(option) == variable


def test_a_variable_sets_its_option() -> None:
    found = Settings.from_environment(
        {
            "PORT": "9000",
            "WEB_CONCURRENCY": "3",
            "REDIS_URL": "rediss://user:word@host:6380/1",
            "GATEWAY_DRAIN_S": "0.5",
            "GATEWAY_COMPRESSION": "on",
            "GATEWAY_ORIGINS": "https://a.example, https://b.example",
        }
    )
    assert (found.port, found.workers, found.drain_s, found.compression) == (9000, 3, 0.5, True)
    assert found.redis_url == "rediss://user:word@host:6380/1"
    assert found.origins == ("https://a.example", "https://b.example")


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Settings.from_environment({"REDIS_URL": "", "PORT": ""}) == Settings.from_environment({})


def test_a_given_option_wins_over_the_environment() -> None:
    assert Settings.from_environment({"PORT": "9000"}, port=9001).port == 9001


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("PORT", "chat", "a whole number from 0 to 65535"),
        ("PORT", "70000", "a whole number from 0 to 65535"),
        ("WEB_CONCURRENCY", "0", "a whole number from 1 to 1024"),
        ("REDIS_URL", "http://host", "a URL that begins with redis://"),
        ("GATEWAY_DRAIN_S", "soon", "seconds from 0 to 3600"),
        ("GATEWAY_DRAIN_S", "nan", "seconds from 0 to 3600"),
        ("GATEWAY_COMPRESSION", "perhaps", "on or off"),
        ("GATEWAY_ROUTE", "fastest", "one of auto, per-room, shared, cluster"),
        ("GATEWAY_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("GATEWAY_SYSTEM_NAME", "x" * 65, "1 to 64 characters"),
    ],
)
def test_a_bad_value_is_refused_with_the_variable_and_what_is_allowed(
    variable: str, text: str, allowed: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(allowed)) as refused:
        Settings.from_environment({variable: text})
    assert str(refused.value).startswith(f"{variable}=")


@pytest.mark.parametrize(
    "environment",
    [
        {"GATEWAY_OUTBOUND_MARK_BYTES": "2000000"},
        {"GATEWAY_PROBE_S": "6"},
        {"GATEWAY_ROUTE": "cluster", "REDIS_URL": "redis://host"},
    ],
)
def test_options_that_contradict_each_other_are_refused(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"must (not )?be|needs"):
        Settings.from_environment(environment)


def test_a_password_in_a_bad_url_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({"REDIS_URL": "https://me:secret-word@host"})
    assert "secret-word" not in str(refused.value)
