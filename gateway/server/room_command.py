"""`gateway room NAME`: the microscope. What the store has of a room, what each worker has, and whether that agrees.

Owns the form; what is found out is `room_facts.py`'s. Exit status 1 when something does not agree.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from textwrap import wrap
from typing import Any

import click

from gateway.names import normal_form
from gateway.server.asking import Operator, run
from gateway.server.room_facts import Answer, RoomFacts, look
from gateway.server.screen import watch
from gateway.server.terminal import counted, paint, safe, table
from gateway.settings import Settings

EVERY_S = 1.0

HEADINGS = ("worker", "members", "position", "lag", "buffered", "behind", "heard")


def room(settings: Settings, name: str, is_watched: bool, as_json: bool) -> int:
    """Prints one look, or one a second until Ctrl-C; returns the exit status."""
    name = normal_form(name)

    async def tell(me: Operator) -> int:
        if is_watched and not as_json:
            await watch("gateway room", EVERY_S, lambda: _looked(me, name))
        while True:
            found = await look(me, name)
            click.echo(
                json.dumps(as_object(found), ensure_ascii=False) if as_json else "\n".join(lines(found))
            )
            if not is_watched:
                return 1 if found.divergences() else 0
            await asyncio.sleep(EVERY_S)

    return run(settings, tell)


async def _looked(me: Operator, name: str) -> list[str]:
    return ["", "", *lines(await look(me, name))]


def as_object(found: RoomFacts) -> dict[str, Any]:
    """A look as JSON."""
    store = found.store
    return {
        "room": found.name,
        "at": time.time(),
        "store": {**store._asdict(), "position": None if store.position is None else str(store.position)},
        "workers": [
            {"worker": name, "host": told["host"], **told["room"], "lag": found.lag(told)}
            for name, told in sorted(found.here.items())
        ],
        "not_here": sorted(set(found.answers) - set(found.here)),
        "no_answer": found.silent,
        "divergences": found.divergences(),
    }


def lines(found: RoomFacts) -> list[str]:
    """A look for people."""
    store, here = found.store, found.here
    heard = "not told" if store.subscribers is None else str(store.subscribers)
    position = "none: no such room" if store.position is None else str(store.position)
    shown = [
        f"room      {paint(safe(found.name, 60), 'cyan', bold=True)}",
        f"store     {position}, {store.messages} messages kept, {counted(store.users, 'user')}, "
        f"listening connections: {heard}",
        "",
    ]
    shown += table(HEADINGS, [_cells(found, name, told) for name, told in sorted(here.items())])
    if not here:
        shown[-1:] = ["no worker has members there"]
    elsewhere = len(found.answers) - len(here)
    if elsewhere:
        shown.append(f"{counted(elsewhere, 'more worker')} without the room")
    shown += [paint(f"{name}  no answer: it is older, held up, or gone", "yellow") for name in found.silent]
    return [*shown, "", *_verdict(found)]


def _verdict(found: RoomFacts) -> list[str]:
    wrong = found.divergences()
    if found.store.position is None and not found.here:
        return [
            paint("There is no such room: nobody has said anything there, and nobody is in it.", "yellow")
        ]
    if not wrong:
        return [paint("All that answered agree with the store.", "green")]
    columns = shutil.get_terminal_size((100, 24)).columns
    told = [line for each in wrong for line in wrap(f"DIVERGED  {each}", columns, subsequent_indent=" " * 10)]
    return [paint(line, "red", bold=True) for line in told]


def _cells(found: RoomFacts, name: str, told: Answer) -> tuple[str, ...]:
    room, lag = told["room"], found.lag(told)
    marks = "".join(f" {word}" for word in ("reading", "unsure", "refused") if room[word])
    heard = "never" if room["heard_ms"] is None else _ago(room["heard_ms"])
    return (
        f"{safe(name, 24)} @ {safe(told['host'], 24)}{marks}",
        str(room["members"]),
        safe(room["position"] or "none", 40),
        "?" if lag is None else str(max(lag, 0)),
        str(room["buffered"]),
        str(room["behind"]),
        heard,
    )


def _ago(past_ms: float) -> str:
    return f"{past_ms:.0f} ms ago" if past_ms < 1000 else f"{past_ms / 1000:,.0f} s ago"
