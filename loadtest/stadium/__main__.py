"""One very large room of a gateway that runs.

    uv run python -m loadtest.stadium --port 8006 --members 20000 --rate 20 --seconds 20

Prints what came of it. The exit status is 1 unless everybody got everything, in order.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import uuid

from loadtest.stadium.event import Outcome, Plan, held


async def run(plan: Plan) -> Outcome:
    """All of it."""
    async with held(plan) as event:
        await event.join()
        return await event.talk()


def plan_of(arguments: list[str] | None = None) -> Plan:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.stadium", description=__doc__.split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8006)
    parser.add_argument("--room", default="", help="a new one by default")
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=4, help="that hold the members")
    parser.add_argument("--rate", type=float, default=20.0, help="messages a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args(arguments)
    room = asked.room or f"stadium-{uuid.uuid4().hex[:8]}"
    return Plan((asked.host, asked.port), room, asked.members, asked.processes, asked.rate, asked.seconds)


if __name__ == "__main__":
    outcome = asyncio.run(run(plan_of()))
    print(outcome, *outcome.faults, sep="\n")
    sys.exit(1 if outcome.faults or outcome.whole < outcome.members else 0)
