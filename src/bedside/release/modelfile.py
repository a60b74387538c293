"""The Ollama Modelfile of a release.

Ollama renders conversations with Go's text/template. The twins of the contract's Jinja templates lie in `templates/*.gotmpl`; both render the
same text for conversations without two messages of the same role in a row, which Ollama joins with a blank line before it renders
(`collate` in Ollama's `template/template.go`). Ollama adds BOS where the GGUF file says so, as every llama.cpp does.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from bedside.engine.contract import ChatContract, template_text
from bedside.errors import ReleaseError

TEMPLATES = ("chatml", "mistral")
"""Templates that have a twin for Ollama."""


def go_template(contract: ChatContract) -> str:
    """The contract's template in Go's syntax.

    Raises:
        ReleaseError: the template has no twin, or was changed so that its twin no longer renders the same.
    """
    name = contract.template_name
    if name not in TEMPLATES:
        raise ReleaseError(
            f"the chat template {name!r} has no form for Ollama", f"Set the recipe's template to one of {', '.join(TEMPLATES)}"
        )
    if contract.template != template_text(name):
        raise ReleaseError(
            f"the contract's template is not the built-in {name!r}, so its form for Ollama would render another text",
            "Train with the built-in template, or build without Ollama's Modelfile",
        )
    text = files("bedside.release").joinpath("templates", f"{name}.gotmpl").read_text(encoding="utf-8")
    return text.replace("@BOS@", contract.bos_token).replace("@EOS@", contract.eos_token)


def modelfile_text(contract: ChatContract, *, stops: Sequence[str], temperature: float | None = None, model: str = "model.gguf") -> str:
    """A Modelfile.

    No SYSTEM line is written: a default system message would be put before conversations that were trained without one.

    Args:
        contract: how the model is asked.
        stops: texts of the contract's `stop_ids`.
        temperature: 0 for releases that understand callers; None leaves Ollama's default.
        model: name of the GGUF file beside the Modelfile.

    Raises:
        ReleaseError: see `go_template`.
    """
    template = go_template(contract)
    lines = [f"FROM ./{model}", f'TEMPLATE """{template}"""']
    lines += [f'PARAMETER stop "{stop}"' for stop in dict.fromkeys(stops)]
    lines.append(f"PARAMETER num_ctx {contract.max_length}")
    if temperature is not None:
        lines.append(f"PARAMETER temperature {temperature:g}")
    return "\n".join(lines) + "\n"
