"""What a room holds while it is quiet: nothing that it keeps drags a buffer along that is larger than itself."""

from __future__ import annotations

import gc
import tracemalloc

from tests.support.recorder import live_member
from tests.support.room_by_hand import RoomByHand, live

ROOMS = 200
ROOM_BYTES = 5_000
"""With the source of its readings that a test has, and a member; one buffer of orjson alone holds 4,096."""


def test_a_quiet_room_holds_no_large_buffer() -> None:
    gc.collect()
    tracemalloc.start()
    try:
        kept = []
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(ROOMS):
            hand = RoomByHand().at(2)
            kept.append((hand, live_member(hand.room)))
            hand.room.receive([live(3)])
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / ROOMS < ROOM_BYTES
