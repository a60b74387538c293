"""Tiny random models of both families with tokenizers made on the spot, and the engine that runs their GGUF files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from bedside.engine.contract import ChatContract, template_text
from bedside.engine.llamacpp import LlamaCppEngine
from bedside.workspace.files import sha256_file

TEXTS = [
    "I need to book an appointment with Dr Nguyen on Thursday at 2:15pm please.",
    "My script for Coversyl 5mg has run out, can you send 30 tablets to the chemist?",
    "Mum's had chest pain since 06:45 and she's 78 years old.",
    "Is the clinic open on Monday 27 January 2027?",
    "I'd like a copy of my blood test results from last week, they're from St Vincent's.",
    "The Medicare number is 2123 45670 1, expiry 11/2028.",
    "He's been vomiting; temperature 39.4 degrees, what should I do?",
    "Can I change my appointment from the 3rd to the 14th?",
]
PROBES = [
    *TEXTS,
    "naïve café résumé Übelkeit señor Ångström",
    "emoji 😀🩺❤️‍🔥 and flags 🇦🇺",
    "中文 日本語 한국어 العربية עברית हिन्दी",
    "line one\nline two\n\n\nline five\r\n\ttabbed\t\ttwice",
    "  two spaces before,   three between,  two after  ",
    "12345 67.89 0,001 ½ ² Ⅷ ٣٤",
    "it's they're I'll we'd you've I'm don't DON'T",
    'C:\\path {"json": [1, 2]} <html> a_b-c+d=e %$#@!',
    "\u00a0non-breaking\u2003em space\u200bzero width",
    "x",
    " ",
    "\n",
    "é" * 7 + "e\u0301" * 3,
    "supercalifragilisticexpialidocious pneumonoultramicroscopic",
]


@dataclass(frozen=True)
class Tiny:
    """A tiny model on the disk, its contract, and its tokenizer as training would use it."""

    folder: Path
    contract: ChatContract
    tokenizer: Tokenizer

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def model(self, folder: Path | None = None) -> Any:
        kind = LlamaForCausalLM if self.contract.template_name == "chatml" else MistralForCausalLM
        return kind.from_pretrained(folder or self.folder, dtype=torch.float32)

    def greedy(self, prompt: list[int], count: int, folder: Path | None = None) -> list[int]:
        made = self.model(folder).generate(
            torch.tensor([prompt]), max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0
        )
        return made[0, len(prompt) :].tolist()


def contract_for(file: Path, template: str, bos: str, eos: str, **changes: Any) -> ChatContract:
    vocabulary = Tokenizer.from_file(str(file))
    values = {
        "template_name": template,
        "template": template_text(template),
        "bos_token": bos,
        "eos_token": eos,
        "bos_id": vocabulary.token_to_id(bos),
        "eos_id": vocabulary.token_to_id(eos),
        "pad_id": vocabulary.token_to_id(eos),
        "stop_ids": (vocabulary.token_to_id(eos),),
        "adds_bos": False,
        "max_length": 256,
        "tokenizer_sha256": sha256_file(file),
        "systems": {"answer": "Answer the caller."},
    }
    return ChatContract.model_validate(values | changes)


def smollm_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    return tokenizer


def sentencepiece_tokenizer(prefix: bool) -> Tokenizer:
    """As conversions of sentencepiece models are: bytes, pieces by falling score, and a merge for each way to make a piece of two."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(TEXTS * 4, trainers.BpeTrainer(vocab_size=500, show_progress=False))
    learned = json.loads(trained.to_str())["model"]
    pieces = list(dict.fromkeys("".join(pair) for pair in learned["merges"]))
    letters = [text for text in learned["vocab"] if len(text) == 1]
    known = {*pieces, *letters}
    merges = [(text[:cut], text[cut:]) for text in pieces for cut in range(1, len(text)) if text[:cut] in known and text[cut:] in known]
    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    vocab = {text: id for id, text in enumerate([*special, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces, *letters])}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    stored = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": id, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
            for id, text in enumerate(special)
        ],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]} if prefix else None,
        "pre_tokenizer": None if prefix else {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": vocab,
            "merges": [list(pair) for pair in merges],
        },
    }
    return Tokenizer.from_str(json.dumps(stored))


def _save(folder: Path, model: Any, tokenizer: Tokenizer, template: str, bos: str, eos: str, shard: str = "1GB") -> Tiny:
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size=shard)
    tokenizer.save(str(folder / "tokenizer.json"))
    return Tiny(folder, contract_for(folder / "tokenizer.json", template, bos, eos), tokenizer)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Tied, byte-level BPE, rows of 96 and 160 values: multiples of 32 but not of 256."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=640,
        hidden_size=96,
        intermediate_size=160,
        num_hidden_layers=4,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0},
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    return _save(
        tmp_path_factory.mktemp("llama") / "base", LlamaForCausalLM(config), smollm_tokenizer(), "chatml", "<|im_start|>", "<|im_end|>"
    )


@pytest.fixture(scope="session")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Untied, sentencepiece-style BPE, rows of 256 and 512 values, saved in several shards."""
    torch.manual_seed(2)
    config = MistralConfig(
        vocab_size=800,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=512,
        sliding_window=None,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        tie_word_embeddings=False,
        initializer_range=0.1,
    )
    return _save(
        tmp_path_factory.mktemp("mistral") / "base",
        MistralForCausalLM(config),
        sentencepiece_tokenizer(prefix=True),
        "mistral",
        "<s>",
        "</s>",
        shard="3MB",
    )


@pytest.fixture
def opened() -> Iterator[Callable[[Path, ChatContract], LlamaCppEngine]]:
    """Opens engines and closes them after the test."""
    engines: list[LlamaCppEngine] = []

    def open_(file: Path, contract: ChatContract) -> LlamaCppEngine:
        engines.append(LlamaCppEngine(file, contract, threads=1))
        return engines[-1]

    yield open_
    for engine in engines:
        engine.close()


def golden(texts: Sequence[str] = PROBES, count: int = 60) -> list[list[dict[str, str]]]:
    """Conversations of one to three turns, with and without a system message."""
    conversations = []
    for number in range(count):
        conversation = [{"role": "system", "content": "Answer the caller."}] if number % 2 else []
        for turn in range(number % 3 + 1):
            conversation.append({"role": "user", "content": texts[(number + turn) % len(texts)]})
            conversation.append({"role": "assistant", "content": texts[(number * 3 + turn) % len(texts)]})
        conversations.append(conversation if number % 5 == 0 else conversation[:-1])
    return conversations
