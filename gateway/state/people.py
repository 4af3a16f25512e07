"""How many people are in rooms, whether their names are kept or only their number."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway import keys
from gateway.interfaces import CommandStore
from gateway.state.scripts import MEMBERS


async def people_in(store: CommandStore, rooms: Sequence[str]) -> list[int]:
    """How many users there are in these rooms; where they are only counted, how many sessions. Raises a StoreError."""
    asked = [store.run(MEMBERS, (keys.users(room), keys.counts(room)), 0) for room in rooms]
    return [reply[1] for reply in await asyncio.gather(*asked)]
