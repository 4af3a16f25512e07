"""Names: one spelling, what looks alike, and what cannot be seen."""

from __future__ import annotations

import random
import time
import unicodedata

import pytest

from gateway.client_events import Join, parse
from gateway.names import DECOMPOSED_MOST, is_visible, look_alike, normal_form, skeletons
from gateway.option_groups import Sizes
from gateway.protocol import Refusal

SIZES = Sizes()


def joined(username: str, room: str = "tea") -> Join:
    event = parse("join", [{"username": username, "room": room}], SIZES)
    assert isinstance(event, Join)
    return event


def code_of(username: str, room: str = "tea") -> str:
    with pytest.raises(Refusal) as refused:
        joined(username, room)
    return refused.value.code


# -- one spelling

SPELLINGS = [
    ("José", "Jose\u0301"),
    ("Å", "A\u030a"),
    ("Å", "\u212b"),
    ("한", "\u1112\u1161\u11ab"),
    ("ệ", "e\u0302\u0323"),
    ("ᾂ", "α\u0313\u0300\u0345"),
]


@pytest.mark.parametrize(("composed", "other"), SPELLINGS)
def test_two_spellings_are_one_room_and_one_name(composed: str, other: str) -> None:
    assert composed != other
    assert joined(other, other) == joined(composed, composed) == Join(composed, composed, None)


@pytest.mark.parametrize(
    "name", ["ann", "Ann Lee", "茶室", "José", "👩‍👩‍👧", "🇩🇪", "a.b-c_d:e", "Ω", "ſ", "ﬁ"]
)
def test_what_is_in_its_one_spelling_stays_letter_by_letter(name: str) -> None:
    assert joined(name, name) == Join(name, name, None)


def test_lengths_count_in_the_one_spelling() -> None:
    assert joined("e\u0301" * 64).username == "é" * 64
    assert joined("α\u0313\u0300\u0345" * 64).username == "ᾂ" * 64
    assert code_of("e\u0301" * 65) == "too_large"
    assert code_of("ann", "e\u0301" * 129) == "too_large"


def test_a_name_that_takes_long_to_spell_is_refused_unspelt() -> None:
    marks = "\u0301\u0323" * 16_000  # putting these into order takes seconds
    began_s = time.process_time()
    with pytest.raises(Refusal, match="has 32001 characters; 64 are allowed"):
        joined("e" + marks)
    longest = "e" + ("\u0301\u0323" * 4096)[: 1024 * DECOMPOSED_MOST - 1]
    normal_form(longest)
    assert time.process_time() - began_s < 0.5


def test_no_character_is_decomposed_into_more_than_is_allowed_for() -> None:
    assert max(len(unicodedata.normalize("NFD", chr(n))) for n in range(0x30000)) == DECOMPOSED_MOST


# -- what looks alike

IMITATIONS = [
    "ChatBot", "chatbot", "CHATBOT", "Chat Bot", " ChatBot ", "Chat\u00a0Bot", "Chat\u3000Bot",
    "Chat\u200bBot", "Chat\u200dBot", "Chat\u00adBot", "Chat\u2060Bot", "\ufeffChatBot", "Chat\u034fBot",
    "\u202eChatBot\u202c", "\u2066ChatBot\u2069", "ChatBot\ufe0f", "Chat\U000e0041Bot", "Chat\u3164Bot",
    "ChatВot", "СhаtВоt", "ϹhatBot", "CһatBot", "ChatBοt", "ChatBσt", "ChatΒot", "CʜatBot", "ꓚꓧꓮꓔꓐꓳꓔ", "Ꮯhatbot",
    "ＣｈａｔＢｏｔ", "𝐂𝐡𝐚𝐭𝐁𝐨𝐭", "𝒞𝒽𝒶𝓉𝐵𝑜𝓉", "ⓒⓗⓐⓣⓑⓞⓣ", "🅒🅗🅐🅣🅑🅞🅣", "🄲🄷🄰🅃🄱🄾🅃", "ChatB0t", "ChatB𝟬t",
]  # fmt: skip


@pytest.mark.parametrize("name", IMITATIONS)
def test_nobody_joins_as_the_system_or_as_what_looks_like_it(name: str) -> None:
    assert code_of(name) == "name_taken_by_system"
    assert look_alike(name, "ChatBot")


OTHERS = ["ChatBots", "Chat", "Bot", "Chätbot", "Cat Bot", "ChatBit", "Chatbot2", "聊天机器人", "Chat-Bot"]


@pytest.mark.parametrize("name", OTHERS)
def test_a_name_that_looks_different_is_free(name: str) -> None:
    assert joined(name).username == name


PAIRS = [
    ("Alice", "AIice"), ("Alice", "A1ice"), ("Alice", "A|ice"), ("Bill", "BiII"), ("Harry", "ΗARRY"), ("Nick", "Νick"),
    ("Victor", "νictor"), ("Νίκη", "ΝΊΚΗ"), ("Yuri", "Υuri"), ("Moe", "rnoe"), ("Walter", "VValter"), ("Otto", "0tt0"),
    ("José", "Jose\u0301"), ("José", "JOSÉ"), ("Strauß", "STRAUSS"), ("Иван", "ИВАН"), ("Igor", "İgor"), ("Ira", "ıra"),
    ("Ada", "ᴀᴅᴀ"), ("Ada", "Аdа"), ("Ada", "Ad\u2062a"), ("fine", "ﬁne"), ("XIV", "ⅩⅠⅤ"), ("Øre", "øre"), ("Jo", "jo"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_names_that_may_be_taken_for_each_other_share_a_skeleton(one: str, other: str) -> None:
    assert look_alike(one, other)
    assert look_alike(other, one)


DIFFERENT = [
    ("José", "Jose"), ("Ann", "Anna"), ("Иван", "Игорь"), ("茶", "室"), ("ann", "ben"), ("user1", "user2"),
    ("user10", "user11"), ("👩", "👨"), ("Анна", "Инна"), ("Νίκος", "Νίκη"), ("Müller", "Muller"), ("a_b", "ab"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_names_that_differ_to_the_eye_do_not(one: str, other: str) -> None:
    assert not look_alike(one, other)


def test_there_are_at_most_two_skeletons_and_each_is_its_own() -> None:
    chance = random.Random(9)
    for _ in range(5000):
        name = "".join(chr(chance.randrange(32, 0x30000)) for _ in range(chance.randrange(1, 9)))
        found = skeletons(name)
        assert len(found) <= 2
        assert bool(found) is is_visible(name) or not found
        assert look_alike(name, name)


# -- what cannot be seen

UNSEEN = [
    " ", "   ", "\u00a0", "\u2003", "\u3000", "\u200b", "\u200b\u200d", "\u2060", "\ufeff", "\u00ad", "\u202e",
    "\u3164", "\u115f\u1160", "\uffa0", "\u2800", "\ufe0f", "\U000e0041", "\u034f", "\u180e", "\u2028", " \u200b ",
]  # fmt: skip


@pytest.mark.parametrize("name", UNSEEN)
def test_names_of_nothing_that_can_be_seen_are_refused(name: str) -> None:
    assert code_of(name) == "bad_request"
    assert code_of("ann", name) == "bad_request"
    assert skeletons(name) == ()


@pytest.mark.parametrize("name", [".", "0", "é", "茶", "👋", "\u0301", "a\u200b"])
def test_what_can_be_seen_is_a_name(name: str) -> None:
    assert is_visible(name)
