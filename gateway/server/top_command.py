"""`gateway top`: the busiest rooms and the slowest members of all workers, live.

Owns the form, and what is made of the workers' answers: a room's rate is the highest that a worker saw, as each hears
every message of the room; its members are the sum.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from typing import Any

import click

from gateway.server.asking import Operator, run
from gateway.server.screen import watch
from gateway.server.terminal import counted, paint, safe, table
from gateway.settings import Settings

EVERY_S = 2.0
FIRST_S = 1.0
"""After so long the first look has rates."""
ROOMS_SHOWN = 20
BESIDES = 6
"""Lines beside the three tables' own: the head, two headings, and what keeps them apart."""
HEADINGS = ("WORKER ", "BUSIEST ROOM ", "SLOWEST MEMBER ")

Answer = dict[str, Any]


def top(settings: Settings, is_once: bool, as_json: bool, every_s: float = EVERY_S) -> int:
    """Prints what all workers do until Ctrl-C, or once; returns the exit status."""

    async def tell(me: Operator) -> int:
        await _look(me)  # rates are found by the second look
        await asyncio.sleep(FIRST_S)
        if as_json or is_once:
            return await _tell_plainly(me, is_once, as_json, every_s)

        async def look() -> list[str]:
            answers, silent = await _look(me)
            return [summary(answers, silent), "", *lines(answers, silent)]

        await watch("gateway top", every_s, look)
        return 0

    return run(settings, tell)


async def _look(me: Operator) -> tuple[dict[str, Answer], list[str]]:
    """The answers by worker, and the workers that live and did not answer. Raises a StoreError."""
    living = await me.census.living()
    answers = await me.questions.ask("worker", living)
    return answers, sorted(set(living) - set(answers))


async def _tell_plainly(me: Operator, is_once: bool, as_json: bool, every_s: float) -> int:
    while True:
        answers, silent = await _look(me)
        if as_json:
            click.echo(json.dumps(as_object(answers, silent), ensure_ascii=False))
        else:
            click.echo("\n".join(lines(answers, silent)))
        if is_once:
            return 0
        await asyncio.sleep(every_s)


def summary(answers: dict[str, Answer], silent: list[str]) -> str:
    """All workers in a few words."""
    workers, connections = len(answers) + len(silent), sum(told["connections"] for told in answers.values())
    delivered = sum(told["deliveries_s"] for told in answers.values())
    return f"{counted(workers, 'worker')}, {counted(connections, 'connection')}, {delivered:,.1f} delivered/s"


def busiest(answers: dict[str, Answer]) -> list[tuple[str, float, int]]:
    """Room, messages a second and members, the busiest first; where nothing is said, the largest."""
    rates: dict[str, float] = {}
    members: dict[str, int] = {}
    for told in answers.values():
        for room, rate, _ in told["busiest"]:
            rates[room] = max(rates.get(room, 0.0), rate)
        # The same room may be in both lists: its members are taken from one of them.
        for room, count in {
            **dict(told["largest"]),
            **{each[0]: each[2] for each in told["busiest"]},
        }.items():
            members[room] = members.get(room, 0) + count
    found = [(room, rates.get(room, 0.0), count) for room, count in members.items()]
    return sorted(found, key=lambda each: (-each[1], -each[2], each[0]))[:ROOMS_SHOWN]


def slowest(answers: dict[str, Answer]) -> list[Answer]:
    """The sessions with the most unsent bytes, and the worker of each."""
    found = [{**each, "worker": name} for name, told in answers.items() for each in told["slowest"]]
    return sorted(found, key=lambda each: -each["unsent_bytes"])[:ROOMS_SHOWN]


def as_object(answers: dict[str, Answer], silent: list[str]) -> dict[str, Any]:
    """One look as JSON."""
    kept = ("worker", "host", "state", "connections", "rooms", "memberships", "messages_s", "deliveries_s")
    return {
        "at": time.time(),
        "workers": [{name: told[name] for name in kept} for _, told in sorted(answers.items())],
        "no_answer": silent,
        "busiest": [
            {"room": room, "messages_s": rate, "members": members} for room, rate, members in busiest(answers)
        ],
        "slowest": slowest(answers),
    }


def lines(answers: dict[str, Answer], silent: list[str]) -> list[str]:
    """One look for people, that fits 24 lines where few workers are there."""
    shown = table(
        ("WORKER", "STATE", "CONNECTIONS", "ROOMS", "MSG/S", "DELIVERED/S"),
        [_worker(name, told) for name, told in sorted(answers.items())],
    )
    shown += [paint(f"{name}  no answer: it is older, held up, or gone", "yellow") for name in silent]
    free = max(shutil.get_terminal_size((80, 24)).lines - len(shown) - BESIDES, 6)
    slow = slowest(answers)[: max(free // 3, 3)]
    rooms = busiest(answers)[: max(free - len(slow), 3)]
    shown += _titled(
        ("BUSIEST ROOM", "MSG/S", "MEMBERS"), [_room(*each) for each in rooms], "Nobody is in a room."
    )
    headings = ("SLOWEST MEMBER", "WORKER", "UNSENT", "BEHIND BY")
    shown += _titled(headings, [_slow(each) for each in slow], "No member is slow.")
    return [paint(line, "cyan", bold=True) if line.startswith(HEADINGS) else line for line in shown]


def _titled(headings: tuple[str, ...], rows: list[tuple[str, ...]], empty: str) -> list[str]:
    return ["", *(table(headings, rows) if rows else [empty])]


def _worker(name: str, told: Answer) -> tuple[str, ...]:
    rates = (f"{told[each]:,.1f}" for each in ("messages_s", "deliveries_s"))
    return (
        f"{safe(name, 24)} @ {safe(told['host'], 24)}", safe(told["state"], 12),
        f"{told['connections']:,}", f"{told['rooms']:,}", *rates,
    )  # fmt: skip


def _room(name: str, rate: float, members: int) -> tuple[str, ...]:
    return safe(name, 60), f"{rate:,.1f}", f"{members:,}"


def _slow(each: Answer) -> tuple[str, ...]:
    names = sorted(set(each["rooms"].values()))
    who = safe(each["user"] or ", ".join(names) or each["session"], 40)
    behind = counted(each["lag"], "message") if each["behind"] else "—"
    return who, safe(each["worker"], 24), f"{each['unsent_bytes']:,} B", behind
