"""Cue phrases found by their words: each word of a text is looked up once, however many phrases there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bedside.corpus.deidentify.reading import Reading, Word


class Phrases:
    """Phrases with labels; of several that begin at one word, the longest of each label is found.

    Args:
        labelled: for each label its phrases, words parted by single spaces, in lower case.
    """

    def __init__(self, labelled: Mapping[str, Iterable[str]]) -> None:
        self._by_first: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for label, phrases in labelled.items():
            for phrase in phrases:
                first, *rest = phrase.split()
                self._by_first.setdefault(first, []).append((tuple(rest), label))
        for found in self._by_first.values():
            found.sort(key=lambda one: -len(one[0]))

    def find(self, reading: Reading) -> Iterator[tuple[str, int, int]]:
        """(label, index of the first word, index behind the last word) of each phrase."""
        words = reading.words
        by_first = self._by_first
        for index, word in enumerate(words):
            candidates = by_first.get(word.said)
            if candidates is not None:
                seen: set[str] = set()
                for rest, label in candidates:
                    if label not in seen and _follow(words, index + 1, rest):
                        seen.add(label)
                        yield label, index, index + 1 + len(rest)


def _follow(words: tuple[Word, ...], index: int, rest: tuple[str, ...]) -> bool:
    here = words[index : index + len(rest)]
    return len(here) == len(rest) and all(word.said == wanted and len(word.gap) < 4 for word, wanted in zip(here, rest, strict=True))
