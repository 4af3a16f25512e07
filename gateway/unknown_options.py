"""Variables that look like options and are none: a misspelt option must not be a silent one.

Owns what counts as meant for the gateway. Kubernetes and CGI set variables of the same beginning by themselves; those
are left alone.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping

from gateway.option_types import SettingsError

PREFIX = "GATEWAY_"

_OTHER_NAMES = {
    "GATEWAY_PORT": "PORT",
    "GATEWAY_WORKERS": "WEB_CONCURRENCY",
    "GATEWAY_REDIS": "REDIS_URL",
    "GATEWAY_REDIS_URL": "REDIS_URL",
}
"""What people try whose option has a name from before."""

# A Service whose name begins with "gateway": https://kubernetes.io/docs/concepts/services-networking/service/
_SET_BY_KUBERNETES = re.compile(r"GATEWAY_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_ADDRESS_BY_KUBERNETES = re.compile(r"(tcp|udp|sctp)://")
_SET_BY_CGI = "GATEWAY_INTERFACE"  # RFC 3875, section 4.1.4


def refuse_unknown(variables: Mapping[str, str], known: Collection[str]) -> None:
    """Raises SettingsError for the first variable that looks like an option and is none, with the nearest that is."""
    for name in sorted(variables):
        if name.upper().startswith(PREFIX) and name not in known and not _is_another_s(name, variables[name]):
            raise SettingsError(f"{name} is no option of the gateway{_nearest(name, known)}")


def _is_another_s(name: str, value: str) -> bool:
    if name == _SET_BY_CGI or _SET_BY_KUBERNETES.fullmatch(name):
        return True
    return name.endswith("_PORT") and _ADDRESS_BY_KUBERNETES.match(value) is not None


def _nearest(name: str, known: Collection[str]) -> str:
    upper = name.upper()
    words = {each.removeprefix(PREFIX): each for each in known}
    near = difflib.get_close_matches(upper.removeprefix(PREFIX), words, 1, 0.6)
    meant = _OTHER_NAMES.get(upper) or (words[near[0]] if near else None)
    return f"; did you mean {meant}?" if meant else "; docs/options.md has them all"
