"""Options: read from the environment, checked, and refused with a sentence that names the option."""

from __future__ import annotations

import json
import re

import orjson
import pytest

from gateway.option_types import SettingsError
from gateway.protocol import Position, entry, event_packet, receive_json
from gateway.rooms.catching_up import PIECE_BYTES
from gateway.settings import Settings, grouped_options, variable_of


def test_defaults_are_the_ones_promised() -> None:
    settings = Settings.from_environment({})
    server, redis, limits, engine = settings.server, settings.redis, settings.limits, settings.engine
    assert (server.port, server.host, redis.url) == (8006, "0.0.0.0", None)
    assert (limits.room_max, limits.username_max, limits.message_max) == (128, 64, 4096)
    assert (engine.max_payload_bytes, limits.rooms_per_connection) == (65_536, 100)
    assert (engine.outbound_max_bytes, engine.outbound_mark_bytes) == (1_048_576, 262_144)
    assert (engine.ping_interval_s, engine.ping_timeout_s, engine.connect_timeout_s) == (25, 20, 10)
    publish = settings.publish
    assert (publish.history_messages, publish.history_ttl_s, publish.position_ttl_s) == (
        100,
        2_592_000,
        5_184_000,
    )
    assert (publish.idempotency_ttl_s, redis.timeout_s, settings.presence.grace_s) == (300, 2, 10)
    assert (server.drain_s, engine.compression) == (20, False)


@pytest.mark.parametrize(
    ("option", "variable"),
    [
        ("server.port", "PORT"),
        ("server.workers", "WEB_CONCURRENCY"),
        ("redis.url", "REDIS_URL"),
        ("server.host", "GATEWAY_HOST"),
        ("server.drain_s", "GATEWAY_DRAIN_S"),
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
    server, engine = found.server, found.engine
    assert (server.port, server.workers, server.drain_s, engine.compression) == (9000, 3, 0.5, True)
    assert found.redis.url == "rediss://user:word@host:6380/1"
    assert engine.origins == ("https://a.example", "https://b.example")


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Settings.from_environment({"REDIS_URL": "", "PORT": ""}) == Settings.from_environment({})


def test_a_given_option_wins_over_the_environment() -> None:
    assert Settings.from_environment({"PORT": "9000"}, {"PORT": "9001"}).server.port == 9001


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("PORT", "chat", "a whole number from 0 to 65535"),
        ("PORT", "70000", "a whole number from 0 to 65535"),
        ("WEB_CONCURRENCY", "0", "a whole number from 1 to 1024"),
        ("REDIS_URL", "http://host", "a URL such as redis://"),
        ("GATEWAY_DRAIN_S", "soon", "seconds from 0 to 3600"),
        ("GATEWAY_DRAIN_S", "nan", "seconds from 0 to 3600"),
        ("GATEWAY_COMPRESSION", "perhaps", "on or off"),
        ("GATEWAY_ROUTE", "fastest", "one of auto, per-room, shared, cluster"),
        ("GATEWAY_JOIN_HOOK", "app.example.org/x", "a URL such as https://app.example.org/may-join"),
        ("GATEWAY_JOIN_HOOK", "https://u:pw@host/x", "GATEWAY_JOIN_HOOK='https://…' is not allowed"),
        ("GATEWAY_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("GATEWAY_SYSTEM_NAME", "x" * 65, "1 to 64 characters"),
        ("GATEWAY_PREFIX", "app 1", "A-Z a-z 0-9"),
        ("GATEWAY_PREFIX", "{app1}", "A-Z a-z 0-9"),
        ("GATEWAY_PREFIX", "x" * 65, "1 to 64 of"),
        ("GATEWAY_PATH", "/a b", "a path such as /socket.io"),
        ("GATEWAY_PATH", "/a//b", "a path such as /socket.io"),
        ("GATEWAY_PATH", "/a/../b", "a path such as /socket.io"),
        ("GATEWAY_PATH", "/a?b", "a path such as /socket.io"),
        ("GATEWAY_PATH_PREFIX", "/{tenant}", "a path such as /chat"),
        ("GATEWAY_PATH_PREFIX", "https://host/chat", "a path such as /chat"),
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
        {"GATEWAY_OUTBOUND_MARK_BYTES": "983041"},
        {"GATEWAY_OUTBOUND_MAX_BYTES": "327679"},
        {"GATEWAY_OUTBOUND_MAX_BYTES": "66560", "GATEWAY_OUTBOUND_MARK_BYTES": "1025"},
        {"GATEWAY_MESSAGE_MAX": "150000", "GATEWAY_FRAME_MAX_BYTES": "4000000"},
        {"GATEWAY_PROBE_S": "6"},
        {"GATEWAY_JOIN_HOOK_SECRET_FILE": "/run/secrets/hook"},
        {"GATEWAY_SEND_HOOK_SECRET_FILE": "/run/secrets/hook"},
        {"GATEWAY_SEND_HOOK_ON_FAILURE": "allow"},
        {"GATEWAY_PREFIX_HISTORY": "on"},
        {"GATEWAY_SENTINEL_PASSWORD": "w0rd"},
        {"GATEWAY_SENTINEL_PASSWORD": "w0rd", "REDIS_URL": "redis://host"},
        {"GATEWAY_SENTINEL_PASSWORD": "w0rd", "REDIS_URL": "redis+cluster://host"},
        {"GATEWAY_SENTINEL_USERNAME": "ann", "REDIS_URL": "redis+sentinel://host"},
        {"GATEWAY_PATH": "/"},
        {"GATEWAY_PATH": "healthz/"},
        {"GATEWAY_ROUTE": "cluster", "REDIS_URL": "redis://host"},
        {"GATEWAY_ROUTE": "cluster", "REDIS_URL": "redis://:x+cluster@host"},
        {"GATEWAY_POSITION_TTL_S": "60"},
        {"GATEWAY_HISTORY_TTL_S": "5184001"},
        {"GATEWAY_WORKER_DEAD_S": "5"},
        {"GATEWAY_HEARTBEAT_S": "8"},
        {"GATEWAY_MESSAGE_MAX": "10000"},
        {"GATEWAY_FRAME_MAX_BYTES": "32768"},
    ],
)
def test_options_that_contradict_each_other_are_refused(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"must (not )?be|needs") as refused:
        Settings.from_environment(environment)
    assert "w0rd" not in str(refused.value)


def test_no_password_is_shown_where_settings_are_printed() -> None:
    given = {"REDIS_URL": "redis+sentinel://:w0rd@host", "GATEWAY_SENTINEL_PASSWORD": "w0rd"}
    assert "w0rd" not in repr(Settings.from_environment(given))


@pytest.mark.parametrize(
    "environment",
    [
        {"GATEWAY_OUTBOUND_MARK_BYTES": "983040"},
        {"GATEWAY_OUTBOUND_MAX_BYTES": "327680"},
        {"GATEWAY_OUTBOUND_MAX_BYTES": "66560", "GATEWAY_OUTBOUND_MARK_BYTES": "1024"},
        {"GATEWAY_MESSAGE_MAX": "100000", "GATEWAY_FRAME_MAX_BYTES": "4000000"},
    ],
)
def test_between_the_mark_and_the_most_a_piece_of_the_history_and_live_messages_have_room(
    environment: dict[str, str],
) -> None:
    settings = Settings.from_environment(environment)
    between_bytes = settings.engine.outbound_max_bytes - settings.engine.outbound_mark_bytes
    stored = entry("\x01" * settings.limits.message_max, "\x01" * 64, 10**13)
    largest = receive_json(stored, orjson.dumps("\x7f" * 128), Position("e" * 32, 10**12))
    assert between_bytes >= max(PIECE_BYTES, len(event_packet("receive", largest))) + 32_768


@pytest.mark.parametrize("written", ["/my/chat", "my/chat", "/my/chat/", "my/chat/"])
def test_a_path_is_read_however_it_is_written(written: str) -> None:
    server = Settings.from_environment({"GATEWAY_PATH": written, "GATEWAY_PATH_PREFIX": written}).server
    assert (server.path, server.path_prefix) == ("/my/chat", "/my/chat")
    assert Settings.from_environment({"GATEWAY_PATH_PREFIX": "/"}).server.path_prefix == ""


def test_one_variable_sets_the_option_of_both_groups_that_need_it() -> None:
    found = Settings.from_environment({"GATEWAY_SYSTEM_NAME": "Bot", "GATEWAY_HISTORY_MESSAGES": "7"})
    assert (found.limits.system_name, found.presence.system_name) == ("Bot", "Bot")
    assert (found.limits.history_max, found.publish.history_messages) == (7, 7)


def test_every_option_says_what_it_does_and_has_a_variable_with_its_unit() -> None:
    described = [each for _, _, options in grouped_options() for _, each in options]
    assert len(described) > 40
    for option in described:
        assert re.fullmatch(r"(GATEWAY_[A-Z_]+|PORT|WEB_CONCURRENCY|REDIS_URL)", option.variable)
        assert option.meaning.endswith("."), option.variable
        assert "\n" not in option.meaning
        is_time = option.variable.endswith("_S") and not option.variable.endswith("_PER_S")
        assert option.kind.in_short.endswith(" s") == is_time, option.variable
        assert option.kind.in_short.endswith(" bytes") == option.variable.endswith("_BYTES"), option.variable


def test_the_default_that_is_told_is_the_one_that_is_taken() -> None:
    told = {
        option.variable: option.default
        for _, _, options in grouped_options()
        for _, option in options
        if option.default and " " not in option.default
    }
    assert Settings.from_environment(told) == Settings.from_environment({})


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("GATEWAY_ORIGINS", "good.example", "'good.example' has no scheme: write https://good.example"),
        ("GATEWAY_ORIGINS", "good.example:8443", "has no scheme"),
        ("GATEWAY_ORIGINS", "https://a.example/chat", "more than an origin: write https://a.example"),
        ("GATEWAY_ORIGINS", "https://a.example/", "more than an origin: write https://a.example"),
        ("GATEWAY_ORIGINS", "https://a.example?x", "more than an origin"),
        ("GATEWAY_ORIGINS", "https://*.example", "has a * inside"),
        ("GATEWAY_ORIGINS", "https://a.example,*", "write it alone"),
        ("GATEWAY_ORIGINS", "https://me@a.example", "has no host as browsers send it"),
        ("GATEWAY_ORIGINS", "https://b\u00fccher.example", "xn--"),
        ("GATEWAY_ORIGINS", "https://", "has no host"),
        ("GATEWAY_TRUSTED_PROXIES", "foo", "'foo' is no address and no network"),
        ("GATEWAY_TRUSTED_PROXIES", "10.0.0.0/8, foo", "'foo' is no address"),
        ("GATEWAY_TRUSTED_PROXIES", "10.0.0.0/33", "'10.0.0.0/33' is no address"),
        ("GATEWAY_TRUSTED_PROXIES", "10.0.0.1:80", "'10.0.0.1:80' is no address"),
        ("GATEWAY_TRUSTED_PROXIES", "*,10.0.0.1", "write it alone"),
    ],
)
def test_an_entry_of_a_list_that_cannot_be_meant_is_named(variable: str, text: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(sentence)) as refused:
        Settings.from_environment({variable: text})
    assert str(refused.value).startswith(f"{variable}=")


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("*", ("*",)),
        ("https://A.Example", ("https://a.example",)),
        ("https://a.example:443,http://b:80", ("https://a.example", "http://b")),
        ("http://localhost:3000, capacitor://localhost", ("http://localhost:3000", "capacitor://localhost")),
        ("http://[::1]:8006", ("http://[::1]:8006",)),
    ],
)
def test_origins_are_taken_in_the_form_in_which_browsers_send_them(
    text: str, origins: tuple[str, ...]
) -> None:
    assert Settings.from_environment({"GATEWAY_ORIGINS": text}).engine.origins == origins


def test_addresses_and_networks_of_both_kinds_are_taken() -> None:
    found = Settings.from_environment({"GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7, ::1, fd00::/8"})
    assert found.engine.trusted_proxies == ("10.0.0.0/8", "192.0.2.7", "::1", "fd00::/8")


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("GATEWAY_ORIGIN", "GATEWAY_ORIGINS"),
        ("GATEWAY_TRUSTED_PROXY", "GATEWAY_TRUSTED_PROXIES"),
        ("GATEWAY_LOGLEVEL", "GATEWAY_LOG_LEVEL"),
        ("GATEWAY_DRAIN", "GATEWAY_DRAIN_S"),
        ("gateway_origins", "GATEWAY_ORIGINS"),
        ("GATEWAY_PORT", "PORT"),
        ("GATEWAY_WORKERS", "WEB_CONCURRENCY"),
        ("GATEWAY_REDIS_URL", "REDIS_URL"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_nearest_right_one(misspelt: str, meant: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({misspelt: "1"})
    assert str(refused.value) == f"{misspelt} is no option of the gateway; did you mean {meant}?"


def test_a_variable_like_no_option_is_refused_with_the_page_that_has_them_all() -> None:
    with pytest.raises(SettingsError, match=r"GATEWAY_ZZZZ is no option of the gateway; docs/options\.md"):
        Settings.from_environment({"GATEWAY_ZZZZ": "1"})


def test_what_kubernetes_and_cgi_set_by_themselves_is_left_alone() -> None:
    theirs = {
        "GATEWAY_SERVICE_HOST": "10.0.0.7",
        "GATEWAY_SERVICE_PORT": "8006",
        "GATEWAY_SERVICE_PORT_HTTP": "8006",
        "GATEWAY_PORT": "tcp://10.0.0.7:8006",
        "GATEWAY_PORT_8006_TCP": "tcp://10.0.0.7:8006",
        "GATEWAY_PORT_8006_TCP_ADDR": "10.0.0.7",
        "GATEWAY_CHAT_SERVICE_HOST": "10.0.0.8",
        "GATEWAY_CHAT_PORT": "tcp://10.0.0.8:80",
        "GATEWAY_INTERFACE": "CGI/1.1",
    }
    assert Settings.from_environment(theirs) == Settings.from_environment({})


@pytest.mark.parametrize("text", ["INFO", "Info", " info "])
def test_capitals_and_blanks_do_not_matter_where_words_are_chosen(text: str) -> None:
    assert Settings.from_environment({"GATEWAY_LOG_LEVEL": text}).log.level == "info"


def test_a_message_of_the_longest_kind_fits_into_the_frame_by_default() -> None:
    longest = "\U0001f600"
    found = Settings.from_environment({})
    event = {
        "username": longest * found.limits.username_max,
        "room": longest * found.limits.room_max,
        "message": longest * found.limits.message_max,
        "idempotency_key": longest * found.limits.idempotency_key_max,
    }
    frame = f'42{2**31}["send",{json.dumps(event)}]'
    assert len(frame) <= found.engine.max_payload_bytes


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:8007", "127.0.0.1:8007"), ("[::1]:8007", "[::1]:8007"), ("gateway.local:1", "gateway.local:1"),
        ("unix:/run/gateway/api.sock", "unix:/run/gateway/api.sock"),
    ],
)  # fmt: skip
def test_the_server_api_listens_at_a_port_or_a_unix_socket(text: str, bind: str) -> None:
    api = Settings.from_environment({"GATEWAY_API_LISTEN": text}).api
    assert api.listen == bind
    assert api.address is not None
    assert api.address.bind == bind


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", ":8007", "127.0.0.1:0", "127.0.0.1:70000", "unix:api.sock", "unix:", f"unix:/{'x' * 100}"],
)
def test_another_address_of_the_server_api_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="GATEWAY_API_LISTEN"):
        Settings.from_environment({"GATEWAY_API_LISTEN": text})


def test_the_server_api_does_not_listen_at_the_clients_port() -> None:
    with pytest.raises(SettingsError, match="must not have the PORT"):
        Settings.from_environment({"GATEWAY_API_LISTEN": "127.0.0.1:8006"})
