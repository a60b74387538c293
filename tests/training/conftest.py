"""A tiny random model and tokenizer, made on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

from bedside.engine.contract import ChatContract
from bedside.knowledge.intents import catalogue
from bedside.workspace.files import sha256_file
from fixtures_contract import chatml


def tiny_base(folder: Path, architecture: str) -> Path:
    """A random two-layer model with a byte-level tokenizer that knows every intent's code as one token."""
    codes = [word for kind in (*catalogue().intents, *catalogue().slots) for word in kind.codes]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    text = [f" {word}" for word in [*codes, "none"] for _ in range(3)] + ["can i get in with doctor this arvo my script has run out"] * 5
    tokenizer.train_from_iterator(
        text,
        trainers.BpeTrainer(
            vocab_size=2000, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", unk_token="<|endoftext|>", pad_token="<|im_end|>"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": len(fast),
        "max_position_embeddings": 512,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "initializer_range": 0.1,
    }
    model = (
        LlamaForCausalLM(LlamaConfig(**shape))
        if architecture == "llama"
        else MistralForCausalLM(MistralConfig(**shape, sliding_window=None))
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="session")
def contract(tiny_llama: Path) -> ChatContract:
    return chatml(64, sha256_file(tiny_llama / "tokenizer.json"), {"understand": "", "answer": "answer"})
