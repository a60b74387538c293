"""The Mistral way on a tiny random MistralForCausalLM made on the spot: train → merge → GGUF → Q4_K_M → the embedded engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest_e2e import ROOT, bedside
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

from bedside.engine.contract import ChatContract
from bedside.engine.llamacpp import LlamaCppEngine
from bedside.training.generate import Greedy

RECIPE = """
name: tiny-mistral
description: A random Mistral, to test the way.
task: answer
base: {{source: {base}, licence: Apache-2.0, template: mistral}}
corpus:
  sources:
  - {{name: practice-answers, reader: chat_messages, path: {answers}, licence: Apache-2.0, locale: en-AU}}
  held_out_share: 0.3
training:
  max_length: 512
  tokens_per_step: 1024
  adapter: {{r: 16, alpha: 32, dropout: 0.05, targets: q-v}}
  stages:
  - {{name: foundation, use: sources, rows: 60, learning_rate: 1.0e-2}}
release: {{quantisation: Q4_K_M, golden: 50}}
"""


def random_mistral(folder: Path) -> Path:
    answers = [json.loads(line)["messages"] for line in (ROOT / "data/practice-answers.jsonl").read_text(encoding="utf-8").splitlines()]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1800, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator((m["content"] for messages in answers for m in messages), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>")
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = MistralConfig(**shape, vocab_size=len(fast), max_position_embeddings=1024, sliding_window=None, bos_token_id=1, eos_token_id=2)
    MistralForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_random_mistral_goes_the_whole_way_with_equal_answers(tmp_path: Path) -> None:
    base = random_mistral(tmp_path / "base")
    recipe = tmp_path / "tiny-mistral.yaml"
    recipe.write_text(RECIPE.format(base=base, answers=ROOT / "data/practice-answers.jsonl"), encoding="utf-8")
    done = bedside("run", str(recipe), "--runs", str(tmp_path / "runs"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    run = tmp_path / "runs" / "tiny-mistral"
    modelfile = (run / "release" / "Modelfile").read_text(encoding="utf-8")
    assert "[INST]" in modelfile and "</s>" in modelfile and "num_ctx 512" in modelfile
    card = (run / "release" / "README.md").read_text(encoding="utf-8")
    assert "Q4_K" in card and "greedy parity" in card and "token parity: " in card

    contract = ChatContract.load(run / "release")
    trained = Greedy(run / "merge" / "model", None, contract, 16)
    engine = LlamaCppEngine(run / "merge" / "f16.gguf", contract, threads=1)
    equal = 0
    for question in ("I've lost my blood test form", "Do you bulk bill?", "My baby won't wake up", "Can I get a script on Friday 24 July?"):
        prompt = engine.tokenize(contract.render([{"role": "user", "content": question}]))
        made = engine.complete(prompt, max_tokens=16, top_logprobs=1)
        ids = [token.id for token in made.tokens]
        wanted = [i for i in trained(prompt) if i not in contract.stop_ids]
        equal += ids[: len(wanted)] == wanted[: len(ids)]
    engine.close()
    # Weights in F16 and arithmetic in another order: the likeliest token may change hands on a tie of a random model, once.
    assert equal >= 3
