"""Which build runs: the sources as they are, or the same compiled (`deploy/fast/`)."""

from __future__ import annotations

from importlib.util import find_spec

PLAIN, FAST = "plain", "fast"


def build_name() -> str:
    """`fast` where the hot modules are compiled, else `plain`. By what Python would load, so that a checkout beside an
    installed wheel is told apart from it; nothing is imported for the answer."""
    found = find_spec("gateway.protocol")
    is_source = found is None or found.origin is None or found.origin.endswith((".py", ".pyc"))
    return PLAIN if is_source else FAST
