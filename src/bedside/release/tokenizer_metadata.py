"""What a GGUF file says of a tokenizer, from `tokenizer.json` alone.

`tokenizer.json` is what training used and what the chat contract's hash covers, so a `tokenizer.model` beside it is not read. Two families:

* **Byte-level BPE** (`tokenizer.ggml.model` = gpt2). llama.cpp splits text by a named pattern before it merges. llama.cpp's converter
  recognises a tokenizer by hashing the ids of a test text, which only works for vocabularies that it lists; here the name follows from
  the pre-tokenizer's own structure, which also fits a vocabulary that was trained or extended here (`PRE_TOKENIZERS`).
* **sentencepiece BPE** (`tokenizer.ggml.model` = llama): BPE with `byte_fallback`. llama.cpp merges the neighbours whose union has the
  highest score. Each merged piece gets minus its first merge's rank as score, which orders merges as sentencepiece's own scores do, provided
  that the merges are the closure over the vocabulary that the conversion of a sentencepiece model makes: that is checked.

Sources: llama.cpp `conversion/base.py` and `conversion/llama.py` (formerly `convert_hf_to_gguf.py`), `src/llama-vocab.cpp`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType

from bedside.engine.contract import ChatContract
from bedside.errors import ReleaseError
from bedside.release._tensors import read_json

_SPACE = "▁"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_REFETCH = "Take the tokenizer.json of the base model's own publisher"


def _bytes_only(regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "use_regex": regex}


def _split(pattern: str) -> dict[str, Any]:
    return {
        "type": "Sequence",
        "pretokenizers": [{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}, _bytes_only(False)],
    }


PRE_TOKENIZERS: Mapping[str, Mapping[str, Any]] = {
    "gpt-2": _bytes_only(True),
    "smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, _bytes_only(True)]},
    "llama-bpe": _split(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "tekken": _split(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
"""llama.cpp's name of a pre-tokenizer → its form in `tokenizer.json`, without keys that do not change ids.

llama.cpp's `tekken` treats combining marks (decomposed accents, Hindi vowel signs) otherwise than tekken's own pattern does, so such texts can
differ in ids: the token parity gate over the release's own conversations decides."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a GGUF file.

    Attributes:
        model: `gpt2` or `llama`, as `tokenizer.ggml.model` has it.
        pre: name of the pre-tokenizer; `default` for `llama`.
        tokens: text by id; ids that the embedding has beyond the tokenizer are `[PAD<id>]`.
        types: `gguf.TokenType` by id.
        merges: "left right" by rank, for `gpt2`.
        scores: by id, for `llama`.
        space_prefix: whether a space goes before each stretch of plain text, for `llama`.
        unk_id: the unknown token's id, if there is one.
    """

    model: str
    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    scores: tuple[float, ...]
    space_prefix: bool
    unk_id: int | None

    def add_to(self, writer: GGUFWriter) -> None:
        """Write it into a file's metadata."""
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(list(self.tokens))
        writer.add_token_types(list(self.types))
        writer.add_add_space_prefix(self.space_prefix)
        if self.merges:
            writer.add_token_merges(list(self.merges))
        if self.scores:
            writer.add_token_scores(list(self.scores))
        if self.unk_id is not None:
            writer.add_unk_token_id(self.unk_id)


def read_vocabulary(file: Path, contract: ChatContract, size: int) -> Vocabulary:
    """The vocabulary of a `tokenizer.json`.

    Args:
        file: `tokenizer.json`.
        contract: its texts and ids are compared with the file's.
        size: rows of the embedding.

    Raises:
        ReleaseError: llama.cpp has no way to split text as this tokenizer does, or the contract does not fit it.
    """
    stored = read_json(file, "the tokenizer")
    model, added = stored["model"], stored.get("added_tokens") or []
    if model.get("type") != "BPE":
        raise ReleaseError(f"{str(file)!r} is a {model.get('type')!r} tokenizer", "Supported are byte-level BPE and sentencepiece BPE")
    _check_added(added)
    tokens = _tokens(model["vocab"], added, size)
    _check_contract(contract, tokens)
    unk = model.get("unk_token")
    types = _types(tokens, added, None if unk is None else model["vocab"].get(unk), bool(model.get("byte_fallback")))
    common = partial(Vocabulary, tokens=tuple(tokens), types=tuple(types), unk_id=None if unk is None else tokens.index(unk))
    pairs = [tuple(merge.split(" ", 1)) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    if not model.get("byte_fallback"):
        merges = tuple(" ".join(pair) for pair in pairs)
        return common(model="gpt2", pre=recognise_pre_tokenizer(stored), merges=merges, scores=(), space_prefix=False)
    scores = _scores(tokens, pairs, {entry["content"] for entry in added})
    return common(model="llama", pre="default", merges=(), scores=scores, space_prefix=_space_prefix(stored, contract, added))


def token_texts(file: Path, ids: Sequence[int]) -> list[str]:
    """The texts of some ids of a `tokenizer.json`.

    Raises:
        ReleaseError: the tokenizer has no such id.
    """
    stored = read_json(file, "the tokenizer")
    by_id = _by_id(stored["model"]["vocab"], stored.get("added_tokens") or [])
    if unknown := [id for id in ids if id not in by_id]:
        raise ReleaseError(
            f"the contract stops at id {unknown[0]}, which {str(file)!r} does not have",
            "Make the contract again from this model's tokenizer",
        )
    return [by_id[id] for id in ids]


def recognise_pre_tokenizer(stored: Mapping[str, Any]) -> str:
    """llama.cpp's name for the pre-tokenizer of a byte-level `tokenizer.json`.

    Raises:
        ReleaseError: none of `PRE_TOKENIZERS` is the same, or the text is normalised first, which llama.cpp does not do.
    """
    found = _essential(stored.get("pre_tokenizer"))
    name = next((name for name, known in PRE_TOKENIZERS.items() if known == found), None)
    if name is None or stored.get("normalizer") is not None:
        raise ReleaseError(
            f"the tokenizer's normalizer {stored.get('normalizer')!r} and pre-tokenizer {found!r} are none that llama.cpp is known to share",
            f"Supported are those of {', '.join(PRE_TOKENIZERS)}, without a normalizer, and sentencepiece BPE",
        )
    if stored["model"].get("ignore_merges") and name in ("gpt-2", "smollm"):
        raise ReleaseError(f"the tokenizer sets ignore_merges, which llama.cpp does not do for {name!r}", _REFETCH)
    return name


def _essential(pre: Any) -> Any:
    if not isinstance(pre, dict):
        return pre
    if pre.get("type") == "Sequence":
        return {"type": "Sequence", "pretokenizers": [_essential(part) for part in pre["pretokenizers"]]}
    return {key: value for key, value in pre.items() if key != "trim_offsets"}


def _check_added(added: list[dict[str, Any]]) -> None:
    for entry in added:
        if flag := next((flag for flag in ("lstrip", "rstrip", "single_word") if entry.get(flag)), None):
            raise ReleaseError(
                f"token {entry['content']!r} sets {flag}, which llama.cpp does not do",
                f"Set {flag} to false in tokenizer.json and train again",
            )


def _by_id(vocab: Mapping[str, int], added: list[dict[str, Any]]) -> dict[int, str]:
    return {id: text for text, id in vocab.items()} | {entry["id"]: entry["content"] for entry in added}


def _tokens(vocab: Mapping[str, int], added: list[dict[str, Any]], size: int) -> list[str]:
    by_id = _by_id(vocab, added)
    if max(by_id) >= size:
        raise ReleaseError(
            f"the tokenizer has an id {max(by_id)}, but the model's embedding only {size} rows",
            "Resize the model's embedding before training, or take the base's own tokenizer.json",
        )
    return [by_id.get(id, f"[PAD{id}]") for id in range(size)]


def _check_contract(contract: ChatContract, tokens: list[str]) -> None:
    for what, text, id in (("bos", contract.bos_token, contract.bos_id), ("eos", contract.eos_token, contract.eos_id)):
        if id is not None and (id >= len(tokens) or tokens[id] != text):
            found = tokens[id] if id < len(tokens) else None
            raise ReleaseError(
                f"the contract's {what} token {text!r} has id {id}, which is {found!r} in the tokenizer",
                "Make the contract again from this model's tokenizer",
            )


def _types(tokens: list[str], added: list[dict[str, Any]], unk: int | None, byte_fallback: bool) -> list[int]:
    special = {entry["id"]: bool(entry.get("special")) for entry in added}

    def kind(id: int, text: str) -> TokenType:
        if id == unk and byte_fallback:
            return TokenType.UNKNOWN
        if id in special:
            return TokenType.CONTROL if special[id] else TokenType.USER_DEFINED
        if byte_fallback and _BYTE.fullmatch(text):
            return TokenType.BYTE
        return TokenType.UNUSED if text == f"[PAD{id}]" else TokenType.NORMAL

    return [int(kind(id, text)) for id, text in enumerate(tokens)]


def _scores(tokens: list[str], pairs: list[Any], added: set[str]) -> tuple[float, ...]:
    ranks: dict[str, list[int]] = {}
    for rank, (left, right) in enumerate(pairs):
        ranks.setdefault(left + right, []).append(rank)
    _check_closure(set(tokens) - added, {tuple(pair) for pair in pairs}, ranks)
    unmerged = -float(len(pairs))
    return tuple(0.0 if token in added else -float(ranks[token][0]) if token in ranks else unmerged for token in tokens)


def _check_closure(tokens: set[str], pairs: set[Any], ranks: Mapping[str, list[int]]) -> None:
    """Refuse merges whose order or gaps a score for each piece cannot express.

    Runs of one character may share ranks: sentencepiece gives the pieces of several spaces one score.
    """
    advice = "Take the tokenizer.json converted from the base's sentencepiece model; llama.cpp's scores cannot express a BPE made otherwise"
    end = -1
    group: list[str] = []
    for text, places in ranks.items():
        group = [*group, text] if places[0] <= end else [text]
        end = max(end, places[-1])
        if len(group) > 1 and len(set("".join(group))) > 1:
            raise ReleaseError(f"the tokenizer merges {group[0]!r} and {text!r} in turns", advice)
    for text in tokens:
        if gap := next((split for split in _splits(text, tokens) if split not in pairs), None):
            raise ReleaseError(f"the tokenizer has the pieces {gap[0]!r}, {gap[1]!r} and {text!r}, but no merge of them", advice)


def _splits(text: str, tokens: set[str]) -> Iterator[tuple[str, str]]:
    for place in range(1, len(text)):
        if text[:place] in tokens and text[place:] in tokens:
            yield text[:place], text[place:]


def _space_prefix(stored: Mapping[str, Any], contract: ChatContract, added: list[dict[str, Any]]) -> bool:
    """Whether llama.cpp has to put a space before each stretch of plain text, from how the tokenizer turns spaces into ▁."""
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    normalizer, pre = stored.get("normalizer"), stored.get("pre_tokenizer")
    if pre is None and normalizer == {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": _SPACE}, replace]}:
        return True
    if pre is None and normalizer in (replace, {"type": "Sequence", "normalizers": [replace]}):
        return False
    metaspace = {"type": "Metaspace", "replacement": _SPACE, "split": False}
    if normalizer is None and pre == {**metaspace, "prepend_scheme": "never"}:
        return False
    if normalizer is None and pre == {**metaspace, "prepend_scheme": "first"}:
        # "first" is a space before the very first character only, so a chat that opens with a special token never gets one.
        opens = contract.render([{"role": "user", "content": "x"}])
        if any(opens.startswith(entry["content"]) for entry in added):
            return False
    raise ReleaseError(
        f"the tokenizer makes spaces with normalizer {normalizer!r} and pre-tokenizer {pre!r}, which llama.cpp cannot follow", _REFETCH
    )
