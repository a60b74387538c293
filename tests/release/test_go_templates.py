"""Ollama's templates render what the contract renders: run by Go itself where Go is installed, read by eye's rules where not."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bedside.release.modelfile import go_template

from .conftest import Tiny

_CONTENT = ' text {number} "q" {{{{ .Role }}}} <b>&\n\nline '


@pytest.mark.slow
def test_go_renders_what_jinja_renders(llama: Tiny, mistral: Tiny, tmp_path: Path) -> None:
    go = shutil.which("go", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))
    if go is None:
        reason = "Go is not installed: run make setup"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    environment = os.environ | {"GOTOOLCHAIN": "local", "GO111MODULE": "off", "GOCACHE": str(tmp_path / "cache")}
    program = str(tmp_path / "render")
    subprocess.run([go, "build", "-o", program, str(Path(__file__).with_name("go_render.go"))], check=True, env=environment)
    orders = [roles for length in range(1, 5) for roles in itertools.product(("system", "user", "assistant"), repeat=length)]
    conversations = [[{"role": role, "content": _CONTENT.format(number=number)} for number, role in enumerate(roles)] for roles in orders]
    for tiny in (llama, mistral):
        (tmp_path / "template").write_text(go_template(tiny.contract), encoding="utf-8")
        done = subprocess.run(
            [program, str(tmp_path / "template")], input=json.dumps(conversations), capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout) == [tiny.contract.render(conversation) for conversation in conversations]


def test_the_twins_say_the_same_literals(llama: Tiny, mistral: Tiny) -> None:
    for tiny, literals in ((llama, ["<|im_start|>", "<|im_end|>", "assistant"]), (mistral, ["<s>", "</s>", "[INST]", "[/INST]", "\\n\\n"])):
        text = go_template(tiny.contract)
        assert all(literal in text for literal in literals)
        assert text.count("{{") == text.count("}}")
        assert text.count("{{- range") + text.count("{{ range") == 1
        assert not text.endswith("\n")
