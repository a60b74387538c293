"""Release folders: whole or absent, verified to the byte; Modelfile and card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from bedside.engine.contract import ChatContract
from bedside.errors import ReleaseError
from bedside.release.build import Evaluation, Release, build_release, load_release, verify_release
from bedside.release.gates import GateResult, check_score_loss
from bedside.release.modelfile import go_template, modelfile_text

from .conftest import Tiny, golden

FACTS: dict[str, Any] = {
    "base_model": "example/tiny",
    "base_licence": "apache-2.0",
    "licence": "apache-2.0",
    "sources": [{"name": "calls | synthetic", "records": 12345, "licence": "CC-BY-4.0"}],
    "training": {"method": "LoRA", "rank": 8, "learning rate": 0.0002},
    "scores": {"intent F1": {"base": 0.41, "tuned": 0.93}},
    "limits": ["English as spoken in Australia only."],
}


class _SameTokens:
    """Tokenises as training did, without loading a model."""

    def __init__(self, tiny: Tiny) -> None:
        self.tiny = tiny
        self.closed = False

    def tokenize(self, text: str) -> list[int]:
        return self.tiny.ids(text)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def build(llama: Tiny, tmp_path: Path) -> Callable[..., Release]:
    def build(**changes: Any) -> Release:
        settings: dict[str, Any] = {
            "merged": llama.folder,
            "contract": llama.contract,
            "out": tmp_path / "release",
            "kind": "Q8_0",
            "name": "tiny-line",
            "golden": golden(),
            "tokenizer": llama.ids,
            "card_facts": FACTS,
            "open_engine": lambda _model, _contract: _SameTokens(llama),
            "temperature": 0.0,
            "today": date(2026, 11, 22),
        }
        return build_release(**(settings | changes))

    return build


@pytest.mark.parametrize(("family", "kind"), [("llama", "Q8_0"), ("mistral", "Q4_K_M"), ("llama", "F16")])
def test_a_release_is_whole_and_passes_through_the_real_engine(
    family: str, kind: str, request: pytest.FixtureRequest, build: Callable[..., Release]
) -> None:
    tiny: Tiny = request.getfixturevalue(family)
    release = build(merged=tiny.folder, contract=tiny.contract, kind=kind, tokenizer=tiny.ids, open_engine=None)
    assert verify_release(release.folder) == release == load_release(release.folder)
    assert sorted(path.name for path in release.folder.iterdir()) == [
        "Modelfile",
        "README.md",
        "bom.cdx.json",
        "contract.json",
        "manifest.json",
        "model.gguf",
    ]
    assert release.manifest.contract == tiny.contract.hash
    assert release.manifest.files["model.gguf"].bytes == release.model.stat().st_size
    assert [path.name for path in release.folder.parent.iterdir()] == ["release"]


def test_the_card_tells_all(build: Callable[..., Release]) -> None:
    release = build(
        kind="Q4_K_M",
        gates=[GateResult("greedy parity", 8, "96 greedily chosen tokens equal after 8 prompts")],
        evaluate=lambda _: Evaluation((check_score_loss(0.93, 0.92),), {"recall of red flags": {"tuned": "1.0 (0.98 to 1.0)"}}),
        extras={"bom.json": b"{}"},
    )
    card = (release.folder / "README.md").read_text(encoding="utf-8")
    for line in (
        "# tiny-line",
        "**Not a medical device. Not for clinical use without validation.**",
        "| calls \\| synthetic | 12,345 | CC-BY-4.0 |",
        "| measure | base | tuned |",
        "| intent F1 | 0.41 | 0.93 |",
        "| recall of red flags | – | 1.0 (0.98 to 1.0) |",
        "- greedy parity: 96 greedily chosen tokens equal after 8 prompts",
        "- score loss: 0.9300 before and 0.9200 after quantisation, limit 0.02",
        "- Q4_K → Q5_0: 24 (such as `blk.0.ffn_down.weight`)",
        "- Q6_K → Q8_0: 4 (such as `blk.2.ffn_down.weight`)",
        "- English as spoken in Australia only.",
        "    ollama create tiny-line -f Modelfile",
        f"| model.gguf | `{release.manifest.files['model.gguf'].sha256}` |",
        f"| bom.json | `{release.manifest.files['bom.json'].sha256}` |",
    ):
        assert line in card.splitlines(), line
    assert any(line.startswith("- token parity: ") for line in card.splitlines())
    assert "2026-11-22" in card


def test_a_failed_gate_leaves_nothing_and_keeps_the_older_release(build: Callable[..., Release], llama: Tiny, tmp_path: Path) -> None:
    engine = _SameTokens(llama)
    with pytest.raises(ReleaseError, match=r"'token parity' failed at conversation 3 .*position 0: training has 99"):
        build(
            tokenizer=lambda text: [99, *llama.ids(text)] if text == llama.contract.render(golden()[3]) else llama.ids(text),
            open_engine=lambda _model, _contract: engine,
        )
    assert engine.closed
    assert list(tmp_path.iterdir()) == []
    older = build().manifest
    with pytest.raises(ReleaseError, match="'score loss' failed"):
        build(name="newer", evaluate=lambda _: Evaluation((check_score_loss(0.9, 0.5),)))
    assert verify_release(tmp_path / "release").manifest == older
    assert build(name="newer").manifest.name == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_what_is_asked_wrongly_is_refused_before_work(build: Callable[..., Release], tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"'Q9'.*Q4_K_M.*F16"):
        build(kind="Q9")
    with pytest.raises(ReleaseError, match=r"licence: Field required; colour: Extra"):
        build(card_facts={key: value for key, value in FACTS.items() if key != "licence"} | {"colour": "blue"})
    with pytest.raises(ReleaseError, match="needs 50 golden"):
        build(golden=golden(count=49))
    (tmp_path / "release").mkdir()
    with pytest.raises(ReleaseError, match="exists and is no release"):
        build()


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (lambda folder: _flip(folder / "model.gguf"), "model.gguf' was changed"),
        (lambda folder: (folder / "Modelfile").write_text("FROM elsewhere\n"), "Modelfile' was changed"),
        (lambda folder: (folder / "README.md").unlink(), "lacks 'README.md'"),
        (lambda folder: (folder / "model.gguf").unlink(), "lacks model.gguf"),
        (lambda folder: (folder / "extra.bin").write_bytes(b""), "holds 'extra.bin'"),
        (lambda folder: (folder / "manifest.json").unlink(), "no finished release"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "is damaged"),
        (
            lambda folder: (folder / "contract.json").write_text((folder / "contract.json").read_text().replace("256", "255", 1)),
            "was changed",
        ),
    ],
)
def test_tampering_is_named(tamper: Callable[[Path], Any], says: str, build: Callable[..., Release], tmp_path: Path) -> None:
    folder = build().folder
    verify_release(folder)
    tamper(folder)
    with pytest.raises(ReleaseError, match=says):
        verify_release(folder)


def test_another_contract_with_a_true_hash_is_not_the_manifests(build: Callable[..., Release], llama: Tiny) -> None:
    release = build()
    ChatContract.model_validate(llama.contract.model_dump() | {"max_length": 255}).save(release.folder)
    with pytest.raises(ReleaseError, match="not the contract of its manifest"):
        load_release(release.folder)


def test_a_signature_may_lie_beside_the_manifest_and_a_release_may_move(build: Callable[..., Release], tmp_path: Path) -> None:
    release = build()
    (release.folder / "model.sig").write_bytes(b"signature")
    assert verify_release(Path(shutil.move(release.folder, tmp_path / "elsewhere"))).manifest == release.manifest


def test_the_modelfile_of_each_template(llama: Tiny, mistral: Tiny) -> None:
    assert modelfile_text(llama.contract, stops=["<|im_end|>", "<|im_end|>"], temperature=0) == (
        "FROM ./model.gguf\n"
        'TEMPLATE """{{ range .Messages }}<|im_start|>{{ .Role }}{{ "\\n" }}{{ .Content }}<|im_end|>{{ "\\n" }}{{ end }}<|im_start|>assistant{{ "\\n" }}"""\n'
        'PARAMETER stop "<|im_end|>"\n'
        "PARAMETER num_ctx 256\n"
        "PARAMETER temperature 0\n"
    )
    text = modelfile_text(mistral.contract, stops=["</s>"])
    assert text.startswith('FROM ./model.gguf\nTEMPLATE """<s>\n')
    assert text.endswith('{{- end }}"""\nPARAMETER stop "</s>"\nPARAMETER num_ctx 256\n')
    assert "SYSTEM" not in text and "temperature" not in text and "@" not in text


def test_templates_without_a_twin_are_refused(llama: Tiny) -> None:
    values = llama.contract.model_dump()
    with pytest.raises(ReleaseError, match=r"'alpaca'.*chatml, mistral"):
        go_template(ChatContract.model_validate(values | {"template_name": "alpaca"}))
    with pytest.raises(ReleaseError, match="not the built-in 'chatml'"):
        go_template(ChatContract.model_validate(values | {"template": values["template"] + " "}))


def test_the_manifest_is_plain_json(build: Callable[..., Release]) -> None:
    stored = json.loads((build().folder / "manifest.json").read_text(encoding="utf-8"))
    assert stored["name"] == "tiny-line" and stored["kind"] == "Q8_0" and stored["date"] == "2026-11-22"
    assert set(stored["files"]) == {"Modelfile", "README.md", "bom.cdx.json", "contract.json", "model.gguf"}
