"""One room on one worker: the position check at work, and joins without a seam. Snapshots are answered by hand."""

from __future__ import annotations

from gateway.delivery.feed import Feed
from gateway.metrics import holes
from gateway.protocol import Position, receive_json
from gateway.state.history import OTHER, Snapshot
from gateway.state.link import StoreUnavailable
from tests.delivery.recorder import Recorder, live_member, member_of

ROOM = "tea"


class Room:
    """A feed, and the reads that it asked for."""

    def __init__(self) -> None:
        self.reads = 0
        self.now_s = 0.0
        self.feed = Feed(ROOM, b"channel", self._read, lambda: self.now_s)

    def _read(self, feed: Feed) -> None:
        self.reads += 1

    def at(self, seq: int, epoch: str = "a") -> Room:
        """Begins with a snapshot of `seq` messages, read for nobody in particular."""
        self.feed.start_reading()
        self.feed.snapshot_came(stored(seq, epoch=epoch))
        self.reads = 0
        return self

    def hears(self, *seqs: int, epoch: str = "a") -> None:
        """The channel brings messages, all in one read."""
        self.feed.receive([live(seq, epoch) for seq in seqs])


def text(seq: int, epoch: str = "a", mark: str = "") -> bytes:
    return b'{"message":"%b%d%b","username":"u","__createdtime__":1}' % (epoch.encode(), seq, mark.encode())


def live(seq: int, epoch: str = "a", mark: str = "") -> bytes:
    where = Position(epoch, seq)
    return f"{where} ".encode() + receive_json(text(seq, epoch, mark), b'"tea"', where)


def stored(seq: int, count: int = 100, epoch: str = "a", mark: str = "") -> Snapshot:
    oldest = max(1, seq - count + 1)
    return Snapshot(epoch, seq, [text(number, epoch, mark) for number in range(oldest, seq + 1)])


def test_messages_in_a_row_are_delivered_in_one_write() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed)
    room.hears(3, 4, 5)
    assert (ann.texts(), ann.writes, room.reads) == (["a3", "a4", "a5"], 1, 0)
    assert room.feed.position == Position("a", 5)


def test_what_was_seen_is_dropped() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed)
    room.hears(1, 2, 3, 3, 4)
    assert ann.texts() == ["a3", "a4"]


def test_a_hole_makes_one_read_for_all_and_is_filled_in_order() -> None:
    room = Room().at(2)
    before = holes.value
    members = [live_member(room.feed, f"s{number}")[1] for number in range(3)]
    room.hears(3, 6, 7)
    assert [one.texts() for one in members] == [["a3"]] * 3
    room.hears(8)
    room.feed.snapshot_came(stored(6))
    assert [one.texts() for one in members] == [["a3", "a4", "a5", "a6", "a7", "a8"]] * 3
    assert (room.reads, holes.value - before) == (1, 1)
    assert {one.seen()[-1].position for one in members} == {Position("a", 8)}


def test_messages_that_follow_go_on_while_a_snapshot_is_under_way() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed)
    room.feed.start_reading()
    room.hears(3)
    assert ann.texts() == ["a3"]
    room.feed.snapshot_came(stored(4))
    assert ann.texts() == ["a3", "a4"]


def test_a_hole_that_the_snapshot_does_not_reach_is_read_again() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed)
    room.hears(4)
    room.hears(9)
    room.feed.snapshot_came(stored(4))
    assert (ann.texts(), room.reads) == (["a3", "a4"], 2)
    room.feed.snapshot_came(stored(9))
    assert (ann.texts(), room.reads) == (["a3", "a4", "a5", "a6", "a7", "a8", "a9"], 2)


def test_what_is_no_longer_there_is_announced_and_the_last_ones_follow() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed)
    room.hears(3, 9)
    room.feed.snapshot_came(stored(9, count=3))
    assert ann.texts() == ["a3", "GAP", "a7", "a8", "a9"]
    assert ann.seen()[1].position == Position("a", 3)
    room.hears(10)
    assert ann.texts()[-1] == "a10"


def test_more_messages_during_a_read_than_the_history_holds_are_no_gap() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed)
    room.feed.start_reading()
    room.hears(3, 4, 5, 6, 7)
    room.feed.snapshot_came(stored(8, count=2))
    room.feed.start_reading()
    room.hears(9, 10, 11, 12)
    room.feed.snapshot_came(stored(11, count=2))
    assert ann.texts() == [f"a{number}" for number in range(3, 13)]


def test_a_new_epoch_is_announced_with_the_last_position_that_held() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed)
    room.hears(1, epoch="b")
    assert (ann.texts(), room.reads) == ([], 1)
    room.feed.snapshot_came(stored(1, epoch="b"))
    assert ann.texts() == ["GAP", "b1"]
    assert ann.seen()[0].position == Position("a", 2)
    room.hears(2, epoch="b")
    assert ann.texts() == ["GAP", "b1", "b2"]


def test_a_seq_that_went_back_is_announced() -> None:
    room = Room().at(5)
    _, ann = live_member(room.feed)
    room.feed.repair()
    room.feed.snapshot_came(stored(3))
    assert ann.texts() == ["GAP", "a1", "a2", "a3"]
    assert (ann.seen()[0].position, room.feed.position) == (Position("a", 3), Position("a", 3))


def test_a_number_that_the_channel_brings_again_after_its_loss_forces_a_new_epoch() -> None:
    room = Room().at(5)
    _, ann = live_member(room.feed)
    room.feed.channel_lost()
    room.hears(4)
    assert (room.feed.claim[1], room.feed.claim[0], room.reads) == (OTHER, Position("a", 5), 1)
    assert ann.texts() == []


def test_another_message_in_the_last_ones_place_forces_a_new_epoch() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed)
    room.hears(3)
    room.feed.repair()
    room.feed.snapshot_came(stored(6, mark="'"))
    assert (room.feed.claim[1], room.feed.claim[0], room.reads) == (OTHER, Position("a", 3), 2)
    assert ann.texts() == ["a3"]
    room.feed.snapshot_came(stored(6, epoch="b"))
    assert ann.texts() == ["a3", "GAP", *(f"b{number}" for number in range(1, 7))]
    assert (room.feed.claim[1], room.feed.claim[0]) == (b"", Position("b", 6))


def test_what_was_acknowledged_at_a_server_that_was_left_is_looked_for_at_the_next() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed)
    room.feed.acknowledged("a", 3, text(3, mark="'"))
    room.feed.moved(0.0)
    room.feed.repair()
    room.feed.snapshot_came(stored(4))
    assert (room.feed.claim[1][:5], room.feed.claim[0], room.reads) == (OTHER, Position("a", 3), 2)
    room.feed.snapshot_came(stored(4, epoch="b"))
    assert ann.texts() == ["GAP", "b1", "b2", "b3", "b4"]


def test_a_server_is_told_what_was_seen_at_the_one_before_and_how_long_ago() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed)
    assert room.feed.tell() == (Position("a", 2), b"")
    room.now_s = 30.0
    room.feed.moved(at_s=28.5)
    room.feed.repair()
    assert room.feed.tell() == (Position("a", 2), b"1500")
    room.feed.snapshot_came(StoreUnavailable("away"))
    room.feed.repair()
    room.now_s = 31.0
    assert room.feed.tell() == (Position("a", 2), b"2500")
    room.feed.snapshot_came(stored(3))
    assert (room.feed.tell(), ann.texts()) == ((Position("a", 3), b""), ["a3"])


def test_a_claim_stays_until_commands_and_channel_lead_to_the_same_server() -> None:
    room = Room().at(2)
    live_member(room.feed)
    room.feed.moved(0.0)
    room.feed.start_reading()
    room.feed.tell()
    room.feed.snapshot_came(stored(3), is_settled=False)
    assert (room.feed.claim[1], room.reads) == (b"0", 1), "no need to ask the wrong server again"
    room.feed.start_reading()
    room.feed.tell()
    room.feed.snapshot_came(stored(3), is_settled=True)
    assert (room.feed.claim[1], room.reads) == (b"", 2)


def test_after_a_move_nothing_is_delivered_that_no_snapshot_has_confirmed() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed)
    room.feed.moved(0.0)
    room.hears(3)
    assert (ann.texts(), room.feed.position) == ([], Position("a", 2))
    room.feed.repair()
    room.feed.tell()
    room.hears(4)
    room.feed.snapshot_came(stored(3), is_settled=False)
    assert (ann.texts(), room.feed.is_unsure) == (["a3"], True), "the channel leads elsewhere still"
    room.feed.repair()
    room.feed.tell()
    room.hears(5)
    room.feed.snapshot_came(stored(4), is_settled=True)
    room.hears(6)
    assert ann.texts() == ["a3", "a4", "a5", "a6"]


def test_a_snapshot_that_was_asked_for_before_a_move_confirms_nothing() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed)
    room.feed.repair()
    room.feed.tell()
    room.feed.moved(0.0)
    room.hears(3)
    room.feed.snapshot_came(stored(2), is_settled=True)
    assert (ann.texts(), room.feed.is_unsure) == ([], True)


def test_claims_of_several_epochs_are_told_one_after_another() -> None:
    room = Room().at(2)
    live_member(room.feed)
    room.feed.acknowledged("z", 7, text(7, "z"))
    room.feed.moved(0.0)
    room.feed.start_reading()
    assert room.feed.tell()[0] == Position("a", 2)
    room.feed.snapshot_came(stored(2))
    assert room.reads == 2
    assert room.feed.tell()[0] == Position("z", 7)
    room.feed.snapshot_came(stored(2))
    assert (room.reads, room.feed.claim[1]) == (2, b"")


def test_a_room_without_members_still_tells_what_it_has_seen() -> None:
    room = Room().at(2)
    room.feed.moved(0.0)
    room.feed.repair()
    assert room.reads == 1


def test_another_server_that_no_longer_shows_the_last_message_must_begin_a_new_epoch() -> None:
    room = Room().at(2)
    live_member(room.feed)
    room.feed.repair()
    room.feed.snapshot_came(stored(4, count=2))
    assert room.feed.claim[1] == b"", "the same server only trimmed it"
    room.feed.moved(0.0)
    room.feed.repair()
    room.feed.snapshot_came(stored(7, count=2))
    assert (room.feed.claim[1][:5], room.reads) == (OTHER, 3)


def test_a_position_that_another_worker_tells_is_read_unless_it_is_known() -> None:
    room = Room().at(2)
    live_member(room.feed)
    room.feed.receive([b"a:2", b"a:1", b"nonsense", b"", b"\xff:x"])
    assert room.reads == 0
    room.feed.receive([b"b:2"])
    assert room.reads == 1


def test_an_acknowledged_position_counts_as_seen_before_it_is_heard() -> None:
    room = Room().at(5)
    room.feed.acknowledged("a", 7, text(7))
    assert (room.feed.claim[0], room.feed.position) == (Position("a", 7), Position("a", 5))
    room.feed.acknowledged("b", 9, text(9))
    assert room.feed.claim[0] == Position("a", 5), "of another epoch nothing is known"


def test_a_new_epoch_takes_the_prepared_command_away_that_would_use_it_twice() -> None:
    room = Room().at(5)
    room.feed.publish_head = b"prepared"
    room.feed.start_reading()
    room.feed.snapshot_came(stored(5))
    assert room.feed.publish_head == b"prepared"
    room.feed.start_reading()
    room.feed.snapshot_came(stored(1, epoch="b"))
    assert room.feed.publish_head is None


def test_a_repair_during_a_read_reads_once_more() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed)
    room.feed.start_reading()
    room.feed.repair()
    room.feed.repair()
    room.feed.snapshot_came(stored(2))
    assert room.reads == 2
    room.feed.snapshot_came(stored(3))
    assert (ann.texts(), room.reads) == (["a3"], 2)


def test_a_failed_read_loses_nothing_that_a_later_one_finds() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed)
    room.hears(5)
    room.feed.snapshot_came(StoreUnavailable("away"))
    room.feed.repair()
    room.feed.snapshot_came(stored(5))
    assert (ann.texts(), room.reads) == (["a3", "a4", "a5"], 2)


def test_a_room_without_members_reads_nothing_and_begins_anew() -> None:
    room = Room().at(2)
    room.hears(3, 7, 8)
    room.feed.repair()
    assert (room.reads, room.feed.is_idle, room.feed.position.epoch) == (0, True, "")


def test_a_notice_goes_to_all_but_one_and_changes_no_position() -> None:
    room = Room().at(2)
    _, ann = live_member(room.feed, "s1")
    _, ben = live_member(room.feed, "s2", is_direct=False)
    notice = b'{"message":"cy has joined the room","username":"ChatBot","__createdtime__":1,"room":"tea"}'
    room.feed.receive([live(3), b"-s2 " + notice, live(4), b"- " + notice])
    joined = "cy has joined the room"
    assert (ann.texts(), ben.texts()) == (["a3", joined, "a4", joined], ["a3", "a4", joined])
    assert (room.feed.position, room.reads) == (Position("a", 4), 0)


def test_members_over_polling_and_websocket_see_the_same() -> None:
    room = Room().at(0)
    _, ann = live_member(room.feed, "s1")
    _, ben = live_member(room.feed, "s2", is_direct=False)
    room.hears(1)
    room.hears(2, 3)
    assert ann.packets == ben.packets
    assert len(ann.packets) == 3


def test_a_socket_that_changes_its_way_of_writing_is_looked_at_again() -> None:
    room = Room().at(0)
    _, ann = live_member(room.feed, is_direct=False)
    room.hears(1)
    ann.upgraded = True
    room.feed.refresh_targets()
    room.hears(2)
    assert ann.texts() == ["a1", "a2"]


def test_one_who_left_gets_nothing_more() -> None:
    room = Room().at(0)
    member, ann = live_member(room.feed)
    _, ben = live_member(room.feed, "s2")
    room.hears(1)
    room.feed.remove(member)
    room.hears(2)
    assert (ann.texts(), ben.texts()) == (["a1"], ["a1", "a2"])
    assert not member.is_live


def test_an_old_membership_does_not_remove_its_successor() -> None:
    room = Room().at(0)
    old, _ = live_member(room.feed)
    _, new = live_member(room.feed)
    room.feed.remove(old)
    room.hears(1)
    assert new.texts() == ["a1"]
    assert not isinstance(member_of(room.feed, Recorder()).position, Position)
