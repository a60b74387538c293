"""Training: what is taught, packed as if alone, resumable, and equal to the reference libraries."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from rich.console import Console
from transformers import AutoModelForCausalLM

from bedside.corpus.conversation import Conversation, Message, Provenance
from bedside.engine.contract import ChatContract
from bedside.errors import TrainingError
from bedside.recipe import Stage, Training
from bedside.training.base import load_tokenizer
from bedside.training.fused import CrossEntropy, use_fast_lora
from bedside.training.packing import ATTENTION, BANDED, IGNORE, Row, collate, pack
from bedside.training.rows import make_row, make_rows
from bedside.training.train import EVENTS, compile_layers, load_model, mean_loss, taught_loss, train_stage
from bedside.workspace.ledger import DropLedger


def conversation(*messages: tuple[str, str]) -> Conversation:
    return Conversation(
        messages=tuple(Message(role=r, content=c) for r, c in messages), provenance=Provenance(source="s", where="s:1", family="f")
    )  # type: ignore[arg-type]


def test_only_answers_and_their_stop_token_are_taught(tiny_llama: Path, contract: ChatContract) -> None:
    tokenizer = load_tokenizer(tiny_llama)
    row = make_row(
        conversation(
            ("system", "s"), ("user", "my script has run out"), ("assistant", " script"), ("user", "and"), ("assistant", " booking script")
        ),
        contract,
        tokenizer,
    )
    one = tokenizer(" script", add_special_tokens=False)["input_ids"]
    two = tokenizer(" booking script", add_special_tokens=False)["input_ids"]
    assert [label for label in row.labels if label != IGNORE] == [*one, contract.eos_id, *two, contract.eos_id]
    assert all(label in (IGNORE, token) for label, token in zip(row.labels, row.input_ids, strict=True))


def test_what_is_taught_follows_exactly_the_ids_that_the_engine_is_asked_with(tiny_llama: Path, contract: ChatContract) -> None:
    tokenizer = load_tokenizer(tiny_llama)
    messages = [("user", "can i get in 2:15 with doctor nguyễn 🙂"), ("assistant", " booking Doctor dr nguyen")]
    row = make_row(conversation(*messages), contract, tokenizer)
    asked = tokenizer(contract.render([{"role": "user", "content": messages[0][1]}]), add_special_tokens=False)["input_ids"]
    first = next(i for i, label in enumerate(row.labels) if label != IGNORE)
    assert row.input_ids[:first] == asked


def test_a_long_row_is_dropped_into_the_ledger_and_never_cut(tiny_llama: Path, contract: ChatContract) -> None:
    ledger = DropLedger()
    rows = make_rows(
        [conversation(("user", "a"), ("assistant", "b " * n)) for n in (1, 2, 200)],
        contract,
        load_tokenizer(tiny_llama),
        ledger,
        max_long_share=0.5,
    )
    assert len(rows) == 2 and all(row.labels[-1] == contract.eos_id for row in rows)
    assert ledger.counts() == {"tokenise/dropped/too_long": 1}
    with pytest.raises(TrainingError, match=r"1 of 3 rows \(33%\) are longer than training.max_length 64"):
        make_rows(
            [conversation(("user", "a"), ("assistant", "b " * n)) for n in (1, 2, 200)],
            contract,
            load_tokenizer(tiny_llama),
            DropLedger(),
            max_long_share=0.2,
        )


def test_rows_that_teach_nothing_are_refused(tiny_llama: Path, contract: ChatContract) -> None:
    with pytest.raises(TrainingError, match="none of 1 conversations teaches anything"):
        make_rows([conversation(("user", "a"))], contract, load_tokenizer(tiny_llama), DropLedger(), max_long_share=1)


@given(st.lists(st.integers(1, 80), min_size=1, max_size=60), st.integers(8, 100), st.integers(0, 5))
def test_packing_loses_and_repeats_nothing_and_keeps_to_its_size(lengths: list[int], tokens: int, seed: int) -> None:
    blocks = pack(lengths, tokens, seed=seed)
    assert sorted(i for block in blocks for i in block) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in block) <= tokens or len(block) == 1 for block in blocks)
    assert blocks == pack(lengths, tokens, seed=seed)


def some_rows(vocabulary: int = 300) -> list[Row]:
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(5, vocabulary, (n,), generator=generator).tolist() for n in (5, 17, 9, 30, 3)]
    return [Row(i, [IGNORE] * 2 + i[2:]) for i in ids]


@pytest.mark.parametrize("tokens", [128, 192, 480, 2 * BANDED])
def test_the_loss_of_a_packed_block_is_that_of_its_rows_one_by_one(tiny_llama: Path, tokens: int) -> None:
    packed = load_model(tiny_llama, dtype=torch.float32)
    plain = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    rows = some_rows()
    loss, count = taught_loss(packed, collate(rows, tokens, 0))
    alone = sum(
        plain(torch.tensor([r.input_ids]), labels=torch.tensor([r.labels])).loss * sum(label != IGNORE for label in r.labels[1:])
        for r in rows
    )
    assert count == sum(label != IGNORE for r in rows for label in r.labels[1:])
    torch.testing.assert_close(loss, alone, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_fused_loss_has_the_value_and_gradient_of_torchs(weighted: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    # Logits as far apart as a sure model's, where a softmax alone would lose the rarest words.
    logits = (torch.randn(12, 50, generator=generator) * 40).requires_grad_()
    wanted = torch.randint(0, 50, (12,), generator=generator).index_fill(0, torch.tensor([3, 7]), IGNORE)
    weights = torch.rand(50, generator=generator) * 3 if weighted else None
    results = []
    for function in (CrossEntropy.apply, lambda *given: torch.nn.functional.cross_entropy(given[0], given[1], given[2], reduction="sum")):
        loss = function(logits, wanted, weights) / 7
        results.append((loss.detach(), *torch.autograd.grad(loss, logits)))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-6)


def test_the_fused_lora_product_has_pefts_values_and_gradients(tiny_llama: Path) -> None:
    results = []
    for fused in (False, True):
        torch.manual_seed(3)
        model = get_peft_model(
            load_model(tiny_llama, dtype=torch.float32),
            LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False),
        )
        assert not fused or use_fast_lora(model) == 14
        loss, _ = taught_loss(model, collate(some_rows(), 128, 0))
        loss.backward()
        results.append((loss.detach(), {n: p.grad for n, p in model.named_parameters() if p.requires_grad}))
    (plain, plain_grads), (fast, fast_grads) = results
    torch.testing.assert_close(plain, fast, rtol=1e-5, atol=1e-4)
    for name, gradient in plain_grads.items():
        torch.testing.assert_close(gradient, fast_grads[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_compiled_layers_have_the_values_and_gradients_of_plain_ones(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    results = []
    for compiled in (False, True):
        torch.manual_seed(3)
        model = get_peft_model(
            load_model(tiny_llama, dtype=torch.float32),
            LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False),
        )
        use_fast_lora(model)
        if compiled:
            compile_layers(model, Console(quiet=True))
        loss, _ = taught_loss(model, collate(some_rows(), 128, 0))
        loss.backward()
        results.append((loss, [p.grad for p in model.parameters() if p.requires_grad]))
    assert list(tmp_path.iterdir()), "nothing was compiled"
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_learned_rows_have_pefts_values_and_gradients(tiny_llama: Path, tied: bool) -> None:
    model = load_model(tiny_llama, dtype=torch.float32)
    model.config.tie_word_embeddings = tied
    if tied:
        model.lm_head.weight = model.get_input_embeddings().weight
    ids = [5, 9, 300]
    adapted = get_peft_model(
        model,
        LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM", trainable_token_indices=ids if tied else {"lm_head": ids}),
    )
    for name, parameter in adapted.named_parameters():
        if "trainable_tokens_delta" in name:
            torch.nn.init.normal_(parameter)
    row = Row([1, 300, 7, 5, 5, 9, 2], [IGNORE, IGNORE, 7, 5, 5, 9, 2])

    def step() -> tuple[float, dict[str, torch.Tensor]]:
        adapted.zero_grad()
        loss, count = taught_loss(adapted, collate([row, row], 16, 0))
        (loss / count).backward()
        return loss.item(), {name: p.grad.clone() for name, p in adapted.named_parameters() if p.grad is not None}

    plain = step()
    assert use_fast_lora(adapted) > 0
    fused = step()
    assert fused[0] == pytest.approx(plain[0], rel=1e-5)
    assert plain[1].keys() == fused[1].keys() and any("trainable_tokens_delta" in name for name in fused[1])
    for name, gradient in plain[1].items():
        torch.testing.assert_close(fused[1][name], gradient, rtol=1e-3, atol=1e-5)


def test_the_fused_product_leaves_layers_with_dropout_to_peft(tiny_llama: Path) -> None:
    model = get_peft_model(
        load_model(tiny_llama), LoraConfig(r=4, lora_dropout=0.05, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    )
    assert use_fast_lora(model) == 0


def train(base: Path, out: Path, *, rows: int = 400, start: Path | None = None) -> object:
    ids = [[1, 5 + n % 7, 20 + n % 3, 40 + n % 3, 2] for n in range(rows)]
    taught = [Row(i, [IGNORE, IGNORE, *i[2:]]) for i in ids]
    out.mkdir(parents=True, exist_ok=True)
    stage = Stage(name="s", use="single_intent", rows=rows, learning_rate=3e-2)
    settings = Training(stages=(stage,), max_length=64, tokens_per_step=40)
    return train_stage(
        base=base,
        start=start,
        rows=taught,
        held_out=taught[:6],
        stage=stage,
        training=settings,
        seed=1,
        out=out,
        console=Console(quiet=True),
    )


def test_a_stage_learns_and_writes_adapter_events_and_curve(tiny_llama: Path, tmp_path: Path) -> None:
    result = train(tiny_llama, tmp_path / "a")
    assert result.held_out_after < 0.6 * result.held_out_before  # type: ignore[attr-defined]
    assert (tmp_path / "a" / "adapter" / "adapter_model.safetensors").is_file()
    assert (tmp_path / "a" / "curve.png").read_bytes().startswith(b"\x89PNG")
    events = [json.loads(line) for line in (tmp_path / "a" / EVENTS).read_text().splitlines()]
    assert {"loss", "step", "of", "tokens_per_second", "seconds"} <= events[0].keys()
    assert not (tmp_path / "a" / "checkpoints").exists()
    again = train(tiny_llama, tmp_path / "b", start=tmp_path / "a" / "adapter")
    assert abs(again.held_out_before - result.held_out_after) < 0.02  # type: ignore[attr-defined]


def test_equal_runs_give_equal_curves(tiny_llama: Path, tmp_path: Path) -> None:
    losses = []
    for name in ("a", "b"):
        train(tiny_llama, tmp_path / name, rows=80)
        losses.append([json.loads(line).get("loss") for line in (tmp_path / name / EVENTS).read_text().splitlines()])
    assert losses[0] == losses[1]


KILLED = """
import sys; sys.path[:0] = [{tests!r}]
from pathlib import Path
from test_training import train
train(Path({base!r}), Path({out!r}), rows=6000)
"""


@pytest.mark.slow
def test_a_killed_stage_goes_on_from_its_checkpoint(tiny_llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "a"
    script = KILLED.format(tests=str(Path(__file__).parent), base=str(tiny_llama), out=str(out))
    process = subprocess.Popen([sys.executable, "-c", script], env=os.environ)
    deadline = time.monotonic() + 120
    while not list(out.glob("checkpoints/checkpoint-*/trainer_state.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    steps = max(json.loads(p.read_text())["global_step"] for p in out.glob("checkpoints/checkpoint-*/trainer_state.json"))
    result = train(tiny_llama, out, rows=6000)
    events = [json.loads(line) for line in (out / EVENTS).read_text().splitlines()]
    resumed = [e["step"] for e in events if "loss" in e]
    assert steps > 0 and result.steps == events[-1]["of"]  # type: ignore[attr-defined]
    assert resumed[-1] > steps and min(resumed) < steps


def test_nf4_without_a_gpu_says_so(tiny_llama: Path) -> None:
    if torch.cuda.is_available():
        load_model(tiny_llama, "nf4")
        return
    with pytest.raises(TrainingError, match="no NVIDIA GPU"):
        load_model(tiny_llama, "nf4")


def test_mean_loss_is_the_reference_loss(tiny_llama: Path) -> None:
    rows = some_rows()
    plain = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    taught = [sum(label != IGNORE for label in r.labels[1:]) for r in rows]
    total = sum(
        plain(torch.tensor([r.input_ids]), labels=torch.tensor([r.labels])).loss.item() * n for r, n in zip(rows, taught, strict=True)
    )
    model = load_model(tiny_llama, dtype=torch.float32)
    assert model.config._attn_implementation == ATTENTION
    assert mean_loss(model, rows, 20) == pytest.approx(total / sum(taught), rel=1e-4)
