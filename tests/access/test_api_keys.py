"""Keys of backends: their form, what they allow, and that a look-up says nothing by its time."""

from __future__ import annotations

import hashlib
import math
import random
import re
import statistics
import time

import pytest

from gateway.access.api_keys import (
    ALL_ROOMS,
    SCOPES,
    ApiKey,
    ApiKeys,
    ConfiguredKey,
    KeysRefused,
    digest_of,
    new_key,
)
from gateway.api_key_options import read_hash, read_name
from gateway.option_types import NotAllowed


def configured(name: str, key: str, place: str = "here", rooms: tuple[str, ...] = ALL_ROOMS) -> ConfiguredKey:
    return ConfiguredKey(ApiKey(name, frozenset(SCOPES), rooms), digest_of(key), place)


def test_a_new_key_is_its_prefix_and_32_random_bytes() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"gwk_[A-Za-z0-9_-]{43}", each) for each in made)


def test_a_key_is_found_by_what_is_presented_and_by_nothing_else() -> None:
    made = [new_key() for _ in range(5)]
    keys = ApiKeys(configured(f"backend-{number}", key) for number, key in enumerate(made))
    for number, key in enumerate(made):
        found = keys.find(key)
        assert found is not None
        assert found.name == f"backend-{number}"
    for wrong in ("", "gwk_", made[0][:-1], made[0] + " ", made[0].upper(), "é" * 9, "\ud83d", "x" * 100_000):
        assert keys.find(wrong) is None


def test_without_keys_nothing_is_found() -> None:
    assert ApiKeys().is_empty
    assert ApiKeys().find(new_key()) is None
    assert not ApiKeys([configured("a", "b")]).is_empty


def test_a_scope_and_a_room_are_both_needed() -> None:
    key = ApiKey("backend", frozenset({"publish", "read"}), ("support:**", "lobby"))
    assert key.allows("publish", "lobby")
    assert key.allows("read", "support:7:today")
    assert not key.allows("read", "support")
    assert not key.allows("read", "other")
    assert not key.allows("moderate", "lobby")
    assert not key.allows("admin", "lobby")


def test_what_is_about_no_room_takes_a_key_for_all_rooms() -> None:
    assert ApiKey("a", frozenset({"moderate"})).allows("moderate", None)
    assert not ApiKey("a", frozenset({"moderate"}), ("a:**",)).allows("moderate", None)
    assert not ApiKey("a", frozenset({"read"})).allows("moderate", None)


def test_no_scope_holds_another_one() -> None:
    for scope in SCOPES:
        key = ApiKey("a", frozenset({scope}))
        assert [other for other in SCOPES if key.allows(other, "r")] == [scope]


def test_two_keys_of_one_name_and_one_key_of_two_names_are_refused() -> None:
    first = configured("a", "1", "line 3")
    with pytest.raises(
        KeysRefused, match=r"^the name of the API key 'a' \(line 9\) stands already at line 3$"
    ):
        ApiKeys([first, configured("a", "2", "line 9")])
    with pytest.raises(
        KeysRefused, match=r"^the hash of the API key 'b' \(line 9\) stands already at line 3$"
    ):
        ApiKeys([first, configured("b", "1", "line 9")])


def test_more_keys_than_a_request_can_be_compared_with_are_refused() -> None:
    with pytest.raises(KeysRefused, match="more than 1000"):
        ApiKeys(configured(f"k{number}", f"{number}") for number in range(1001))


def test_a_hash_is_64_digits_and_its_error_does_not_repeat_it() -> None:
    key = new_key()
    digits = hashlib.sha256(key.encode()).hexdigest()
    assert read_hash(digits) == read_hash(digits.upper()) == digest_of(key)
    for wrong in ("", key, digits[:-1], digits + "0", "g" * 64, " " + digits[1:]):
        with pytest.raises(NotAllowed, match="64 hexadecimal digits") as refused:
            read_hash(wrong)
        assert key not in str(refused.value)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a:b", "a{b}", "é", "a" * 65, "a\n"])
def test_a_name_that_could_be_something_else_in_redis_is_refused(name: str) -> None:
    with pytest.raises(NotAllowed, match="1 to 64"):
        read_name(name)
    assert read_name("backend-1.eu_west") == "backend-1.eu_west"


def test_neither_a_hash_nor_a_key_is_shown_where_keys_are_printed() -> None:
    each = configured("a", "secret")
    assert repr(each.digest) not in repr(each)
    assert each.digest.hex() not in repr(each)


def _welch(first: list[float], second: list[float]) -> float:
    error = math.sqrt(statistics.variance(first) / len(first) + statistics.variance(second) / len(second))
    return (statistics.fmean(first) - statistics.fmean(second)) / error


@pytest.mark.long
def test_the_time_of_a_look_up_does_not_tell_how_near_a_key_was() -> None:
    """Kinds of wrong keys in random order, and nothing in the loop that knows the kind: Welch's t of each against
    random keys is below 4.5."""
    chance = random.Random(5)
    made = [new_key() for _ in range(20)]
    keys = ApiKeys(configured(f"k{number}", key) for number, key in enumerate(made))
    begins = {"random": "", "near the first": made[0][:-4], "near the last": made[-1][:-4]}
    kinds = [chance.choice(list(begins)) for _ in range(200_000)]
    taken: list[float] = []
    for text in [(begins[kind] + new_key())[:43] + new_key()[-4:] for kind in kinds]:
        begun = time.perf_counter_ns()
        keys.find(text)
        taken.append(time.perf_counter_ns() - begun)
    cut = sorted(taken)[int(len(taken) * 0.9)]
    kept = {kind: [each for each, its in zip(taken, kinds, strict=True) if its == kind and each <= cut]
            for kind in begins}  # fmt: skip
    figures = {kind: round(_welch(kept["random"], found), 2) for kind, found in kept.items()}
    print(figures)
    assert all(abs(figure) < 4.5 for figure in figures.values()), figures
