"""The chat contract: how messages become token ids, as one hashed object.

Training, evaluation, the GGUF file, the Modelfile and the server all read the same contract, so that a model is asked exactly as it was
taught. It lies as `contract.json` in the run and in the release; every hand-over compares its hash or token ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, ValidationError

from bedside.errors import ReleaseError
from bedside.workspace.files import sha256_json, write_json

FILE = "contract.json"
ChatMessage = Mapping[str, str]


def template_text(name: str) -> str:
    """The built-in chat template `chatml` or `mistral`, as Jinja."""
    return files("bedside.engine").joinpath("templates", f"{name}.jinja").read_text(encoding="utf-8")


class Code(BaseModel):
    """The one word, and its one token, that stands for an intent or a slot in a model's answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    word: str
    token: int


class Codebook(BaseModel):
    """Which token stands for which intent and slot in this vocabulary.

    Attributes:
        intents: intent id → code; a lower-case word.
        slots: slot name → code; a capitalised word, which no value holds because callers' words are lower-cased.
        none: the code of a turn that asks for nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    intents: dict[str, Code]
    slots: dict[str, Code]
    none: Code


class ChatContract(BaseModel):
    """Template, special token ids, stop ids, BOS rule and maximum length.

    Attributes:
        template_name: the built-in template that the Modelfile's twin is written from.
        template: Jinja source, as in Hugging Face tokenizers.
        bos_token, eos_token: their text; `eos_token` ends each answer.
        bos_id, eos_id, pad_id: their ids; `bos_id` is None where the vocabulary has none.
        stop_ids: ids at which every engine stops.
        adds_bos: whether the tokenizer puts BOS before a rendered text by itself.
        max_length: tokens of prompt and answer together; also the release's `num_ctx`.
        tokenizer_sha256: of the training tokenizer's `tokenizer.json`.
        systems: system message by task (`understand`, `answer`); empty where the task has none, which saves its tokens.
        codebook: for releases that understand callers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    template_name: str
    template: str
    bos_token: str
    eos_token: str
    bos_id: int | None
    eos_id: int
    pad_id: int
    stop_ids: tuple[int, ...]
    adds_bos: bool
    max_length: int
    tokenizer_sha256: str
    systems: dict[str, str]
    codebook: Codebook | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of the whole contract."""
        return sha256_json(self.model_dump(mode="json"))

    @cached_property
    def _compiled(self) -> Template:
        return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(self.template)

    def render(self, messages: Sequence[ChatMessage], *, add_generation_prompt: bool = True) -> str:
        """The text of a conversation, ready to be tokenised without further special tokens."""
        text: str = self._compiled.render(
            messages=list(messages), add_generation_prompt=add_generation_prompt, bos_token=self.bos_token, eos_token=self.eos_token
        )
        return text

    def messages(self, task: str, user: str) -> list[dict[str, str]]:
        """A task's system message, where it has one, and one user message."""
        system = [{"role": "system", "content": self.systems[task]}] if self.systems[task] else []
        return [*system, {"role": "user", "content": user}]

    def save(self, folder: Path) -> None:
        """Write `contract.json` into a folder."""
        write_json(folder / FILE, {**self.model_dump(mode="json"), "sha256": self.hash})

    @classmethod
    def load(cls, folder: Path) -> ChatContract:
        """Read a folder's contract.

        Raises:
            ReleaseError: there is none, it is damaged, or its content is not what its hash says.
        """
        path = folder / FILE
        if not path.is_file():
            raise ReleaseError(
                f"{str(folder)!r} holds no {FILE}, so it is no bedside release",
                "Give the folder that `bedside run` wrote, such as runs/clinic-line/release",
            )
        import json

        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            written = stored.pop("sha256", None)
            contract = cls.model_validate(stored)
        except (ValueError, AttributeError, ValidationError) as error:
            raise ReleaseError(
                f"{str(path)!r} is damaged ({str(error).splitlines()[0]})", "Copy the release again, or build it with `bedside run`"
            ) from error
        if written != contract.hash:
            raise ReleaseError(
                f"{str(path)!r} was changed: its content hashes to {contract.hash[:12]}, not {str(written)[:12]}",
                "Copy the release again, or build it with `bedside run`",
            )
        return contract
