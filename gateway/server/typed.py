"""What somebody typed on a command line: times, and what cannot be meant."""

from __future__ import annotations

import re

import click

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


class Misused(click.ClickException):
    """What was typed makes no sense; one sentence, and nothing was done."""

    exit_code = 2


def seconds_of(text: str) -> int | None:
    """A time such as 90s, 10m, 2h or 7d, or a number of seconds; None for what is none."""
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", text.strip())
    return None if found is None else int(found[1]) * _UNITS_S[found[2]]
