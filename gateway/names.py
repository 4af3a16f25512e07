"""Names as people see them: which spellings are one name, which names look alike, and which cannot be seen.

Owns the normal form of names of rooms and users, and the skeleton by which two names are compared that must not be
taken for each other. Functions of values. The idea and the name of the skeleton are those of UTS #39; the table is our
own, and small: letters of other alphabets, and of mathematics, that look like those of the Latin one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

DECOMPOSED_MOST = 4
"""Into how many characters one character of the composed form (NFC) can be decomposed: Greek letters with three marks
are the longest."""

REMEMBERED_NAMES = 4096
"""Names whose skeletons are kept: people join more than one room, and come back."""

_LOOK_ALIKES = {
    "a": "АаΑαɑᴀᎪꓮⲀⲁ",
    "b": "ВвЬьΒβƄƅʙᏴꓐⲂⲃ",
    "c": "СсϹϲᴄᏟꓚⲤⲥ",
    "d": "ԁᴅᎠꓓ",
    "e": "ЕеΕɛεᴇᎬꓰⲈⲉєЄ",
    "f": "ϜϝꓝꞘꞙ",
    "g": "ɡɢցԌԍᏀꓖ",
    "h": "НнΗһҺհʜᎻꓧⲎⲏ",
    "i": "ІіΙιıɪɩᎥꓲⲒⲓ",
    "j": "ЈјϳʝᴊᎫꓙ",
    "k": "КкΚκᴋᏦꓗⲔⲕ",
    "l": "ӀӏǀʟᏞꓡԼ|",
    "m": "МмΜᴍᎷꓟⲘⲙ",
    "n": "ΝηпոռɴꓠⲚⲛ",
    "o": "ОоΟοσօՕᴏꓳⲞⲟ",
    "p": "РрΡρᴘᏢꓑⲢⲣ",
    "q": "ԛզ",
    "r": "гʀᎡᏒꓣ",
    "s": "ЅѕꜱᏚꓢՏ",
    "t": "ТтΤτᴛᎢꓔⲦⲧ",
    "u": "υμսՍᴜꓴ",
    "v": "νѴѵᴠᏙꓦ",
    "w": "ԜԝωᴡᏔꓪ",
    "x": "ХхΧχꓫⲬⲭ",
    "y": "УуΥγүҮʏꓬⲨⲩ",
    "z": "ΖᴢᏃꓜ",
}
"""Letters of the Cyrillic, Greek, Armenian, Cherokee, Lisu and Coptic alphabets, and small capitals, by the Latin
letter that they look like. A capital and its small letter may look like different ones: Ν like N, ν like v."""

_SAME_LETTERS = str.maketrans({"i": "l", "1": "l", "|": "l", "0": "o"})
_SAME_PAIRS = (("rn", "m"), ("vv", "w"))
_SOFT_DOT = "\u0307"
"""A dot above; over an i or a j nobody sees it."""

_UNSEEN_CATEGORIES = frozenset(("Cc", "Cf", "Zs", "Zl", "Zp"))
_UNSEEN_RANGES = (
    (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2065, 0x2065), (0x2800, 0x2800),
    (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF),
)  # fmt: skip
"""What is not drawn though its category does not say so: default ignorables (joiners, fillers, selectors of variants,
tags), and the empty pattern of Braille."""


def _letters() -> Iterator[tuple[str, str]]:
    for latin, others in _LOOK_ALIKES.items():
        yield from ((other, latin) for other in others)
    for place in range(26):  # white letters in black circles and squares, which no normal form replaces
        yield chr(0x1F150 + place), chr(ord("a") + place)
        yield chr(0x1F170 + place), chr(ord("a") + place)


_LATIN = str.maketrans(dict(_letters()))


def normal_form(name: str) -> str:
    """The one spelling (NFC) of a name that can be written in several: é is one character, or an e and an accent."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def is_visible(name: str) -> bool:
    """Whether there is anything in a name that can be seen."""
    if name.isascii() and name.isprintable():
        return not name.isspace()
    return any(map(_is_seen, name))


def _is_seen(letter: str) -> bool:
    if letter.isascii():
        return "!" <= letter <= "~"
    if unicodedata.category(letter) in _UNSEEN_CATEGORIES:
        return False
    number = ord(letter)
    return not any(first <= number <= last for first, last in _UNSEEN_RANGES)


@lru_cache(REMEMBERED_NAMES)
def skeletons(name: str) -> tuple[str, ...]:
    """What is left of a name when all is taken away that a reader may not notice: one text, or two where the capitals
    look like other letters than the small ones. Names that share one look alike. Empty for what cannot be seen.

    Example: "ChatBot", "chat bot", "ChatВot" with a Cyrillic В and "Chat\u200bBot" all give "chatbot".
    """
    if name.isascii():
        found = {_joined(name.lower())}
    else:
        looks = unicodedata.normalize("NFKD", name.translate(_LATIN)).translate(_LATIN)
        as_written, as_small = _folded(looks), _folded(unicodedata.normalize("NFKD", name)).translate(_LATIN)
        found = {_joined(as_written.translate(_LATIN)), _joined(as_small)}
    return tuple(sorted(found - {""}))


def look_alike(one: str, other: str) -> bool:
    """Whether two names can be taken for each other."""
    return one == other or not set(skeletons(one)).isdisjoint(skeletons(other))


def _folded(text: str) -> str:
    """Without the difference of capitals; decomposed again, because folding composes."""
    return unicodedata.normalize("NFKD", text.casefold())


def _joined(text: str) -> str:
    """Without what cannot be seen, and with one letter for all that look like it."""
    seen = "".join(filter(_is_seen, text)).replace("i" + _SOFT_DOT, "i").replace("j" + _SOFT_DOT, "j")
    seen = seen.translate(_SAME_LETTERS)
    for pair, letter in _SAME_PAIRS:
        seen = seen.replace(pair, letter)
    return seen
