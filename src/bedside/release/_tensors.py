"""The tensors of a Hugging Face model folder, read one at a time from the disk and without torch.

A safetensors file is the length of a JSON header (8 bytes, little-endian), the header (name → dtype, shape, byte range) and the values.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bedside.errors import ReleaseError

# numpy knows no bfloat16: its bits are handled as the upper half of a float32.
_STORED: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
F16_MAX = 65504.0


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a safetensors file.

    Attributes:
        file: the file that holds it.
        name: as in the model's code, such as `model.norm.weight`.
        dtype: `F32`, `F16` or `BF16`.
        shape: rows first.
        start: where its first byte stands in the file.
    """

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int

    def _map(self, mode: str) -> NDArray[Any]:
        return np.memmap(self.file, _STORED[self.dtype], mode, self.start, self.shape)  # type: ignore[call-overload, no-any-return]

    def read(self) -> NDArray[np.float32]:
        """Its values as float32."""
        return widen(self._map("r"), self.dtype)

    def bits(self) -> NDArray[Any]:
        """Its values as stored; those of BF16 as unsigned 16-bit integers."""
        return self._map("r")

    def overwrite(self, values: NDArray[np.float32]) -> None:
        """Replace its values in the file, rounded to its dtype.

        Raises:
            ReleaseError: a value is no number or beyond the dtype's range.
        """
        narrow = narrowed(values, self.dtype)
        if not np.isfinite(widen(narrow, self.dtype)).all():
            raise ReleaseError(
                f"merging makes values of {self.name!r} that {self.dtype} cannot hold",
                "Train again with a lower learning rate, or take a base model stored as BF16 or F32",
            )
        target = self._map("r+")
        target[...] = narrow
        target.flush()  # type: ignore[attr-defined]


def widen(values: NDArray[Any], dtype: str) -> NDArray[np.float32]:
    """Stored values as float32."""
    if dtype == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)


def narrowed(values: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """float32 values as they are stored in `dtype`, rounded to the nearest, ties to even."""
    if dtype != "BF16":
        with np.errstate(over="ignore"):
            return values.astype(_STORED[dtype])
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object of a model folder.

    Raises:
        ReleaseError: the file is missing or holds something else; `what` says in its message what it should have been.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ReleaseError(f"{str(path)!r} is missing, which holds {what}", "Give a model folder as transformers saves it") from error
    except ValueError as error:
        raise ReleaseError(f"{str(path)!r} is no JSON ({error})", "Fetch or save the model again") from error
    if not isinstance(value, dict):
        raise ReleaseError(f"{str(path)!r} holds a {type(value).__name__}, not {what}", "Fetch or save the model again")
    return value


def folder_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Name → tensor of all weights of a folder, sharded or not.

    Raises:
        ReleaseError: there are no safetensors, a shard is missing or damaged, or a tensor has another dtype than F32, F16, BF16.
    """
    index = folder / "model.safetensors.index.json"
    listed: dict[str, str] = read_json(index, "the list of the model's shards")["weight_map"] if index.is_file() else {}
    files = sorted(set(listed.values())) or ["model.safetensors"]
    tensors = {tensor.name: tensor for file in files for tensor in file_tensors(folder / file)}
    if missing := sorted(listed.keys() - tensors.keys()):
        raise ReleaseError(f"{str(folder)!r} lacks the tensor {missing[0]!r} that its index lists", "Fetch or save the model again")
    return tensors


def file_tensors(file: Path) -> Iterator[StoredTensor]:
    """The tensors of one safetensors file; raises as `folder_tensors` does."""
    if not file.is_file():
        raise ReleaseError(
            f"there is no weights file {str(file)!r}",
            "Save the model as safetensors, with save_pretrained or a conversion of its .bin files",
        )
    header, data = _header(file)
    for name, entry in header.items():
        if entry["dtype"] not in _STORED:
            raise ReleaseError(
                f"tensor {name!r} of {file.name!r} is {entry['dtype']}",
                f"Save the model in one of {', '.join(_STORED)}; a quantised base cannot be released from",
            )
        yield StoredTensor(file, name, entry["dtype"], tuple(entry["shape"]), data + entry["data_offsets"][0])


def _header(file: Path) -> tuple[Mapping[str, Any], int]:
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, size)))
        header.pop("__metadata__", None)
        end = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (struct.error, ValueError, AttributeError, KeyError, TypeError) as error:
        raise ReleaseError(f"{str(file)!r} is no safetensors file ({error})", "Fetch or save the model again") from error
    if end != size:
        raise ReleaseError(f"{str(file)!r} has {size} bytes where its header says {end}", "It was cut off: fetch or save the model again")
    return header, 8 + length
