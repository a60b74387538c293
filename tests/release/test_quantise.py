"""Quantised files: values within each type's error, llama.cpp's choice of types, every fallback reported."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from bedside.errors import ReleaseError
from bedside.release.gguf_writer import write_gguf
from bedside.release.quantise import KINDS, quantise, wanted_type

from .conftest import TEXTS, Tiny

# Largest root-mean-square error of normally distributed values, as a share of their own root mean square.
_ERROR = {
    "Q8_0": 0.01,
    "Q6_K": 0.03,
    "Q5_K": 0.05,
    "Q5_1": 0.05,
    "Q5_0": 0.06,
    "Q4_K": 0.1,
    "Q4_1": 0.1,
    "Q4_0": 0.12,
    "F16": 0.001,
    "F32": 1e-7,
    "BF16": 0.005,
}


@pytest.fixture(scope="module")
def files(llama: Tiny, mistral: Tiny, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("f16")
    return {
        name: write_gguf(tiny.folder, tiny.contract, folder / f"{name}.gguf", name=name).path
        for name, tiny in (("llama", llama), ("mistral", mistral))
    }


@pytest.mark.parametrize("family", ["llama", "mistral"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_values_stay_within_the_error_of_their_type(family: str, kind: str, files: dict[str, Path], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = quantise(files[family], tmp_path / "q.gguf", kind, progress=lambda done, total: seen.append((done, total)), threads=1)
    before, after = gguf.GGUFReader(files[family]), gguf.GGUFReader(tmp_path / "q.gguf")
    assert [tensor.name for tensor in after.tensors] == [tensor.name for tensor in before.tensors]
    assert seen == [(done, len(after.tensors)) for done in range(1, len(after.tensors) + 1)]
    assert report.types == Counter(tensor.tensor_type.name for tensor in after.tensors)
    assert report.bytes == (tmp_path / "q.gguf").stat().st_size < report.source_bytes
    for old, new in zip(before.tensors, after.tensors, strict=True):
        exact, got = (gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in (old, new))
        assert got.shape == exact.shape
        assert np.sqrt(np.mean((got - exact) ** 2) / np.mean(exact**2)) < _ERROR[new.tensor_type.name], (old.name, new.tensor_type.name)
    assert after.fields["general.file_type"].contents() == KINDS[kind].file_type
    same = [name for name in before.fields if name.startswith(("tokenizer.", "llama."))]
    assert all(after.fields[name].contents() == before.fields[name].contents() for name in same)


def test_simple_types_are_bit_for_bit_those_of_the_gguf_package(files: dict[str, Path], tmp_path: Path) -> None:
    quantise(files["mistral"], tmp_path / "q.gguf", "Q8_0", threads=1)
    after = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "q.gguf").tensors}
    for tensor in gguf.GGUFReader(files["mistral"]).tensors:
        if after[tensor.name].tensor_type == Type.Q8_0:
            expected = gguf.quants.quantize(tensor.data.astype(np.float32), Type.Q8_0)
            assert np.mean(expected != after[tensor.name].data) < 0.001, tensor.name


def test_a_mixture_on_rows_of_256(files: dict[str, Path], tmp_path: Path) -> None:
    report = quantise(files["mistral"], tmp_path / "q.gguf", "Q4_K_M", threads=1)
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "q.gguf").tensors}
    assert report.fallbacks == ()
    richer = {0, 3, 6, 7}
    assert {layer for layer in range(8) if types[f"blk.{layer}.attn_v.weight"] == "Q6_K"} == richer
    assert {layer for layer in range(8) if types[f"blk.{layer}.ffn_down.weight"] == "Q6_K"} == richer
    assert types["output.weight"] == "Q6_K"
    assert types["token_embd.weight"] == types["blk.0.attn_q.weight"] == types["blk.1.attn_v.weight"] == "Q4_K"
    assert types["blk.0.attn_norm.weight"] == types["output_norm.weight"] == "F32"


def test_rows_of_96_fall_back_and_are_reported(files: dict[str, Path], tmp_path: Path) -> None:
    report = quantise(files["llama"], tmp_path / "q.gguf", "Q4_K_M", threads=1)
    assert set(report.types) == {"F32", "Q5_0", "Q8_0"}
    assert {(f.wanted, f.got) for f in report.fallbacks} == {("Q4_K", "Q5_0"), ("Q6_K", "Q8_0")}
    assert len(report.fallbacks) == 28
    assert report.fallbacks[0].columns in (96, 160)
    assert {f.name for f in quantise(files["llama"], tmp_path / "r.gguf", "Q4_1", threads=1).fallbacks} == {"token_embd.weight"}


def test_rows_that_fit_no_block_stay_as_they_are(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "odd.gguf", "llama")
    for key in ("head_count", "head_count_kv"):
        writer.add_uint32(f"llama.attention.{key}", 1)
    writer.add_tensor("blk.0.attn_q.weight", np.ones((4, 40), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for kind in ("Q4_0", "Q4_K_M"):
        report = quantise(tmp_path / "odd.gguf", tmp_path / "q.gguf", kind, threads=1)
        assert report.types == {"F16": 1}
        assert [f.got for f in report.fallbacks] == ["F16"]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("blk.0.attn_v.weight", "Q4_K_M", Type.Q6_K),
        ("blk.4.attn_v.weight", "Q4_K_M", Type.Q4_K),
        ("blk.6.ffn_down.weight", "Q4_K_M", Type.Q6_K),
        ("blk.28.ffn_down.weight", "Q5_K_M", Type.Q6_K),
        ("blk.27.ffn_down.weight", "Q5_K_M", Type.Q6_K),
        ("blk.26.ffn_down.weight", "Q5_K_M", Type.Q5_K),
        ("blk.3.attn_v.weight", "Q4_K_S", Type.Q5_K),
        ("blk.4.attn_v.weight", "Q4_K_S", Type.Q4_K),
        ("blk.3.ffn_down.weight", "Q4_K_S", Type.Q5_K),
        ("blk.4.ffn_down.weight", "Q4_K_S", Type.Q4_K),
        ("output.weight", "Q4_0", Type.Q6_K),
        ("output.weight", "Q8_0", Type.Q8_0),
        ("token_embd.weight", "Q4_K_M", Type.Q4_K),
    ],
)
def test_choices_for_a_model_of_32_layers(name: str, kind: str, expected: Type) -> None:
    assert wanted_type(name, kind, columns=4096, layers=32, tied=False) == expected


def test_choices_that_depend_on_the_model() -> None:
    assert wanted_type("token_embd.weight", "Q4_K_M", columns=2048, layers=32, tied=True) == Type.Q6_K
    assert wanted_type("token_embd.weight", "Q4_K_M", columns=576, layers=30, tied=True) == Type.Q8_0
    assert wanted_type("blk.11.attn_v.weight", "Q4_K_M", columns=8192, layers=80, tied=False, is_70b=True) == Type.Q5_K


@pytest.mark.parametrize(
    ("family", "kind"),
    [("llama", "Q8_0"), ("llama", "Q4_K_M"), ("mistral", "Q4_K_M"), ("mistral", "Q5_K_M"), ("mistral", "Q4_0"), ("mistral", "Q5_1")],
)
def test_the_engine_computes_with_the_quantised_values(
    family: str, kind: str, files: dict[str, Path], request: pytest.FixtureRequest, tmp_path: Path, opened: Any
) -> None:
    tiny: Tiny = request.getfixturevalue(family)
    quantise(files[family], tmp_path / "q.gguf", kind, threads=1)
    engine = opened(tmp_path / "q.gguf", tiny.contract)
    same_values = opened(_dequantised(tmp_path / "q.gguf", tmp_path / "d.gguf"), tiny.contract)
    differences = []
    for text in TEXTS:
        prompt = tiny.ids(tiny.contract.render([{"role": "user", "content": text}]))
        tokens = [one.complete(prompt, max_tokens=1, top_logprobs=20, ignore_stop=True).tokens for one in (engine, same_values)]
        # llama.cpp reports no token whose text ends within a character.
        if all(tokens):
            got, expected = (token[0].alternatives for token in tokens)
            differences += [abs(got[text] - expected[text]) for text in got.keys() & expected.keys() if text.isprintable()]
    # llama.cpp also rounds activations to eight bits, which no comparison of weights shows.
    assert len(differences) > 20
    assert np.median(differences) < 0.1


def _dequantised(source: Path, out: Path) -> Path:
    reader, writer = gguf.GGUFReader(source), gguf.GGUFWriter(out, "llama")
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            writer.add_key_value(name, field.contents(), field.types[0], field.types[-1] if len(field.types) > 1 else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def test_refusals(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"'Q3_XL'.*Q8_0.*Q4_K_M.*Q6_K"):
        quantise(files["llama"], tmp_path / "q.gguf", "Q3_XL")
    quantise(files["llama"], tmp_path / "q.gguf", "Q8_0", threads=1)
    with pytest.raises(ReleaseError, match="already"):
        quantise(tmp_path / "q.gguf", tmp_path / "r.gguf", "Q4_0")
    (tmp_path / "text.gguf").write_text("no model")
    for name in ("text.gguf", "absent.gguf"):
        with pytest.raises(ReleaseError, match="cannot be read as GGUF"):
            quantise(tmp_path / name, tmp_path / "r.gguf", "Q4_0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q.gguf", "text.gguf"]
