"""Caller's words made comparable: folded letters, words with their places in the original, and where speech breaks off.

Everything that reads words for safety starts here, so that homoglyphs, invisible characters, curly quotes and accents change nothing
about what is found, and so that evidence always points into the text as it came in.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_INVISIBLE = {"Cf", "Cc", "Mn", "Me", "Cs", "Co", "Cn"}
_LOOKALIKES = str.maketrans(
    # Cyrillic and Greek letters that look like Latin ones, and the marks that stand for an apostrophe.
    "аеорсухіјѕԁһӏкмтвнгпαοερυιντκχβη’‘ʼ＇`´ʹ",
    "aeopcyxijsdhlkmtbhrnaoepuivtkxbn'''''''",
)
_SPLIT_LETTERS = {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l", "ß": "ss", "ı": "i"}
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_BREAK = re.compile(r"[;!?…\n()\[\]\"“”—–|]|(?<!\d)[.,:/]|[.,:/](?!\d)|\s-\s")


@dataclass(frozen=True, slots=True)
class Token:
    """One word: folded, where it stands in the original text (`original[start:end]`), and whether speech breaks off before it."""

    word: str
    start: int
    end: int
    after_break: bool


@dataclass(frozen=True, slots=True)
class Words:
    """A text and its words.

    Attributes:
        original: the text as it came in.
        folded: lower case, without accents, homoglyphs and invisible characters; words in it stand in the order of `tokens`.
        tokens: the words. Numbers with a decimal point are one word each side of it; `folded` holds them whole.
        places: for each character of `folded`, its place in `original`.
    """

    original: str
    folded: str
    tokens: tuple[Token, ...]
    places: tuple[int, ...]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The place in `original` of `folded[start:end]`."""
        return self.places[start], self.places[end - 1] + 1


def fold(text: str) -> tuple[str, tuple[int, ...]]:
    """Lower-case letters without accents, look-alikes and invisible characters, and each one's place in `text`."""
    if text.isascii():
        return _tab_free(text.lower()), tuple(range(len(text)))
    letters: list[str] = []
    places: list[int] = []
    for place, letter in enumerate(text):
        for plain in _plain(letter):
            letters.append(plain)
            places.append(place)
    return _tab_free("".join(letters)), tuple(places)


def read(text: str) -> Words:
    """Fold `text` and find its words."""
    folded, places = fold(text)
    tokens: list[Token] = []
    last = 0
    for match in _WORD.finditer(folded):
        start, end = match.span()
        spaced = start - last == 1 and folded[last] == " "  # nearly always; no mark to look for
        broken = not tokens or (not spaced and bool(_BREAK.search(folded, last, start + 1)))
        tokens.append(Token(match.group(), places[start], places[end - 1] + 1, broken))
        last = end
    return Words(text, folded, tuple(tokens), places)


def _plain(letter: str) -> str:
    if letter.isascii():
        return letter.lower()
    if letter.isspace():
        return "\n" if letter in "\u2028\u2029\x85" else " "
    plain = []
    for part in unicodedata.normalize("NFKD", letter).lower().translate(_LOOKALIKES):
        category = unicodedata.category(part)
        if category == "So":  # an emoji parts words
            plain.append(" ")
        elif category not in _INVISIBLE:
            plain.append(_SPLIT_LETTERS.get(part, part))
    return "".join(plain)


def _tab_free(text: str) -> str:
    return text.translate(_CONTROLS)


_CONTROLS = {code: " " for code in range(32) if code != 10}
