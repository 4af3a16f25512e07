"""Whose word counts for a client's address: nobody's but that of trusted proxies, from the nearest one on."""

from __future__ import annotations

import pytest

from gateway.transport.proxies import Proxies

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
        pytest.param((PROXY,), PROXY, None, PROXY, id="no header"),
        pytest.param((PROXY,), PROXY, "", PROXY, id="an empty header"),
        pytest.param((PROXY,), PROXY, f"{CLIENT}, ", PROXY, id="an empty last place"),
        pytest.param((PROXY,), "", CLIENT, "", id="a Unix socket has no address to be trusted"),
        pytest.param(("fd00::/8",), "fd00::1", "2001:db8::7", "2001:db8::7", id="IPv6"),
        pytest.param(("10.0.0.0/8",), "fd00::1", CLIENT, "fd00::1", id="IPv6 is not in a network of IPv4"),
        pytest.param((PROXY,), PROXY, f"{CLIENT}, unknown", "unknown", id="a proxy's word is taken as it is"),
    ],
)
def test_the_client_is_who_the_nearest_trusted_proxies_say(
    trusted: tuple[str, ...], peer: str, forwarded: str | None, client: str
) -> None:
    assert Proxies(trusted).client(peer, forwarded) == client


def test_what_is_no_address_is_not_trusted_silently() -> None:
    with pytest.raises(ValueError, match=r"proxy\.example"):
        Proxies(("proxy.example",))
