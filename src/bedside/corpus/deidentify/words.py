"""What a word can be: a given name, a surname, an ordinary or clinical word, or unknown."""

from __future__ import annotations

import csv
import re
from functools import cache, lru_cache

from bedside.corpus.deidentify.data import read_lines, read_words
from bedside.knowledge.medicines import medicines

GIVEN, SURNAME, WORD, CLINICAL, NEVER, SHAPED = 1, 2, 4, 8, 16, 32
"""Bits of what a word can be. `NEVER`: in lower case, or at the head of a sentence, it is hardly ever meant as a name.
`SHAPED`: unknown, with the ending of a clinical term; a name only behind a cue."""

NAME = GIVEN | SURNAME
ORDINARY = WORD | CLINICAL | NEVER
_CONTRACTED = re.compile(r"'(?:t|ve|ll|re|d|m|am)$")
_CLINICAL_ENDING = re.compile(
    r"(?:itis|osis|oses|aemia|emia|uria|pathy|ectomy|otomy|ostomy|oscopy|plasty|graphy|gram|algia|oma|megaly|trophy|plegia|paresis|penia|rrhoea|rrhea|"
    r"statin|pril|olol|sartan|prazole|cillin|mycin|cycline|floxacin|azole|vir|mab|nib|gliptin|gliflozin|glutide|tidine|dipine|oxetine|azepam|"
    r"barbital|caine|profen|triptan|setron|parin|xaban|zosin|terol|sone|solone|onide|ine|ate|ide|ium|ology|ologist|iatric|aceous|ectasis|lysis|genic|scopic|otic|itic|emic|aemic|ness|tion|sion|ment|able|ible|ally|ously)$"
)


@cache
def sexes() -> dict[str, str]:
    """Given names with the sex they are mostly given to: `f`, `m`, or `u` for both."""
    return {row["name"]: row["sex"] for row in csv.DictReader(read_lines("given_names.csv"))}


@cache
def _bits() -> dict[str, int]:
    bits: dict[str, int] = {}
    medicine_words = {
        word for one in medicines() for name in (one.generic, *one.brands, *one.synonyms) for word in re.findall(r"[a-z]{3,}", name.lower())
    }
    for words, bit in (
        (sexes(), GIVEN),
        (read_words("surnames.txt"), SURNAME),
        (read_words("words.txt"), WORD),
        (read_words("clinical_terms.txt") | medicine_words, CLINICAL),
        (read_words("not_names.txt"), NEVER),
    ):
        for word in words:
            bits[word] = bits.get(word, 0) | bit
    for word in read_words("firm_names.txt"):
        bits[word] &= ~ORDINARY
    return bits


@lru_cache(maxsize=100_000)
def bits_of(word: str) -> int:
    """What a folded word can be; 0 for an unknown one. A word with hyphens is what its parts are."""
    if _CONTRACTED.search(word):
        return NEVER
    word = word.replace("'", "")
    bits = _bits()
    known = bits.get(word)
    if known is not None:
        return known
    if "-" in word:
        parts = [bits_of(part) for part in word.split("-") if part]
        named = [part for part in parts if part & NAME and not part & ORDINARY]
        return named[0] if named else WORD if any(parts) else 0
    for ending, instead in (("s", ""), ("es", ""), ("ed", ""), ("ing", ""), ("ies", "y")):
        if word.endswith(ending) and bits.get(word.removesuffix(ending) + instead, 0) & ORDINARY:
            return WORD
    return SHAPED if len(word) > 5 and _CLINICAL_ENDING.search(word) else 0


@cache
def clinical_heads() -> frozenset[str]:
    """Words that make the name before them a clinical term: "Bell's palsy", "Ross River virus"."""
    return read_words("clinical_heads.txt")
