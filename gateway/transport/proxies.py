"""Whose word counts for a client's address."""

from __future__ import annotations

import ipaddress


class Proxies:
    """Who may speak for a client's address."""

    def __init__(self, trusted: tuple[str, ...]) -> None:
        """`trusted` are addresses or networks, or `*` for everybody; raises ValueError for anything else."""
        self._is_all = "*" in trusted
        self._networks = [ipaddress.ip_network(one, strict=False) for one in trusted if one != "*"]

    def client(self, peer: str, forwarded: str | None) -> str:
        """The client's address: the peer's, or the last address in X-Forwarded-For that no trusted proxy has."""
        address = peer
        for claimed in reversed((forwarded or "").split(",")):
            if not claimed.strip() or not self._is_trusted(address):
                break
            address = claimed.strip()
        return address

    def _is_trusted(self, address: str) -> bool:
        if self._is_all:
            return True
        try:
            return any(ipaddress.ip_address(address) in network for network in self._networks)
        except ValueError:
            return False
