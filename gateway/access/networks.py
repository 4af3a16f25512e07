"""Which networks an address is in, without looking at each.

Networks of one length are looked up together: there are at most 33 lengths of IPv4 and 129 of IPv6, and banned networks
have a handful. So a handshake costs the same with ten networks as with 10,000. Values only.
"""

from __future__ import annotations

import ipaddress

from gateway.transport.proxies import Network

_Key = tuple[int, int, int]
"""Version of IP, length of the prefix, and the prefix as a number."""


class Networks:
    """Networks, each with a number."""

    def __init__(self) -> None:
        self._values: dict[_Key, float] = {}
        # How many networks there are of each length, by version.
        self._lengths: dict[int, dict[int, int]] = {4: {}, 6: {}}

    def __len__(self) -> int:
        return len(self._values)

    def put(self, network: Network, value: float) -> None:
        """Adds a network, or gives it another number."""
        key = _key(network)
        if key not in self._values:
            lengths = self._lengths[network.version]
            lengths[network.prefixlen] = lengths.get(network.prefixlen, 0) + 1
        self._values[key] = value

    def remove(self, network: Network) -> None:
        """Takes a network out."""
        if self._values.pop(_key(network), None) is None:
            return
        lengths = self._lengths[network.version]
        lengths[network.prefixlen] -= 1
        if not lengths[network.prefixlen]:
            del lengths[network.prefixlen]

    def holding(self, address: str) -> list[float]:
        """The numbers of all networks that hold an address in its usual form (`proxies.address_of`)."""
        if not self._values:
            return []
        parsed = ipaddress.ip_address(address)
        bits, version, number = parsed.max_prefixlen, parsed.version, int(parsed)
        keys = ((version, length, number >> (bits - length)) for length in self._lengths[version])
        return [self._values[key] for key in keys if key in self._values]


def _key(network: Network) -> _Key:
    shift = network.max_prefixlen - network.prefixlen
    return network.version, network.prefixlen, int(network.network_address) >> shift
