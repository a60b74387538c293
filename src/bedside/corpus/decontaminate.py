"""Decontamination: no training record may hold what a model is measured on, neither word for word nor in other words.

By words: 13 words in a row of a suite's text (the overlap of Brown et al. 2020, appendix C); of a shorter text all of it, anywhere in a message
if it has at least five words, else as the whole message.

By meaning: the user's messages are compared with every text of the suites. MiniLM's cosine finds the nearest few; each is then aligned word by
word (BERTScore's F1, Zhang et al. 2020, over MiniLM's last layer), rare words counting more, because the cosine alone takes "same topic" for
"same question": at equal recall it removed about twice as many unrelated questions. A message over three times as long as the suites' longest
text is no paraphrase of one, and is compared by words alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bedside.corpus.cluster import batches
from bedside.corpus.conversation import Conversation
from bedside.corpus.duplicates import plain_words
from bedside.errors import SourceError
from bedside.workspace.ledger import DropLedger

if TYPE_CHECKING:
    from bedside.engine.embedding import Embedded, SentenceEmbedder

OVERLAP = 13
"""Words in a row that are no accident."""
MEANING = 0.45
"""Alignment, 0 to 1, from which a message says what a suite's text says; chosen on 80 pairs of paraphrases."""

_WHOLE = 5  # fewer words are said by everybody, so they count only as the whole message
_NEAREST = 6
_LONGER = 3
_BATCH = 256
_FIRST_WORD = 1996  # BERT's vocabulary: marks and letters stand before it, then words from the commonest ("the") to the rarest


@dataclass(frozen=True)
class Contaminant:
    """What a record holds of a suite.

    Attributes:
        reason: `in_evaluation` (its words) or `means_evaluation` (its meaning).
        suite: the suite's name.
        detail: how it was found, without the record's words.
    """

    reason: str
    suite: str
    detail: str


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
        texts = [(name, text, words) for name, held in suites.items() for text in held if (words := plain_words(text))]
        for name in suites:
            if name not in {suite for suite, *_ in texts}:
                raise SourceError(f"the evaluation suite {name!r} has no text", "Correct the suite, or take it out of the recipe")
        self._names = [name for name, *_ in texts]
        self._longest = max((len(words) for *_, words in texts), default=0)
        self._index = _index([(name, words) for name, _, words in texts])
        self._whole = {tuple(words): name for name, _, words in texts}
        self._meaning = meaning
        self._embedder = embedder
        if embedder and texts:
            self._targets = embedder.embed_tokens([text for _, text, _ in texts])
            self._vectors = np.stack([target.vector for target in self._targets])

    def judge(self, conversations: Sequence[Conversation]) -> list[Contaminant | None]:
        """What each conversation holds of the suites; None where it is clean."""
        found = [self._by_words(conversation) for conversation in conversations]
        if self._embedder and self._names:
            asked = [
                (place, message.content)
                for place, conversation in enumerate(conversations)
                for message in conversation.messages
                if found[place] is None and message.role == "user" and 0 < len(plain_words(message.content)) <= _LONGER * self._longest
            ]
            embedded = self._embedder.embed_tokens([text for _, text in asked])
            for (place, _), message in zip(asked, embedded, strict=True):
                found[place] = found[place] or self._by_meaning(message)
        return found

    def _by_words(self, conversation: Conversation) -> Contaminant | None:
        for message in conversation.messages:
            words = plain_words(message.content)
            if tuple(words) in self._whole:
                return Contaminant("in_evaluation", self._whole[tuple(words)], "the whole message")
            for start in range(len(words) - _WHOLE + 1):
                for run, name in self._index.get(tuple(words[start : start + _WHOLE]), ()):
                    if tuple(words[start : start + len(run)]) == run:
                        return Contaminant("in_evaluation", name, f"{len(run)} words in a row")
        return None

    def _by_meaning(self, message: Embedded) -> Contaminant | None:
        cosines = self._vectors @ message.vector
        nearest = np.argsort(-cosines)[:_NEAREST]
        score, best = max((alignment(message, self._targets[target]), int(target)) for target in nearest)
        return Contaminant("means_evaluation", self._names[best], f"alignment {score:.2f}") if score >= self._meaning else None


def decontaminate(conversations: Iterable[Conversation], decontaminator: Decontaminator, ledger: DropLedger) -> Iterator[Conversation]:
    """The conversations that hold nothing of a suite, batch by batch; each other one goes to the ledger with what was found."""
    for batch in batches(conversations, _BATCH):
        for conversation, found in zip(batch, decontaminator.judge(batch), strict=True):
            if found is None:
                yield conversation
            else:
                origin = conversation.provenance
                detail = f"{found.suite}: {found.detail}"
                ledger.add("decontaminate", "dropped", found.reason, source=origin.source, where=origin.where, detail=detail)


def alignment(left: Embedded, right: Embedded) -> float:
    """How much two texts say the same, 0 to 1: harmonic mean of how well each one's tokens are found in the other.

    A token weighs the logarithm of its rank in the vocabulary, which by Zipf's law is its information content but for a constant.
    """
    if not len(left.ids) or not len(right.ids):
        return 0.0
    cosines = left.tokens @ right.tokens.T
    shares = [_share(cosines.max(axis=1), left.ids), _share(cosines.max(axis=0), right.ids)]
    return 2 * shares[0] * shares[1] / sum(shares) if min(shares) > 0 else 0.0


def _share(found: NDArray[np.float32], ids: NDArray[np.int64]) -> float:
    weights = np.log1p(np.maximum(ids - _FIRST_WORD + 1, 0))
    return float(np.average(found, weights=weights)) if weights.sum() > 0 else 0.0


def _index(texts: Iterable[tuple[str, list[str]]]) -> dict[tuple[str, ...], list[tuple[tuple[str, ...], str]]]:
    """Runs of words to look for, by their first words, each with its suite."""
    index: dict[tuple[str, ...], list[tuple[tuple[str, ...], str]]] = defaultdict(list)
    for name, words in texts:
        if len(words) >= _WHOLE:
            for start in range(max(1, len(words) - OVERLAP + 1)):
                run = tuple(words[start : start + OVERLAP])
                index[run[:_WHOLE]].append((run, name))
    return dict(index)
