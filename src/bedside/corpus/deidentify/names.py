"""Names of people: by the words before them, by the gazetteers, by being unknown capitalised words, and spelled out letter by letter.

In text with capitals a run of capitalised words is a name if one of them can be; in transcripts, where capitals tell nothing, a word has to be
known as a name, or to stand behind a cue. What was found once is found everywhere in the record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

from bedside.corpus.deidentify.data import read_yaml
from bedside.corpus.deidentify.phrases import Phrases
from bedside.corpus.deidentify.reading import Reading, Word
from bedside.corpus.deidentify.spans import Span
from bedside.corpus.deidentify.words import CLINICAL, GIVEN, NAME, NEVER, ORDINARY, SHAPED, SURNAME, WORD, bits_of, clinical_heads

_LONGEST = 6
_SENTENCE_ENDS = re.compile(r"[.!?:;\n•\"“(\[>|*\-–]\s*$")
_DOSE = re.compile(r"\s?(?:\d|mg|mcg|®|™)")
_LETTER = r"(?:[a-z](?:\s(?:for|as\sin)\s[a-z]+)?|double\s[a-z]|capital\s[a-z]|apostrophe|hyphen|dash)"
_SPELLED = re.compile(rf"(?<![\w'’.])(?:{_LETTER})(?:[\s,.\-]{{1,2}}{_LETTER}){{2,}}(?![\w'’])")
_SPELL_CUE = re.compile(r"(?:spell\w*|spelt|that's|name(?:'s| is)?|surname|is)[\s,:]*$")
_FILLERS = frozenset(("um", "uh", "is", "are"))
_LEADS = {
    "titles": re.compile(r"\.?\s{1,2}|\.|\.?\s\("),
    "told": re.compile(r"\s*[:,=]?\s{0,3}"),
    "field": re.compile(r"\s*[:=]\s*"),
    "near": re.compile(r"[,!:]?\s+|[,.!]?\s*\n\s*"),
    "met": re.compile(r"(?:'s)?[,!:]?\s+|[,.!]?\s*\n\s*"),
    "kin": re.compile(r"(?:,|'s name is)?\s{1,2}|\s\("),
}
"""What may stand between a cue and the name."""
_PERSON_VERBS = frozenset(
    [
        "presented",
        "presents",
        "attended",
        "attends",
        "called",
        "calls",
        "rang",
        "is",
        "was",
        "has",
        "had",
        "says",
        "said",
        "reports",
        "reported",
        "denies",
        "states",
        "stated",
        "lives",
        "works",
        "came",
        "went",
        "wants",
        "needs",
        "asked",
        "told",
        "complains",
        "and",
        "who",
        "whose",
    ]
)

_Test = Callable[[Word], bool]


@cache
def _cues() -> Phrases:
    return Phrases({label: phrases for label, phrases in read_yaml("name_cues.yaml").items() if label not in ("after", "particles")})


@cache
def _particles() -> frozenset[str]:
    return frozenset(read_yaml("name_cues.yaml")["particles"])


@cache
def _after() -> frozenset[str]:
    return frozenset(read_yaml("name_cues.yaml")["after"])


def find_names(reading: Reading) -> Iterator[Span]:
    """Names of patients, relatives, doctors and staff."""
    found = [*_cued(reading), *_plain(reading)]
    yield from found
    yield from _repeated(reading, found)
    yield from _spelled(reading, found)


def _cued(reading: Reading) -> Iterator[Span]:
    words = reading.words
    for cue, first, index in _cues().find(reading):
        if index < len(words) and words[index].key in _FILLERS:
            index += 1
        if index == len(words) or not _LEADS[cue].fullmatch(words[index].gap):
            continue
        written_title = cue == "titles" and words[first].capital and reading.cased
        if count := _run(reading, index, _tests(reading, cue, written_title)):
            yield _span(reading, index, count, 0.8 if cue in ("met", "near") else 0.93)


def _tests(reading: Reading, cue: str, written_title: bool) -> _Test:
    """What the first word behind a cue has to be."""

    def capital(word: Word) -> bool:
        if word.initial:
            return written_title and word.key != "i"
        if cue == "told" or written_title:
            return word.key != "i"
        return _can_be(word)

    def spoken(word: Word) -> bool:
        if not word.bits & ~SHAPED:
            return cue in ("told", "titles", "kin") or (cue != "near" and not word.bits and _unknown_is_name(reading, word))
        if cue == "told":
            return word.key in _mild() or (
                not word.bits & (NEVER | CLINICAL) and (bool(word.bits & NAME) or _unknown_follows(reading, word))
            )
        wanted = GIVEN if cue in ("near", "field") or (cue == "met" and word.bits & ORDINARY) else NAME
        return bool(word.bits & wanted) and not word.bits & (NEVER | CLINICAL)

    return lambda word: (
        word.key not in _cues_alone() and (capital(word) if reading.cased and word.capital else len(word.key) > 1 and spoken(word))
    )


@cache
def _cues_alone() -> frozenset[str]:
    """Titles, and other words that are cues themselves."""
    return frozenset(read_yaml("name_cues.yaml")["titles"])


@cache
def _mild() -> frozenset[str]:
    """Words that are names behind "my name is" alone."""
    return frozenset(
        (
            "grace",
            "may",
            "june",
            "april",
            "august",
            "mark",
            "bill",
            "will",
            "rose",
            "hope",
            "summer",
            "autumn",
            "frank",
            "earl",
            "duke",
            "dale",
            "glen",
            "gene",
            "drew",
            "pat",
            "sunny",
            "sandy",
            "rocky",
            "rob",
            "ray",
            "dong",
            "dung",
            "hung",
            "hang",
            "long",
            "song",
            "tan",
            "van",
        )
    )


def _can_be(word: Word) -> bool:
    if not word.bits & ~SHAPED:
        return len(word.key) > 2 and not _acronym(word)
    return bool(word.bits & NAME) and not word.bits & (NEVER | CLINICAL)


def _acronym(word: Word) -> bool:
    return len(word.text) < 6 and word.text.isupper()


def _unknown_is_name(reading: Reading, word: Word) -> bool:
    """An unknown word in lower case behind "this is": with a surname or the end of what is said behind it."""
    index = reading.index_at(word.start)
    following = reading.words[index + 1] if index + 1 < len(reading.words) else None
    return len(word.key) > 3 and (
        following is None
        or not following.close
        or following.key in _after()
        or bool(following.bits & SURNAME and not following.bits & NEVER)
        or not following.bits & ~SHAPED
    )


def _unknown_follows(reading: Reading, word: Word) -> bool:
    """Whether a word that no dictionary knows stands behind this one, as a surname may behind a given name that is an ordinary word."""
    following = reading.words[reading.index_at(word.start) + 1 :][:1]
    return bool(following) and following[0].close and not following[0].bits and len(following[0].key) > 3


def _run(reading: Reading, index: int, first: _Test) -> int:
    """How many words from `index` on are a name whose first word passes `first`."""
    words = reading.words
    start = index
    if (
        not first(words[index])
        and (behind := _behind_particles(words, index + 1))
        and words[index].key in _particles()
        and behind < len(words)
        and words[behind].close
    ):
        index = behind
    if not first(words[index]) or _clinical(reading, index):
        return 0
    end = index + 1
    while end < len(words) and end - start < _LONGEST and words[end].close:
        word = words[end]
        behind = _behind_particles(words, end)
        if end < behind < len(words) and _goes_on(reading, words[behind], words[end - 1]):
            end = behind + 1
        elif (word.initial and reading.cased) or _goes_on(reading, word, words[end - 1]):
            end += 1
        else:
            break
    if reading.cased and end < len(words) and _reversed(words[end - 1], words[end], end - start):
        end += 1
        while end < len(words) and words[end].close and words[end].capital and (words[end].initial or words[end].bits & GIVEN):
            end += 1
    return end - start


def _behind_particles(words: tuple[Word, ...], index: int) -> int:
    """The index behind words such as "van der" that lead on to another word."""
    end = index
    while end + 1 < len(words) and end - index < 3 and words[end].key in _particles() and words[end].close and words[end + 1].close:
        end += 1
    return end


def _reversed(surname: Word, given: Word, count: int) -> bool:
    """Whether `surname, given` is a name with the surname first."""
    if given.gap not in (", ", ",") or not given.capital or not surname.capital:
        return False
    shouted = surname.text.isupper() and len(surname.text) > 2 and not given.text.isupper()
    return (bool(given.bits & GIVEN) and (shouted or count == 1)) or (shouted and not given.bits & (NEVER | CLINICAL | WORD))


def _goes_on(reading: Reading, word: Word, before: Word) -> bool:
    """Whether a word may be the next of a name."""
    if reading.cased and before.capital:
        return word.capital and (bool(word.bits & NAME) or not word.bits & ~SHAPED) and word.key != "i"
    if not word.bits:
        return len(word.key) > 2
    return (
        bool(word.bits & NAME) and not word.bits & NEVER and (not word.bits & ORDINARY or bool(word.bits & SURNAME and before.bits & GIVEN))
    )


def _clinical(reading: Reading, index: int) -> bool:
    """Whether the word is part of a clinical term, such as "Bell's palsy"."""
    words = reading.words
    following = words[index + 1] if index + 1 < len(words) else None
    heads = following is not None and following.key in clinical_heads() and following.start - words[index].end < 4
    return heads or (not words[index].bits and _DOSE.match(reading.text, words[index].end) is not None)


def _plain(reading: Reading) -> Iterator[Span]:
    """Names without a cue."""
    words = reading.words
    index = 0
    while index < len(words):
        word = words[index]
        count = 0
        if word.bits & NAME or not word.bits or word.initial:
            confidence = _written(reading, index) if reading.cased and word.capital else _said(reading, index)
            if confidence and (count := _run(reading, index, lambda _: True)):
                yield _span(reading, index, count, confidence)
        index += count or 1


def _written(reading: Reading, index: int) -> float:
    """How sure a capitalised word begins a name; 0 for no name."""
    words = reading.words
    word = words[index]
    following = words[index + 1] if index + 1 < len(words) and words[index + 1].close and words[index + 1].capital else None
    next_is_name = following is not None and (
        (bool(following.bits & NAME) and not following.bits & (NEVER | CLINICAL)) or not following.bits
    )
    opens = index == 0 or (bool(_SENTENCE_ENDS.search(word.gap)) and not words[index - 1].initial)
    if word.initial:
        return (
            0.7
            if following is not None and following.bits & SURNAME and not following.bits & ORDINARY and word.key not in ("i", "a")
            else 0
        )
    if word.bits & CLINICAL:
        return 0.7 if word.bits & GIVEN and next_is_name and not opens else 0
    if word.bits & GIVEN and not word.bits & ORDINARY:
        return 0.85
    if word.bits & GIVEN and next_is_name:
        return 0.75 if not (opens and word.bits & NEVER) or (following is not None and not following.bits & ORDINARY) else 0
    if word.bits & SURNAME and not word.bits & ORDINARY:
        return 0.8 if next_is_name else 0.65
    if not word.bits:
        return _unknown(reading, index, opens, next_is_name)
    return 0.55 if word.bits & GIVEN and not opens and not word.bits & NEVER and not words[index - 1].capital else 0


def _unknown(reading: Reading, index: int, opens: bool, next_is_name: bool) -> float:
    words = reading.words
    word = words[index]
    if len(word.key) < 3 or _acronym(word) or not word.text[1:].replace("'", "").replace("-", "").isalpha():
        return 0
    if next_is_name:
        return 0.6
    verb = index + 1 < len(words) and words[index + 1].key in _PERSON_VERBS
    return 0.5 if not opens or verb else 0


def _said(reading: Reading, index: int) -> float:
    """How sure a word in lower case begins a name; 0 for no name."""
    words = reading.words
    word = words[index]
    following = words[index + 1] if index + 1 < len(words) and words[index + 1].close else None
    surname_follows = following is not None and bool(following.bits & SURNAME) and not following.bits & ORDINARY
    if word.bits & CLINICAL:
        return 0
    if word.bits & GIVEN and not word.bits & ORDINARY:
        return 0.8 if len(word.key) > 2 or surname_follows else 0
    if word.bits & GIVEN and surname_follows:
        return 0.75
    if (
        following is not None
        and following.key in _after()
        and len(word.key) > 3
        and (not word.bits or (word.bits & SURNAME and not word.bits & ORDINARY))
    ):
        return 0.7
    return 0


def _repeated(reading: Reading, found: list[Span]) -> Iterator[Span]:
    """Other places of the words of names that were found for sure."""
    sure = {
        word.key
        for span in found
        if span.confidence >= 0.7
        for word in _words_in(reading, span)
        if len(word.key) > 2 and not word.bits & NEVER
    }
    for index, word in enumerate(reading.words):
        if word.key in sure and ((word.capital and reading.cased) or not word.bits & ORDINARY) and not _clinical(reading, index):
            yield Span(word.start, word.end, "NAME", 0.7, "names")


def _spelled(reading: Reading, found: list[Span]) -> Iterator[Span]:
    """Letters of a name, behind it or behind a cue: "s m i t h", "o apostrophe b r i e n"."""
    ends = [span.end for span in found]
    for match in _SPELLED.finditer(reading.lower):
        letters = _letters(match.group())
        bits = bits_of(letters)
        cue = _SPELL_CUE.search(reading.lower[max(0, match.start() - 16) : match.start()])
        after_name = any(0 <= match.start() - end <= 25 for end in ends)
        if (
            not bits & CLINICAL
            and (cue or after_name or bits & NAME)
            and reading.text[match.end() : match.end() + 2].strip()[:1].isdigit() is False
        ):
            yield Span(*match.span(), "NAME", 0.85, "names")


def _letters(spelling: str) -> str:
    spelling = re.sub(r"\s(?:for|as\sin)\s[a-z]+", "", spelling)
    spelling = re.sub(r"double\s([a-z])", r"\1\1", spelling)
    return re.sub(r"capital\s|apostrophe|hyphen|dash|[^a-z]", "", spelling)


def _words_in(reading: Reading, span: Span) -> tuple[Word, ...]:
    return reading.words[reading.index_at(span.start) : reading.index_at(span.end)]


def _span(reading: Reading, index: int, count: int, confidence: float) -> Span:
    return Span(reading.words[index].start, reading.words[index + count - 1].end, "NAME", confidence, "names")
