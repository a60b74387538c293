"""Quantise a GGUF file, tensor by tensor, with ggml's own routines.

Which tensor gets which type follows llama.cpp's `src/llama-quant.cpp` without an importance matrix; the arithmetic is
`ggml_quantize_chunk` of the shared library that the package libggml-python carries, so the bytes are those that llama-quantize writes.

Where the row length is no multiple of a type's block, the type falls back as llama.cpp's does (Q4_K → Q5_0, Q5_K → Q5_1, Q6_K → Q8_0);
where even blocks of 32 do not fit, llama.cpp either stores F16 or gives up, and here the tensor stays as it was. Each fallback is reported.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import LlamaFileType as FileType
from numpy.typing import NDArray

from bedside.errors import ReleaseError
from bedside.workspace.files import written_whole


@dataclass(frozen=True)
class _Kind:
    type: Type
    file_type: FileType


KINDS = {
    "Q8_0": _Kind(Type.Q8_0, FileType.MOSTLY_Q8_0),
    "Q4_0": _Kind(Type.Q4_0, FileType.MOSTLY_Q4_0),
    "Q4_1": _Kind(Type.Q4_1, FileType.MOSTLY_Q4_1),
    "Q5_0": _Kind(Type.Q5_0, FileType.MOSTLY_Q5_0),
    "Q5_1": _Kind(Type.Q5_1, FileType.MOSTLY_Q5_1),
    "Q4_K_S": _Kind(Type.Q4_K, FileType.MOSTLY_Q4_K_S),
    "Q4_K_M": _Kind(Type.Q4_K, FileType.MOSTLY_Q4_K_M),
    "Q5_K_M": _Kind(Type.Q5_K, FileType.MOSTLY_Q5_K_M),
    "Q6_K": _Kind(Type.Q6_K, FileType.MOSTLY_Q6_K),
}
"""Name of a quantisation → what most of its tensors are."""

_FALLBACK = {Type.Q4_K: Type.Q5_0, Type.Q5_K: Type.Q5_1, Type.Q6_K: Type.Q8_0}
_EXACT = (Type.F32, Type.F16, Type.BF16)
_LAYER = re.compile(r"blk\.(\d+)\.")
_CHUNK_VALUES = 1 << 22


@dataclass(frozen=True)
class Fallback:
    """A tensor that could not have the type that its kind asks for.

    Attributes:
        name: the tensor.
        columns: its row length.
        wanted, got: names of types.
    """

    name: str
    columns: int
    wanted: str
    got: str


@dataclass(frozen=True)
class QuantisedReport:
    """What quantisation did.

    Attributes:
        kind: as asked for.
        types: how many tensors have which type now.
        fallbacks: tensors with another type than asked for.
        source_bytes, bytes: sizes of both files.
    """

    kind: str
    types: dict[str, int]
    fallbacks: tuple[Fallback, ...]
    source_bytes: int
    bytes: int


def check_kind(kind: str) -> None:
    """Refuse an unknown kind.

    Raises:
        ReleaseError: `kind` is none of `KINDS`.
    """
    if kind not in KINDS:
        raise ReleaseError(f"{kind!r} is no known quantisation", f"Choose one of {', '.join(KINDS)}")


def quantise(
    source: Path, out: Path, kind: str, *, progress: Callable[[int, int], None] | None = None, threads: int | None = None
) -> QuantisedReport:
    """Write `source` quantised to `out`, whole or not at all.

    Memory holds one quantised tensor and a few pieces of its source, whatever the model's size.

    Args:
        source: a GGUF file of architecture `llama` in F32, F16 or BF16.
        out: the file to write.
        kind: one of `KINDS`.
        progress: called with (tensors done, tensors in all).
        threads: processor threads; None takes all cores of this machine.

    Raises:
        ReleaseError: unknown kind, a source that is quantised already, or values that cannot be quantised.
        WorkspaceError: the disk is full or not writable.
    """
    check_kind(kind)
    reader = _opened(source)
    plan = _plan(reader, kind)
    with written_whole(out) as partial, ThreadPoolExecutor(threads or len(os.sched_getaffinity(0))) as pool:
        writer = gguf.GGUFWriter(partial, "llama")
        try:
            _copy_metadata(reader, writer, kind)
            _write_header(writer, plan)
            for done, item in enumerate(plan, 1):
                writer.write_tensor_data(_converted(item, pool))
                if progress is not None:
                    progress(done, len(plan))
        finally:
            writer.close()
    return QuantisedReport(
        kind,
        dict(Counter(item.type.name for item in plan)),
        tuple(item.fallback for item in plan if item.fallback),
        source.stat().st_size,
        out.stat().st_size,
    )


@dataclass(frozen=True)
class _Planned:
    tensor: gguf.ReaderTensor
    type: Type
    fallback: Fallback | None


@dataclass(frozen=True)
class _Model:
    layers: int
    tied: bool
    is_70b: bool


def _opened(source: Path) -> gguf.GGUFReader:
    try:
        reader = gguf.GGUFReader(source)
        architecture = reader.fields["general.architecture"].contents()
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise ReleaseError(f"{str(source)!r} cannot be read as GGUF ({error})", "Give the F16 file that `write_gguf` wrote") from error
    if architecture != "llama":
        raise ReleaseError(
            f"{str(source)!r} is of architecture {architecture!r}", "Only 'llama' files, which hold Llama and Mistral models, are quantised"
        )
    return reader


def _plan(reader: gguf.GGUFReader, kind: str) -> list[_Planned]:
    for tensor in reader.tensors:
        if tensor.tensor_type not in _EXACT:
            raise ReleaseError(
                f"tensor {tensor.name!r} is {tensor.tensor_type.name} already",
                "Quantise from the F16 file: quantising twice adds both errors",
            )
    names = {tensor.name for tensor in reader.tensors}
    layers = sum(name.endswith("attn_v.weight") for name in names)
    model = _Model(layers, "output.weight" not in names, layers == 80 and _number(reader, "head_count") != _number(reader, "head_count_kv"))
    return [_choose(tensor, kind, model) for tensor in reader.tensors]


def _number(reader: gguf.GGUFReader, name: str) -> Any:
    return reader.fields[f"llama.attention.{name}"].contents()


def _choose(tensor: gguf.ReaderTensor, kind: str, model: _Model) -> _Planned:
    if len(tensor.shape) < 2 or not tensor.name.endswith(".weight") or tensor.name.endswith("_norm.weight"):
        return _Planned(tensor, tensor.tensor_type, None)
    columns = int(tensor.shape[0])
    wanted = wanted_type(tensor.name, kind, columns=columns, layers=model.layers, tied=model.tied, is_70b=model.is_70b)
    got = wanted if _fits(columns, wanted) else _FALLBACK.get(wanted, wanted)
    got = got if _fits(columns, got) else tensor.tensor_type
    return _Planned(tensor, got, None if got == wanted else Fallback(tensor.name, columns, wanted.name, got.name))


def _fits(columns: int, type: Type) -> bool:
    return columns % gguf.GGML_QUANT_SIZES[type][0] == 0


def wanted_type(name: str, kind: str, *, columns: int, layers: int, tied: bool, is_70b: bool = False) -> Type:
    """The type that llama.cpp chooses for a matrix, before fallbacks (`llama_tensor_get_type_impl` in `src/llama-quant.cpp`).

    The mixtures spend more bits on the output and on `attn_v` and `ffn_down` of the layers where errors cost most.

    Args:
        name: GGUF name of the tensor.
        kind: one of `KINDS`.
        columns: its row length.
        layers: of the model.
        tied: the embedding is also the output.
        is_70b: the model has the form of Llama 70B, whose few key-value heads get more bits.
    """
    default = KINDS[kind].type
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        return Type.Q8_0 if default == Type.Q8_0 or not _fits(columns, default) else Type.Q6_K
    match = _LAYER.match(name)
    layer = int(match[1]) if match else 0
    if name.endswith("attn_v.weight"):
        type = _richer(kind, layer, layers, small=layer < 4)
        return Type.Q5_K if is_70b and type == Type.Q4_K else type
    if name.endswith("ffn_down.weight"):
        return _richer(kind, layer, layers, small=layer < layers // 8)
    return default


def _richer(kind: str, layer: int, layers: int, *, small: bool) -> Type:
    if kind in ("Q4_K_M", "Q5_K_M") and _uses_more_bits(layer, layers):
        return Type.Q6_K
    return Type.Q5_K if kind == "Q4_K_S" and small else KINDS[kind].type


def _uses_more_bits(layer: int, layers: int) -> bool:
    """The first and the last eighth of the layers, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _copy_metadata(reader: gguf.GGUFReader, writer: gguf.GGUFWriter, kind: str) -> None:
    own = {"general.architecture", "general.file_type", "general.quantization_version"}
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in own:
            writer.add_key_value(name, field.contents(), field.types[0], field.types[-1] if len(field.types) > 1 else None)
    writer.add_file_type(KINDS[kind].file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _write_header(writer: gguf.GGUFWriter, plan: list[_Planned]) -> None:
    for item in plan:
        shape = [int(size) for size in reversed(item.tensor.shape)]
        block, size = gguf.GGML_QUANT_SIZES[item.type]
        writer.add_tensor_info(item.tensor.name, shape, np.dtype(np.float32), int(np.prod(shape)) // block * size, raw_dtype=item.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()


def _converted(item: _Planned, pool: ThreadPoolExecutor) -> NDArray[Any]:
    if item.type == item.tensor.tensor_type:
        return item.tensor.data
    rows = item.tensor.data.reshape(-1, item.tensor.data.shape[-1])
    columns = int(item.tensor.shape[0])
    block, size = gguf.GGML_QUANT_SIZES[item.type]
    out = np.empty((rows.shape[0], columns // block * size), np.uint8)

    def work(part: slice) -> None:
        values = np.ascontiguousarray(gguf.quants.dequantize(rows[part], item.tensor.tensor_type), np.float32)
        if not _quantise_rows(item.type, values, out[part]):
            raise ReleaseError(f"tensor {item.tensor.name!r} holds values that are no numbers", "Train again with a lower learning rate")

    list(pool.map(work, _parts(rows.shape[0], columns)))
    return out


def _parts(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, _CHUNK_VALUES // columns)
    return (slice(start, start + step) for start in range(0, rows, step))


def _quantise_rows(type: Type, values: NDArray[np.float32], out: NDArray[np.uint8]) -> bool:
    if not np.isfinite(values).all():
        return False
    library = _ggml()
    written = library.ggml_quantize_chunk(int(type), values.ctypes.data, out.ctypes.data, 0, values.shape[0], values.shape[1], None)
    return bool(written == out.nbytes and library.ggml_validate_row_data(int(type), out.ctypes.data, out.nbytes))


@cache
def _ggml() -> ctypes.CDLL:
    spec = find_spec("libggml")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found = next((file for folder in folders for file in sorted(Path(folder).rglob("libggml-base.*"))), None)
    if found is None:
        raise ReleaseError("ggml's library is not installed", "Install it with `pip install libggml-python`")
    library = ctypes.CDLL(str(found))
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    library.ggml_quantize_init.argtypes = [ctypes.c_int]
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, count, count, count, pointer]
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_validate_row_data.argtypes = [ctypes.c_int, pointer, ctypes.c_size_t]
    library.ggml_validate_row_data.restype = ctypes.c_bool
    for type in {kind.type for kind in KINDS.values()} | set(_FALLBACK.values()):
        library.ggml_quantize_init(int(type))
    return library
