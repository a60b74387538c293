"""Write a Hugging Face model folder as one GGUF file that llama.cpp and Ollama read.

The layout follows llama.cpp's converter (`conversion/base.py`, `conversion/llama.py`): Llama and Mistral are both architecture `llama`,
whose rotary embedding turns neighbouring rows of a head, where transformers turns row i with row i + half; the rows of the q and k
projections are therefore reordered within each head.

Types: tensors of one dimension (norms, biases) are F32. Matrices are F16 rather than BF16: F16 has three more bits of mantissa, so
weights between 2⁻¹⁴ and 65504 lose nothing on the way from BF16, smaller ones move by less than 3·10⁻⁸, and every processor computes with it.
A matrix with a value beyond 65504 keeps its own dtype instead; the result names it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from bedside.engine.contract import ChatContract
from bedside.errors import ReleaseError
from bedside.release._tensors import F16_MAX, StoredTensor, folder_tensors, read_json
from bedside.release.tokenizer_metadata import read_vocabulary
from bedside.workspace.files import sha256_file, written_whole

ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM")
"""Model classes that can be written, as `architectures` in `config.json` names them."""

_FILE_TYPES = {"f16": gguf.LlamaFileType.MOSTLY_F16, "f32": gguf.LlamaFileType.ALL_F32}
_NUMPY: dict[Type, np.dtype[Any]] = {Type.F32: np.dtype("<f4"), Type.F16: np.dtype("<f2"), Type.BF16: np.dtype("<u2")}


@dataclass(frozen=True)
class WrittenGguf:
    """What was written.

    Attributes:
        path: the file.
        types: how many tensors have which type.
        beyond_f16: matrices that keep their own dtype because F16 cannot hold their largest value.
    """

    path: Path
    types: dict[str, int]
    beyond_f16: tuple[str, ...]


def write_gguf(model: Path, contract: ChatContract, out: Path, *, name: str, precision: Literal["f16", "f32"] = "f16") -> WrittenGguf:
    """Write `model` as a GGUF file under `contract`, whole or not at all.

    BOS, EOS, padding and stop ids and the chat template come from the contract. The file tells llama.cpp to add BOS where the contract says
    that the tokenizer adds it, except where the template's text already begins with it, which would give two.

    Args:
        model: folder with `config.json`, safetensors in one or more files and `tokenizer.json`.
        contract: how the model was trained to be asked.
        out: the file to write.
        name: `general.name` of the file.
        precision: `f32` keeps every bit, for comparisons.

    Raises:
        ReleaseError: architecture, settings, tokenizer or contract cannot be expressed in GGUF.
        WorkspaceError: the disk is full or not writable.
    """
    config = read_json(model / "config.json", "the model's settings")
    shape = _Shape.of(config, contract)
    file = model / "tokenizer.json"
    vocabulary = read_vocabulary(file, contract, shape.vocabulary)
    if (found := sha256_file(file)) != contract.tokenizer_sha256:
        raise ReleaseError(
            f"{str(file)!r} hashes to {found[:12]}, but the model was trained with {contract.tokenizer_sha256[:12]}",
            "Release from the folder that training wrote, with its own tokenizer.json",
        )
    plan = list(_plan(folder_tensors(model), shape, precision))
    with written_whole(out) as partial:
        writer = gguf.GGUFWriter(partial, "llama")
        try:
            _add_metadata(writer, name, shape, precision)
            vocabulary.add_to(writer)
            _add_contract(writer, contract)
            _write_tensors(writer, plan)
        finally:
            writer.close()
    beyond = [tensor.name for tensor in plan if precision == "f16" and len(tensor.source.shape) > 1 and tensor.type != Type.F16]
    return WrittenGguf(out, dict(Counter(tensor.type.name for tensor in plan)), tuple(beyond))


@dataclass(frozen=True)
class _Shape:
    vocabulary: int
    context: int
    hidden: int
    feed_forward: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    epsilon: float
    rope_theta: float
    rope_linear_factor: float | None
    tied: bool

    @classmethod
    def of(cls, config: Mapping[str, Any], contract: ChatContract) -> _Shape:
        architecture = (config.get("architectures") or [None])[0]
        if architecture not in ARCHITECTURES:
            raise ReleaseError(
                f"{architecture!r} models cannot be written as GGUF",
                f"Choose a base model whose architecture is one of {', '.join(ARCHITECTURES)}",
            )
        _check_lengths(config, contract)
        if config.get("hidden_act", "silu") != "silu":
            raise ReleaseError(
                f"the model's activation is {config['hidden_act']!r}", "GGUF's llama architecture computes silu; choose another base model"
            )
        rope = {
            "rope_theta": config.get("rope_theta", 10000.0),
            **(config.get("rope_scaling") or {}),
            **(config.get("rope_parameters") or {}),
        }
        heads = config["num_attention_heads"]
        return cls(
            vocabulary=config["vocab_size"],
            context=config["max_position_embeddings"],
            hidden=config["hidden_size"],
            feed_forward=config["intermediate_size"],
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head=config.get("head_dim") or config["hidden_size"] // heads,
            epsilon=config["rms_norm_eps"],
            rope_theta=rope["rope_theta"],
            rope_linear_factor=_linear_factor(rope),
            tied=bool(config.get("tie_word_embeddings")),
        )


def _check_lengths(config: Mapping[str, Any], contract: ChatContract) -> None:
    window, context = config.get("sliding_window"), config["max_position_embeddings"]
    if window is not None and window < contract.max_length:
        raise ReleaseError(
            f"the model attends to {window} tokens at a time (sliding_window), fewer than the contract's max_length of {contract.max_length}",
            f"Set max_length to at most {window} in the recipe and train again, or choose a base without a sliding window",
        )
    if context < contract.max_length:
        raise ReleaseError(
            f"the model's context is {context} tokens, fewer than the contract's max_length of {contract.max_length}",
            f"Set max_length to at most {context} in the recipe and train again",
        )


def _linear_factor(rope: Mapping[str, Any]) -> float | None:
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind not in ("default", "linear"):
        raise ReleaseError(
            f"the model scales its rotary embedding by {kind!r}", "Supported are 'default' and 'linear'; choose another base model"
        )
    return float(rope["factor"]) if kind == "linear" else None


def _add_metadata(writer: gguf.GGUFWriter, name: str, shape: _Shape, precision: str) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_file_type(_FILE_TYPES[precision])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    if shape.rope_linear_factor is not None:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(shape.rope_linear_factor)


def _add_contract(writer: gguf.GGUFWriter, contract: ChatContract) -> None:
    if contract.bos_id is not None:
        writer.add_bos_token_id(contract.bos_id)
    writer.add_eos_token_id(contract.eos_id)
    writer.add_pad_token_id(contract.pad_id)
    others = [id for id in contract.stop_ids if id != contract.eos_id]
    if len(others) > 2:
        raise ReleaseError(
            f"the contract stops at {len(others)} tokens besides EOS",
            "GGUF can name two more (end of turn, end of message): drop the others from the contract's stop_ids",
        )
    for id, add in zip(others, (writer.add_eot_token_id, writer.add_eom_token_id), strict=False):
        add(id)
    writer.add_add_bos_token(adds_bos(contract))
    writer.add_add_eos_token(False)
    writer.add_chat_template(contract.template)


def adds_bos(contract: ChatContract) -> bool:
    """Whether an engine has to put BOS before a rendered text: the tokenizer does so and the text does not begin with it."""
    opens_with_bos = bool(contract.bos_token) and contract.render([{"role": "user", "content": "x"}]).startswith(contract.bos_token)
    # ChatML opens a turn with a token that several vocabularies also call BOS; that one belongs to the text.
    return contract.adds_bos and not opens_with_bos


@dataclass(frozen=True)
class _Planned:
    name: str
    source: StoredTensor
    type: Type
    heads: int | None

    def values(self) -> NDArray[Any]:
        read = self.source.bits if self.type == Type.BF16 else self.source.read
        values = read()
        if self.heads is not None:
            values = interleave_rotary_rows(values, self.heads)
        return np.ascontiguousarray(values.astype(_NUMPY[self.type], copy=False))


def _plan(tensors: Mapping[str, StoredTensor], shape: _Shape, precision: str) -> Iterator[_Planned]:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, shape.layers)
    seen = set()
    for tensor in tensors.values():
        if tensor.name == "lm_head.weight" and shape.tied:
            continue
        name = names.get_name(tensor.name, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ReleaseError(
                f"the model has a tensor {tensor.name!r} that GGUF's llama architecture does not know",
                f"Choose a base model that is a plain {' or '.join(ARCHITECTURES)}",
            )
        heads = shape.heads if ".q_proj." in tensor.name else shape.kv_heads if ".k_proj." in tensor.name else None
        seen.add(name)
        yield _Planned(name, tensor, _type(tensor, precision), heads)
    if missing := sorted(_expected(shape) - seen):
        raise ReleaseError(
            f"the model folder lacks the tensor {missing[0]!r} (and {len(missing) - 1} more)", "Fetch or save the model again"
        )


def _expected(shape: _Shape) -> set[str]:
    block = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
    names = {f"blk.{layer}.{part}.weight" for layer in range(shape.layers) for part in block}
    return names | {"token_embd.weight", "output_norm.weight"} | (set() if shape.tied else {"output.weight"})


def _type(tensor: StoredTensor, precision: str) -> Type:
    if len(tensor.shape) == 1 or precision == "f32":
        return Type.F32
    values = tensor.read()
    largest = max(float(values.max()), -float(values.min()))
    if not math.isfinite(largest):
        raise ReleaseError(f"tensor {tensor.name!r} holds values that are no numbers", "Train again with a lower learning rate")
    return Type.F16 if largest <= F16_MAX else Type[tensor.dtype]


def interleave_rotary_rows(values: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows of a q or k projection from transformers' order (two halves a head) to llama.cpp's (pairs)."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def _write_tensors(writer: gguf.GGUFWriter, plan: list[_Planned]) -> None:
    for tensor in plan:
        dtype = _NUMPY[tensor.type]
        writer.add_tensor_info(
            tensor.name, tensor.source.shape, dtype, math.prod(tensor.source.shape) * dtype.itemsize, raw_dtype=tensor.type
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in plan:
        writer.write_tensor_data(tensor.values())
