"""Decontamination: no training record may hold what a model is measured on, neither word for word nor in other words.

By words: 13 words in a row of a suite's text (the overlap of Brown et al. 2020, appendix C); of a shorter text all of it, anywhere in a message
if it has at least five words, else as the whole message.

By meaning: the user's messages are compared with every text of the suites. MiniLM's cosine finds the nearest few; each is then aligned word by
word (BERTScore's F1, Zhang et al. 2020, over MiniLM's last layer), and a word counts more the fewer texts of the suites hold it, because the
cosine alone takes "same topic" for "same question". What is left of that mistake is bounded: a likeness that is short of sure removes only the
few records of a source that are the most like one text, so that three times the number of the suites' texts is the most that a source can lose
by it, however long the source. A message under five words says what everybody says, and one over three times as long as the suites' longest text
is no paraphrase of one; both are compared by words alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bedside.corpus.cluster import batches
from bedside.corpus.conversation import Conversation, Provenance
from bedside.corpus.duplicates import plain_words
from bedside.errors import SourceError
from bedside.workspace.ledger import DropLedger

if TYPE_CHECKING:
    from bedside.engine.embedding import Embedded, SentenceEmbedder

STAGE = "decontaminate"
OVERLAP = 13
"""Words in a row that are no accident."""
MEANING = 0.44
"""Alignment, 0 to 1, from which a message may say what a suite's text says: 95 of 100 paraphrases reach it (80 pairs written by hand)."""
SURE = 0.6
"""Alignment from which it surely does."""
FEW = 3
"""Records of a source that are removed for one text of a suite on a likeness short of `SURE`: those most like it."""

_WHOLE = 5  # fewer words are said by everybody, so they count only as the whole message
_NEAREST = 4
VOCABULARY = 30_522  # of BERT, uncased
_LONGER = 3
_BATCH = 256  # texts whose tokens are in memory at a time: 100 MB where they are long


@dataclass(frozen=True)
class Contaminant:
    """What a record holds of a suite.

    Attributes:
        reason: `in_evaluation` (its words) or `means_evaluation` (its meaning).
        suite: the suite's name.
        detail: how it was found, without the record's words.
        text: number of the suite's text among all texts.
        likeness: alignment, 0 to 1; 1 for words.
    """

    reason: str
    suite: str
    detail: str
    text: int
    likeness: float


class Decontaminator:
    """All suites that a recipe names, ready to be looked for.

    Args:
        suites: name → texts.
        embedder: finds meaning; None compares by words alone.
        meaning: alignment from which a message is taken for a paraphrase.

    Raises:
        SourceError: a suite has no text with a word in it, so that nothing would be looked for.
    """

    def __init__(self, suites: Mapping[str, Iterable[str]], *, embedder: SentenceEmbedder | None = None, meaning: float = MEANING) -> None:
        texts = [(name, text, words) for name, held in suites.items() for text in sorted(held) if (words := plain_words(text))]
        for name in suites:
            if name not in {suite for suite, *_ in texts}:
                raise SourceError(f"the evaluation suite {name!r} has no text", "Correct the suite, or take it out of the recipe")
        self._names = [name for name, *_ in texts]
        self._longest = max((len(words) for *_, words in texts), default=0)
        self._index = _index([words for *_, words in texts])
        self._whole = {tuple(words): number for number, (*_, words) in enumerate(texts)}
        self._meaning = meaning
        self._embedder = embedder if any(len(words) >= _WHOLE for *_, words in texts) else None
        if self._embedder:
            self._telling = [number for number, (*_, words) in enumerate(texts) if len(words) >= _WHOLE]
            self._targets = self._embedder.embed_tokens([texts[number][1] for number in self._telling])
            vectors = np.stack([target.vector for target in self._targets])
            # What all texts have in common tells none of them apart.
            self._common = vectors.mean(axis=0)
            self._vectors = (vectors - self._common) / np.maximum(np.linalg.norm(vectors - self._common, axis=1, keepdims=True), 1e-6)
            self._weights = rarity(self._targets)

    def judge(self, conversations: Sequence[Conversation]) -> list[Contaminant | None]:
        """What each conversation may hold of the suites; None where it is clean. `confirmed` tells which of them it does hold."""
        found = [self._by_words(conversation) for conversation in conversations]
        if self._embedder:
            asked = [
                (place, message.content)
                for place, conversation in enumerate(conversations)
                for message in conversation.messages
                if found[place] is None and message.role == "user" and self._is_comparable(message.content)
            ]
            for some in batches(asked, _BATCH):
                for (place, _), message in zip(some, self._embedder.embed_tokens([text for _, text in some]), strict=True):
                    found[place] = max(filter(None, (found[place], self._by_meaning(message))), key=lambda one: one.likeness, default=None)
        return found

    def _is_comparable(self, message: str) -> bool:
        return _WHOLE <= len(plain_words(message)) <= _LONGER * self._longest

    def _by_words(self, conversation: Conversation) -> Contaminant | None:
        for message in conversation.messages:
            words = plain_words(message.content)
            if (number := self._whole.get(tuple(words))) is not None:
                return Contaminant("in_evaluation", self._names[number], "the whole message", number, 1.0)
            for start in range(len(words) - _WHOLE + 1):
                for run, number in self._index.get(tuple(words[start : start + _WHOLE]), ()):
                    if tuple(words[start : start + len(run)]) == run:
                        return Contaminant("in_evaluation", self._names[number], f"{len(run)} words in a row", number, 1.0)
        return None

    def _by_meaning(self, message: Embedded) -> Contaminant | None:
        nearest = np.argsort(-(self._vectors @ (message.vector - self._common)))[:_NEAREST]
        likeness, best = max((alignment(message, self._targets[target], self._weights), int(target)) for target in nearest)
        if likeness < self._meaning:
            return None
        number = self._telling[best]
        return Contaminant("means_evaluation", self._names[number], f"alignment {likeness:.2f}", number, round(likeness, 4))


def confirmed(found: Iterable[tuple[str, int, Contaminant]]) -> dict[int, Contaminant]:
    """Which of the records that may hold something of a suite do: all by words or a sure likeness, and of the others the few most alike.

    Args:
        found: source, number and what `judge` found of each such record.
    """
    certain: dict[int, Contaminant] = {}
    likely: dict[tuple[str, int], list[tuple[float, int, Contaminant]]] = defaultdict(list)
    for source, record, contaminant in found:
        if contaminant.likeness >= SURE:
            certain[record] = contaminant
        else:
            likely[source, contaminant.text].append((-contaminant.likeness, record, contaminant))
    for rivals in likely.values():
        certain |= {record: contaminant for _, record, contaminant in sorted(rivals, key=lambda rival: rival[:2])[:FEW]}
    return certain


def decontaminate(
    conversations: Iterable[Conversation],
    decontaminator: Decontaminator,
    ledger: DropLedger,
    judged_more: Callable[[int], None] = lambda number: None,
) -> list[Conversation]:
    """The conversations that hold nothing of a suite; each other one goes to the ledger with what was found.

    Args:
        judged_more: told how many more were compared with the suites, now and then.
    """
    held = list(conversations)
    judged: list[Contaminant | None] = []
    for batch in batches(held, _BATCH):
        judged += decontaminator.judge(batch)
        judged_more(len(batch))
    suspects = ((c.provenance.source, number, found) for number, (c, found) in enumerate(zip(held, judged, strict=True)) if found)
    dropped = confirmed(suspects)
    for number, contaminant in dropped.items():
        file_contaminant(contaminant, held[number].provenance, ledger)
    return [conversation for number, conversation in enumerate(held) if number not in dropped]


def file_contaminant(contaminant: Contaminant, origin: Provenance, ledger: DropLedger) -> None:
    """File a record that was dropped for what it holds of a suite."""
    detail = f"{contaminant.suite}: {contaminant.detail}"
    ledger.add(STAGE, "dropped", contaminant.reason, source=origin.source, where=origin.where, detail=detail)


def rarity(texts: Sequence[Embedded]) -> NDArray[np.float32]:
    """(vocabulary,) how much a token tells: the logarithm of how few of the texts hold it (inverse document frequency, Spärck Jones 1972)."""
    held = np.bincount(np.concatenate([np.unique(text.ids) for text in texts]), minlength=VOCABULARY)
    weights: NDArray[np.float32] = np.log((len(texts) + 1) / (held + 1)).astype(np.float32)
    return weights


def alignment(left: Embedded, right: Embedded, weights: NDArray[np.float32]) -> float:
    """How much two texts say the same, 0 to 1: harmonic mean of how well each one's tokens are found in the other.

    Args:
        weights: (vocabulary,) how much each token counts.
    """
    if not len(left.ids) or not len(right.ids):
        return 0.0
    cosines = left.tokens @ right.tokens.T
    shares = [_share(cosines.max(axis=1), weights[left.ids]), _share(cosines.max(axis=0), weights[right.ids])]
    return 2 * shares[0] * shares[1] / sum(shares) if min(shares) > 0 else 0.0


def _share(found: NDArray[np.float32], weights: NDArray[np.float32]) -> float:
    whole = float(weights.sum())
    return float(found @ weights) / whole if whole > 0 else 0.0


def _index(texts: Iterable[list[str]]) -> dict[tuple[str, ...], list[tuple[tuple[str, ...], int]]]:
    """Runs of words to look for, by their first words, each with the number of its text."""
    index: dict[tuple[str, ...], list[tuple[tuple[str, ...], int]]] = defaultdict(list)
    for number, words in enumerate(texts):
        if len(words) >= _WHOLE:
            for start in range(max(1, len(words) - OVERLAP + 1)):
                run = tuple(words[start : start + OVERLAP])
                index[run[:_WHOLE]].append((run, number))
    return dict(index)
