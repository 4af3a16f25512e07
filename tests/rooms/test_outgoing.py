"""What a room writes: notices of one turn together, and what waits for the end of a window."""

from __future__ import annotations

import pytest

from gateway.metrics import delivered
from gateway.rooms import outgoing
from gateway.rooms.member import Member
from gateway.rooms.room import Room
from tests.support.recorder import MARK, Recorder, live_member
from tests.support.room_by_hand import RoomByHand, live

NOTICE = b'-%b {"message":"%b has joined the room","username":"ChatBot","__createdtime__":1,"room":"tea"}'


class Gathering(RoomByHand):
    """A room whose windows end when the test likes."""

    def __init__(self) -> None:
        super().__init__()
        self.windows = 0
        self.room = Room("tea", b"channel", self.source.start, lambda: self.now_s, self._opened)
        self.at(3)

    def _opened(self, room: Room) -> None:
        self.windows += 1

    def waits(self, *seqs: int) -> None:
        """A message leaves at once, these do not."""
        self.hears(seqs[0] - 1)
        for seq in seqs:
            self.hears(seq)

    def ends(self) -> None:
        """The window is over."""
        self.room.outgoing.window_over()


def member(hand: RoomByHand, session: str = "s1", mark: int = MARK) -> tuple[Member[Room], Recorder]:
    return live_member(hand.room, session, mark=mark)


def notice(session: str) -> bytes:
    return NOTICE % (session.encode(), session.encode())


# -- notices


def test_those_who_join_in_one_turn_are_announced_in_one_write_per_member() -> None:
    hand = RoomByHand().at(3)
    sessions = [f"s{number}" for number in range(200)]
    recorders = {session: member(hand, session)[1] for session in sessions}
    hand.room.receive([notice(session) for session in sessions])
    assert {recorder.writes for recorder in recorders.values()} == {1}
    for session, recorder in recorders.items():
        assert recorder.texts() == [f"{one} has joined the room" for one in sessions if one != session]


def test_notices_and_messages_of_one_turn_keep_their_order() -> None:
    hand = RoomByHand().at(3)
    _, ada = member(hand, "ada")
    _, ben = member(hand, "ben")
    hand.room.receive([live(4), notice("ada"), live(5), notice("ben"), live(6)])
    assert ada.texts() == ["a4", "a5", "ben has joined the room", "a6"]
    assert ben.texts() == ["a4", "ada has joined the room", "a5", "a6"]
    assert (ada.writes, ben.writes) == (1, 1)


def test_only_stored_messages_count_as_delivered() -> None:
    hand = RoomByHand().at(3)
    member(hand, "ada")
    member(hand, "ben")
    before = delivered.value
    hand.room.receive([live(4), notice("ada"), live(5)])
    assert delivered.value - before == 4


# -- windows


def test_what_comes_in_a_window_leaves_at_its_end_in_one_write() -> None:
    hand = Gathering()
    _, recorder = member(hand)
    hand.waits(5, 6, 7)
    assert (recorder.texts(), recorder.writes, hand.windows) == (["a4"], 1, 1)
    hand.ends()
    assert (recorder.texts(), recorder.writes, hand.windows) == (["a4", "a5", "a6", "a7"], 2, 2)


def test_after_a_window_without_a_message_the_next_one_leaves_at_once() -> None:
    hand = Gathering()
    _, recorder = member(hand)
    hand.hears(4)
    hand.ends()
    hand.hears(5)
    assert (recorder.texts(), hand.windows) == (["a4", "a5"], 2)


def test_who_leaves_gets_what_waits_and_nothing_after_it() -> None:
    hand = Gathering()
    one, recorder = member(hand)
    hand.waits(5)
    hand.room.remove(one)
    hand.hears(6)
    hand.ends()
    assert recorder.texts() == ["a4", "a5"]


def test_who_becomes_live_in_a_window_does_not_get_what_came_before() -> None:
    hand = Gathering()
    first, seen = member(hand, "first")
    hand.waits(5)
    second, later = member(hand, "second")
    hand.hears(6)
    hand.ends()
    assert seen.texts() == ["a4", "a5", "a6"]
    assert later.texts() == ["a6"]
    for one in (first, second):
        hand.room.remove(one)
    assert (first.received, second.received) == (3, 1)


def test_who_falls_behind_by_what_waits_goes_on_from_the_rooms_position() -> None:
    hand = Gathering()
    one, recorder = member(hand, mark=2)
    hand.waits(5, 6)
    hand.ends()
    assert one.position == hand.room.position
    hand.hears(7)
    hand.ends()
    assert recorder.texts() == ["a4", "a5", "a6"]


def test_who_is_paused_by_another_room_has_got_what_waits() -> None:
    hand = Gathering()
    one, recorder = member(hand)
    hand.waits(5)
    hand.room.pause(one)
    assert one.position == hand.room.position
    assert recorder.texts() == ["a4", "a5"]


def test_who_falls_behind_by_what_it_gets_at_its_leave_gets_it_once() -> None:
    hand = Gathering()
    one, recorder = member(hand, mark=1)
    hand.waits(5, 6)
    hand.room.remove(one)
    assert recorder.texts() == ["a4", "a5", "a6"]


def test_more_than_a_socket_takes_at_once_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "GATHERED_BYTES_MAX", 300)
    hand = Gathering()
    _, recorder = member(hand)
    hand.waits(5, 6, 7, 8)
    assert "a6" in recorder.texts()
    hand.ends()
    assert recorder.texts() == ["a4", "a5", "a6", "a7", "a8"]


def test_each_stored_message_counts_once_for_each_member() -> None:
    hand = Gathering()
    one, _ = member(hand, "one")
    member(hand, "two")
    before = delivered.value
    hand.waits(5, 6)
    hand.room.receive([notice("one")])
    hand.room.remove(one)
    hand.ends()
    assert delivered.value - before == 6


def test_the_end_of_a_window_without_members_is_no_trouble() -> None:
    hand = Gathering()
    one, _ = member(hand)
    hand.waits(5)
    hand.room.remove(one)
    hand.ends()
    assert hand.room.position.seq == 5
