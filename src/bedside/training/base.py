"""The base model as training needs it: a Hugging Face folder with the right tokenizer, and the chat contract over it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedTokenizerFast

from bedside.engine.contract import ChatContract, Code, Codebook, template_text
from bedside.errors import BaseModelError
from bedside.knowledge.intents import catalogue
from bedside.recipe.models import Recipe
from bedside.workspace.files import sha256_file

SYSTEMS = {
    "understand": "",
    "answer": "You answer questions of a medical practice in Australia. You do not diagnose or give doses. In an emergency: call 000.",
}

# transformers' GGUF reader keeps GPT-2's word splitting whatever the file says; these are the others that bedside's bases use
# (llama.cpp, src/llama-vocab.cpp, LLAMA_VOCAB_PRE_TYPE_*).
_PRE_TOKENIZERS: Mapping[str, Any] = {
    "smollm": lambda: pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "gpt-2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
}


def import_base(source: Path, out: Path) -> dict[str, Any]:
    """Write `source` (GGUF file or Hugging Face folder) as a Hugging Face folder; returns facts about it.

    A GGUF is unpacked to float16: adapters are merged in the base's type, and bf16 would round small updates away.

    Raises:
        BaseModelError: the file cannot be read as a model, or its word splitting is unknown.
    """
    if source.is_dir():
        shutil.copytree(source, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.gguf", "fetched.json", "manifest.json"))
    else:
        try:
            model = AutoModelForCausalLM.from_pretrained(
                source.parent, gguf_file=source.name, dtype=torch.float16, quantization_config=GgufConfig(dequantize=True)
            )
            tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise BaseModelError(
                f"{source.name!r} cannot be read as a model ({str(error).splitlines()[0]})", "Fetch it again, or choose another base"
            ) from error
        # The weights are plain now; without its mark the model can be saved and trained.
        model.config.__dict__.pop("quantization_config", None)
        model.hf_quantizer = None
        model.is_quantized = False
        model.save_pretrained(out)
        _split_words_as(source, tokenizer)
        tokenizer.save_pretrained(out)
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    return {
        "architecture": config["architectures"][0],
        "layers": config["num_hidden_layers"],
        "hidden_size": config["hidden_size"],
        "vocabulary": config["vocab_size"],
    }


def _split_words_as(source: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    field = GGUFReader(source).get_field("tokenizer.ggml.pre")
    kind = str(field.contents()) if field else "gpt-2"
    if kind not in _PRE_TOKENIZERS:
        raise BaseModelError(
            f"{source.name!r} splits words as {kind!r}, which bedside does not know (known: {', '.join(_PRE_TOKENIZERS)})",
            "Use the model's Hugging Face folder as base.source",
        )
    tokenizer.backend_tokenizer.pre_tokenizer = _PRE_TOKENIZERS[kind]()


def load_tokenizer(base: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a base folder."""
    tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(base)
    return tokenizer


def token_ids(tokenizer: PreTrainedTokenizerFast, contract: ChatContract, text: str) -> list[int]:
    """Ids of a rendered text as training sees them: special tokens recognised, BOS by the contract's rule."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return [contract.bos_id, *ids] if contract.adds_bos and contract.bos_id is not None else ids


def make_contract(recipe: Recipe, base: Path) -> ChatContract:
    """The chat contract of a recipe over a base model's vocabulary.

    Raises:
        BaseModelError: the vocabulary lacks the template's end token, or has no single token for an intent.
    """
    tokenizer = load_tokenizer(base)
    eos = "<|im_end|>" if recipe.base.template == "chatml" else "</s>"
    eos_id = tokenizer.convert_tokens_to_ids(eos)
    if eos_id is None or eos_id == tokenizer.unk_token_id:
        raise BaseModelError(
            f"the vocabulary of {recipe.base.source!r} has no {eos!r}, which template {recipe.base.template!r} ends answers with",
            "Choose another base.template",
        )
    bos_id = tokenizer.bos_token_id
    return ChatContract(
        template_name=recipe.base.template,
        template=template_text(recipe.base.template),
        bos_token="" if bos_id is None else str(tokenizer.bos_token),
        eos_token=eos,
        bos_id=bos_id,
        eos_id=eos_id,
        pad_id=eos_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
        stop_ids=(eos_id,),
        adds_bos=False,
        max_length=recipe.training.max_length,
        tokenizer_sha256=sha256_file(base / "tokenizer.json"),
        systems=SYSTEMS,
        codebook=_codebook(tokenizer) if recipe.task == "understand" else None,
    )


def _codebook(tokenizer: PreTrainedTokenizerFast) -> Codebook:
    used: set[str] = set()

    def code(name: str, candidates: tuple[str, ...]) -> Code:
        for word in candidates:
            ids = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
            if len(ids) == 1 and word not in used:
                used.add(word)
                return Code(word=word, token=ids[0])
        raise BaseModelError(
            f"none of {', '.join(candidates)} is one free token of this vocabulary, so {name!r} has no code",
            "Add a word to its `codes` in knowledge/intents.yaml",
        )

    kinds = catalogue()
    none = code("none", ("none", "nothing"))
    return Codebook(
        none=none, intents={k.id: code(k.id, k.codes) for k in kinds.intents}, slots={k.id: code(k.id, k.codes) for k in kinds.slots}
    )
