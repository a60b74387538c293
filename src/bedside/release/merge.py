"""Fold a LoRA adapter into its base model.

    W' = W + s · B A        s = alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA

(Hu et al. 2021, arXiv:2106.09685, section 4.1; Kalajdzievski 2023, arXiv:2312.03732.) The sum is made in float32 and rounded once, to the
base's own dtype. The base's files are copied and only the changed tensors are written over, so all else stays byte for byte the base, and
memory holds one tensor at a time. Architectures are not looked at: names of tensors are what links an adapter to its base.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bedside.errors import ReleaseError
from bedside.release._tensors import StoredTensor, file_tensors, folder_tensors, read_json
from bedside.workspace.files import disk_errors

_PREFIX = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_ROWS = ".token_adapter.trainable_tokens_delta"
_OTHER_FORMS = shutil.ignore_patterns(".*", "*.bin", "*.pth", "*.gguf", "*.onnx", "consolidated*", "original")
_REFUSED = (
    "use_dora",
    "lora_bias",
    "fan_in_fan_out",
    "layer_replication",
    "target_parameters",
    "use_qalora",
    "alora_invocation_tokens",
)


def merge(base: Path, adapter: Path | None, out: Path) -> Path:
    """Write `base` with `adapter` folded in to the folder `out`, whole or not at all.

    Args:
        base: a Hugging Face folder with safetensors in F32, F16 or BF16.
        adapter: a PEFT LoRA folder (`adapter_config.json`, `adapter_model.safetensors`); None copies the base.
        out: must not exist yet.

    Returns:
        `out`.

    Raises:
        ReleaseError: the adapter is of a kind that cannot be folded in, or fits another base.
        WorkspaceError: the disk is full or not writable.
    """
    if out.exists():
        raise ReleaseError(f"{str(out)!r} exists already", "Delete it or name another folder")
    changes = None if adapter is None else _Adapter(adapter)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with disk_errors(out.parent):
            # A Hub folder may hold read-only files and the same weights in other forms.
            shutil.copytree(base, partial, ignore=_OTHER_FORMS, copy_function=shutil.copyfile)
            tensors = folder_tensors(partial)
            if changes is not None:
                changes.fold_into(tensors)
            partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


class _Adapter:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = read_json(folder / "adapter_config.json", "the settings of a PEFT adapter")
        self.tensors = {tensor.name.removeprefix(_PREFIX): tensor for tensor in file_tensors(folder / "adapter_model.safetensors")}
        if self.config.get("peft_type") != "LORA":
            raise ReleaseError(
                f"adapter {str(folder)!r} is of type {self.config.get('peft_type')!r}", "Only LORA adapters can be folded in"
            )
        if used := [name for name in _REFUSED if self.config.get(name)]:
            raise ReleaseError(
                f"adapter {str(folder)!r} uses {used[0]!r}, which plain addition cannot fold in", "Train it without that setting"
            )

    def fold_into(self, base: Mapping[str, StoredTensor]) -> None:
        for name, tensor in self.tensors.items():
            if name.endswith(_DOWN):
                self._add(base, name.removesuffix(_DOWN), tensor)
            elif name.endswith(_ROWS):
                self._replace_rows(base, name.removesuffix(_ROWS), tensor)
            elif "embed_tokens" in name and name not in base:
                raise ReleaseError(
                    f"adapter {str(self.folder)!r} adapts the embedding ({name!r})",
                    "Train it without embed_tokens among its target modules",
                )
            elif not name.endswith(_UP):
                # Modules trained in full (`modules_to_save`) lie beside the pairs under their own names.
                self._target(base, name, tensor.shape).overwrite(tensor.read())

    def _add(self, base: Mapping[str, StoredTensor], module: str, down: StoredTensor) -> None:
        up = self.tensors.get(module + _UP)
        if up is None:
            raise ReleaseError(f"adapter {str(self.folder)!r} has lora_A but no lora_B for {module!r}", "Save the adapter again")
        target = self._target(base, f"{module}.weight", (up.shape[0], down.shape[1]))
        target.overwrite(target.read() + _product(up, down, self._scaling(module, down.shape[0])))

    def _replace_rows(self, base: Mapping[str, StoredTensor], module: str, learned: StoredTensor) -> None:
        """Rows of the vocabulary that were learned whole (PEFT's `trainable_token_indices`); what PEFT calls their delta is the new row."""
        ids = self.config["trainable_token_indices"]
        if isinstance(ids, dict):
            ids = ids[module.rpartition(".")[2]]
        name = f"{module}.weight"
        rows = base[name].shape[0] if name in base else 0
        target = self._target(base, name, (max(rows, max(ids) + 1), learned.shape[1]))
        values = target.read()
        values[ids] = learned.read()
        target.overwrite(values)

    def _target(self, base: Mapping[str, StoredTensor], name: str, shape: tuple[int, ...]) -> StoredTensor:
        target = base.get(name)
        if target is None or target.shape != shape:
            found = "no such tensor" if target is None else f"shape {target.shape}"
            raise ReleaseError(
                f"adapter {str(self.folder)!r} changes {name!r} of shape {shape}, but the base has {found}",
                "Give the base that the adapter was trained on",
            )
        return target

    def _scaling(self, module: str, rank: int) -> float:
        alpha = _by_pattern(self.config.get("alpha_pattern") or {}, module, self.config["lora_alpha"])
        return float(alpha) / (math.sqrt(rank) if self.config.get("use_rslora") else rank)


def _product(up: StoredTensor, down: StoredTensor, scaling: float) -> NDArray[np.float32]:
    return (up.read() @ down.read()) * np.float32(scaling)


def _by_pattern(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default)
