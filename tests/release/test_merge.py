"""Folding adapters in: as PEFT does it in float32, and nothing else of the base changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

from bedside.errors import ReleaseError
from bedside.release.gates import check_greedy_parity
from bedside.release.merge import merge

from .conftest import TEXTS, Tiny

_ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def adapter(tiny: Tiny, folder: Path, **settings: Any) -> Path:
    torch.manual_seed(3)
    model = get_peft_model(
        tiny.model(), LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": _ALL, "task_type": "CAUSAL_LM"} | settings)
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    model.save_pretrained(folder)
    return folder


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("family", ["llama", "mistral"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"alpha_pattern": {"q_proj": 32}, "rank_pattern": {"layers.1.mlp.up_proj": 2}},
        {"target_modules": ["v_proj"]},
    ],
)
def test_merge_is_that_of_peft_in_float32(family: str, settings: dict[str, Any], request: pytest.FixtureRequest, tmp_path: Path) -> None:
    tiny: Tiny = request.getfixturevalue(family)
    lora = adapter(tiny, tmp_path / "adapter", **settings)
    merged = _weights(merge(tiny.folder, lora, tmp_path / "merged"))
    expected = PeftModel.from_pretrained(tiny.model(), lora).merge_and_unload().state_dict()
    before = _weights(tiny.folder)
    assert merged.keys() == before.keys()
    changed = {name for name in merged if not torch.equal(merged[name], before[name])}
    assert changed and all(any(part in name for part in settings.get("target_modules", _ALL)) for name in changed)
    for name, tensor in merged.items():
        assert tensor.dtype == torch.bfloat16
        torch.testing.assert_close(tensor.float(), expected[name].to(torch.bfloat16).float(), rtol=2**-7, atol=1e-6)
        assert float((tensor.float() != expected[name].to(torch.bfloat16).float()).float().mean()) < 0.01, name


def test_without_an_adapter_the_base_is_copied(mistral: Tiny, tmp_path: Path) -> None:
    out = merge(mistral.folder, None, tmp_path / "merged")
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {p.name: p.read_bytes() for p in mistral.folder.iterdir()}


def test_greedy_parity_holds_across_a_float32_merge(llama: Tiny, tmp_path: Path) -> None:
    base = tmp_path / "base32"
    llama.model().save_pretrained(base)
    lora = adapter(llama, tmp_path / "adapter")
    merged = merge(base, lora, tmp_path / "merged")
    tuned = PeftModel.from_pretrained(llama.model(), lora)

    def before(prompt: list[int]) -> list[int]:
        return tuned.generate(input_ids=torch.tensor([prompt]), max_new_tokens=8, min_new_tokens=8, do_sample=False, pad_token_id=0)[
            0, len(prompt) :
        ].tolist()

    prompts = [llama.ids(text) for text in TEXTS[:3]]
    assert check_greedy_parity(before, lambda prompt: llama.greedy(prompt, 8, merged), prompts).checked == 3
    with pytest.raises(ReleaseError, match=r"'greedy parity' failed at prompt 0 .* position \d+: before has"):
        check_greedy_parity(before, lambda prompt: llama.greedy(prompt, 8), prompts)


def test_fully_trained_modules_replace_the_base_ones(mistral: Tiny, tmp_path: Path) -> None:
    lora = adapter(mistral, tmp_path / "adapter", modules_to_save=["lm_head"])
    merged = _weights(merge(mistral.folder, lora, tmp_path / "merged"))
    saved = load_file(lora / "adapter_model.safetensors")["base_model.model.lm_head.weight"]
    assert torch.equal(merged["lm_head.weight"], saved.to(torch.bfloat16))


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_learned_rows_of_the_vocabulary_are_put_in_and_no_other_row_changes(
    family: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    tiny: Tiny = request.getfixturevalue(family)
    tied, ids = tiny.model().config.tie_word_embeddings, [3, 7]
    model = get_peft_model(
        tiny.model(),
        LoraConfig(r=2, target_modules=["v_proj"], task_type="CAUSAL_LM", trainable_token_indices=ids if tied else {"lm_head": ids}),
    )
    for name, parameter in model.named_parameters():
        if "trainable_tokens_delta" in name:
            torch.nn.init.normal_(parameter)
    model.save_pretrained(tmp_path / "adapter")
    before, merged = _weights(tiny.folder), _weights(merge(tiny.folder, tmp_path / "adapter", tmp_path / "merged"))
    name = "model.embed_tokens.weight" if tied else "lm_head.weight"
    assert (merged[name] != before[name]).any(dim=1).nonzero().flatten().tolist() == ids
    expected = model.merge_and_unload().state_dict()[name]
    assert torch.equal(merged[name], expected.to(torch.bfloat16))


def test_adapters_that_cannot_be_folded_in_are_refused(llama: Tiny, mistral: Tiny, tmp_path: Path) -> None:
    lora = adapter(llama, tmp_path / "adapter")
    with pytest.raises(ReleaseError, match="base has shape"):
        merge(mistral.folder, lora, tmp_path / "merged")
    settings = json.loads((lora / "adapter_config.json").read_text())
    for change, says in (({"use_dora": True}, "'use_dora'"), ({"peft_type": "IA3"}, "'IA3'")):
        (lora / "adapter_config.json").write_text(json.dumps(settings | change))
        with pytest.raises(ReleaseError, match=says):
            merge(llama.folder, lora, tmp_path / "merged")
    with pytest.raises(ReleaseError, match="exists already"):
        merge(llama.folder, None, llama.folder)
    with pytest.raises(ReleaseError, match="embed_tokens"):
        merge(llama.folder, adapter(llama, tmp_path / "embedding", target_modules=["embed_tokens"]), tmp_path / "merged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "embedding"]
