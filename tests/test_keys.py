"""Names in Redis: the seed's list keeps its name, and a room's keys share one Cluster slot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis.crc import key_slot

from gateway import keys

ROOMS = ["tea", "a b", "茶室", "x" * 128, "a:b", "live", "}:live".replace("}", ""), "0"]


@pytest.mark.parametrize("room", ROOMS)
def test_the_history_has_the_name_that_the_old_service_gave_it(room: str) -> None:
    assert keys.history(room) == b"chat_history_" + room.encode()


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_keys_and_channel_share_its_lists_slot(room: str) -> None:
    names = [
        keys.meta(room),
        keys.idempotency(room, "k"),
        keys.members(room, "w1"),
        keys.members(room, "w2"),
        keys.older_members(room),
        keys.users(room),
        keys.live(room),
        keys.slow(room, "7", "ann"),
        keys.slow(room, "", "7"),
    ]
    assert {key_slot(name) for name in names} == {key_slot(keys.history(room))}
    assert len({keys.history(room), *names}) == 10


@pytest.mark.parametrize("key", ["k", "{other}", "}", "a:b", "ä"])
def test_an_idempotency_key_may_be_anything_without_leaving_the_slot(key: str) -> None:
    assert key_slot(keys.idempotency("tea", key)) == key_slot(keys.history("tea"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_live_channel_is_a_rooms(room: str) -> None:
    assert not keys.is_plain(keys.live(room))


def test_channels_of_no_room_are_plain_and_workers_keys_are_their_own() -> None:
    assert keys.is_plain(keys.SOCKETIO_CHANNEL)
    assert keys.is_plain(keys.worker_probe("w1"))
    assert keys.worker_rooms("w1") != keys.worker_rooms("w2")
    assert keys.SOCKETIO_CHANNEL == b"socketio"


# -- a prefix


def names(room: str) -> list[bytes]:
    """All names but the history's."""
    beside = [
        keys.meta(room),
        keys.idempotency(room, "k"),
        keys.members(room, "w1"),
        keys.users(room),
        keys.live(room),
    ]
    others = [
        keys.worker_rooms("w1"),
        keys.worker_probe("w1"),
        keys.slot_probe(b"t", "w1"),
        keys.check(b"word"),
    ]
    return [
        keys.WORKERS,
        keys.SOCKETIO_CHANNEL,
        *beside,
        keys.older_members(room),
        keys.OLDER_WORKERS,
        *others,
    ]


@pytest.fixture
def no_prefix_afterwards() -> Iterator[None]:
    yield
    keys.use_prefix("", False)


@pytest.mark.usefixtures("no_prefix_afterwards")
@pytest.mark.parametrize("is_historys_too", [False, True])
@pytest.mark.parametrize("room", ROOMS)
def test_a_prefix_is_on_every_name_and_on_the_historys_only_where_asked(
    room: str, is_historys_too: bool
) -> None:
    plain = names(room)
    keys.use_prefix("app1:", is_historys_too)
    found = names(room)
    assert not set(found) & set(plain)
    beside = found[2:7]
    if is_historys_too:
        assert keys.history(room) == b"app1:chat_history_" + room.encode()
        assert all(name.startswith(b"{app1:chat_history_") for name in beside)
    else:
        assert keys.history(room) == b"chat_history_" + room.encode()
        assert found == [b"app1:" + name for name in plain]
    assert {key_slot(name) for name in beside} == {key_slot(keys.history(room))}
    assert [keys.is_plain(name) for name in (found[0], found[1], found[6], keys.worker_probe("w1"))] == [
        True, True, False, True,
    ]  # fmt: skip
    keys.use_prefix("", False)
    assert names(room) == plain
