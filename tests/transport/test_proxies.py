"""Whose word counts for a client's address: nobody's but that of trusted proxies, from the nearest one on."""

from __future__ import annotations

import pytest

from gateway.transport.proxies import Proxies, address_of

PROXY, INNER, CLIENT, LIE = "10.0.0.1", "10.0.0.2", "203.0.113.7", "198.51.100.9"


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        pytest.param((), PROXY, CLIENT, PROXY, id="nobody is trusted"),
        pytest.param((PROXY,), PROXY, CLIENT, CLIENT, id="a proxy is believed"),
        pytest.param((PROXY,), CLIENT, LIE, CLIENT, id="a client that claims to be another is not"),
        pytest.param((PROXY,), PROXY, f"{LIE}, {CLIENT}", CLIENT, id="nor one behind a proxy"),
        pytest.param(
            (PROXY,), PROXY, f"{CLIENT}, {INNER}", INNER, id="a proxy that is not trusted is the client"
        ),
        pytest.param((PROXY, INNER), PROXY, f"{LIE}, {CLIENT}, {INNER}", CLIENT, id="two in a row"),
        pytest.param(("10.0.0.0/8",), PROXY, f"{CLIENT},{INNER}", CLIENT, id="a network"),
        pytest.param(("10.0.0.1/8",), INNER, CLIENT, CLIENT, id="a network named by one of its hosts"),
        pytest.param(("*",), LIE, f"{CLIENT}, {PROXY}", CLIENT, id="everybody is trusted"),
        pytest.param((PROXY,), PROXY, (), PROXY, id="no header"),
        pytest.param((PROXY,), PROXY, "", PROXY, id="an empty header"),
        pytest.param((PROXY,), PROXY, (LIE, CLIENT), CLIENT, id="two lines are one list"),
        pytest.param((PROXY, INNER), PROXY, (LIE, CLIENT, INNER), CLIENT, id="three lines, in their order"),
        pytest.param((PROXY, INNER), PROXY, (f"{LIE}, {CLIENT}", INNER), CLIENT, id="lines that are lists"),
        pytest.param((PROXY,), PROXY, f"{CLIENT}, ", PROXY, id="an empty last place"),
        pytest.param((PROXY,), "", CLIENT, None, id="a Unix socket has no address to be trusted"),
        pytest.param(("*",), "", CLIENT, CLIENT, id="but it may be everybody"),
        pytest.param(("fd00::/8",), "fd00::1", "2001:db8::7", "2001:db8::7", id="IPv6"),
        pytest.param(("10.0.0.0/8",), "fd00::1", CLIENT, "fd00::1", id="IPv6 is not in a network of IPv4"),
        pytest.param((PROXY,), PROXY, f"{CLIENT}, unknown", None, id="a proxy that knows none"),
        pytest.param((PROXY,), PROXY, f"{CLIENT}, _hidden", None, id="a proxy that hides it"),
        pytest.param(
            (PROXY,), PROXY, f"<script>, {CLIENT}", CLIENT, id="a client's own nonsense is not reached"
        ),
        pytest.param(("*",), PROXY, f"{LIE}, nonsense, {CLIENT}", None, id="nor is what stands left of it"),
        pytest.param((PROXY,), PROXY, f"{CLIENT}:4711", CLIENT, id="a port"),
        pytest.param((PROXY, INNER), PROXY, f"{CLIENT}, {INNER}:80", CLIENT, id="a trusted one with a port"),
        pytest.param((PROXY,), f"::ffff:{PROXY}", CLIENT, CLIENT, id="a peer whose IPv4 is written as IPv6"),
        pytest.param((f"::ffff:{PROXY}",), PROXY, CLIENT, CLIENT, id="or a trusted one"),
        pytest.param(("::ffff:10.0.0.0/104",), PROXY, CLIENT, CLIENT, id="or a trusted network"),
        pytest.param((PROXY,), PROXY, f"::ffff:{CLIENT}", CLIENT, id="or a client"),
        pytest.param(
            ("fe80::/10",), "fe80::1%eth0", "[2001:DB8::7]:443", "2001:db8::7", id="a zone, and a port"
        ),
    ],
)
def test_the_client_is_who_the_nearest_trusted_proxies_say(
    trusted: tuple[str, ...], peer: str, forwarded: str | tuple[str, ...], client: str | None
) -> None:
    lines = (forwarded,) if isinstance(forwarded, str) else forwarded
    assert Proxies(trusted).client(peer, lines) == client


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7\t", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ('"203.0.113.7"', "203.0.113.7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ('"[2001:db8::7]:4711"', "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%eth0]:80", "fe80::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:cb00:7107", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:80", "203.0.113.7"),
        ("::1", "::1"),
        *(
            (text, None)
            for text in (
                "", " ", "unknown", "_hidden", "localhost", "proxy.example", "203.0.113", "203.0.113.256",
                "0203.0.113.7", "203.0.113.7:", "203.0.113.7:port", "203.0.113.7:123456", "203.0.113.7/32",
                "[203.0.113.7]",
                "[2001:db8::7", "2001:db8::7]", "[2001:db8::7]x", "3405803783", "unix:", "1.2.3.4 5.6.7.8",
                "\u0661.2.3.4", "1" * 10_000, "for=203.0.113.7", "203.0.113.7\x00",
            )
        ),
    ],
)  # fmt: skip
def test_an_address_has_one_form_and_what_is_none_is_none(text: str, address: str | None) -> None:
    assert address_of(text) == address


def test_what_is_no_address_is_not_trusted_silently() -> None:
    with pytest.raises(ValueError, match=r"proxy\.example"):
        Proxies(("proxy.example",))
