"""What a room holds while it is quiet: nothing that it keeps drags a buffer along that is larger than itself."""

from __future__ import annotations

import gc
import tracemalloc

from tests.support.recorder import live_member
from tests.support.room_by_hand import RoomByHand, live

ROOMS = 200
BUFFER_BYTES = 1_000
"""Each thing that is kept is smaller; a buffer of orjson's, which is as large as it was while it grew, is not."""


def test_a_quiet_room_holds_no_large_buffer() -> None:
    gc.collect()
    tracemalloc.start()
    try:
        kept = []
        for _ in range(ROOMS):
            hand = RoomByHand().at(2)
            kept.append((hand, live_member(hand.room)))
            hand.room.receive([live(3)])
        gc.collect()
        traces = tracemalloc.take_snapshot().traces
    finally:
        tracemalloc.stop()
    large = [trace for trace in traces if trace.size > BUFFER_BYTES]
    assert len(large) < ROOMS / 10, f"{large[0].size} bytes, {large[0].traceback}"
