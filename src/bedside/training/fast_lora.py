"""LoRA's linear layer as one autograd function, and rows of the vocabulary learned beside it.

PEFT computes `W x + s · B(A x)` with separate modules: two casts, a scaling and an addition of the full output, and their backward passes.
On a processor those element-wise steps cost more than the products. Here both products write into one buffer and the backward pass is
written out (Hu et al. 2021, arXiv:2106.09685, section 4.1 for the maths). Parameters stay PEFT's own, so that saving, loading and merging
are PEFT's. Used where no gradient of `W` is needed and dropout is 0; a parity test compares it with PEFT.

For the rows of the vocabulary that are learned (`trainable_token_indices`), PEFT puts them into a copy of the whole matrix and takes the
gradient of all its rows. Here only their own columns of the logits and places of the input are replaced.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from torch import Tensor, nn


class _LoraProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, down: Tensor, up: Tensor, scaling: float) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        a, b = down.to(x.dtype), (up * scaling).to(x.dtype)
        low = flat @ a.T
        ctx.save_for_backward(flat, weight, a, b, low)
        ctx.scaling = scaling
        return torch.addmm(flat @ weight.T, low, b.T).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor, Tensor, None]:  # type: ignore[override]
        flat, weight, a, b, low = ctx.saved_tensors
        shape = grad.shape
        grad = grad.reshape(-1, shape[-1])
        grad_low = grad @ b
        grad_x = torch.addmm(grad @ weight, grad_low, a)
        grad_down = (grad_low.T @ flat).float()
        grad_up = (grad.T @ low).float() * ctx.scaling
        return grad_x.view(*shape[:-1], -1), None, grad_down, grad_up, None


def _forward(self: Linear, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    name = self.active_adapters[0]
    product: Tensor = _LoraProduct.apply(  # type: ignore[no-untyped-call]
        x, self.base_layer.weight, self.lora_A[name].weight, self.lora_B[name].weight, self.scaling[name]
    )
    return product


def _learned_rows(self: TrainableTokensLayer, x: Tensor, active_adapters: list[str], *args: Any, **kwargs: Any) -> Tensor:
    name, base = active_adapters[0], self.base_layer
    rows, ids = self.trainable_tokens_delta[name], torch.tensor(self.token_indices[name], device=x.device)
    if isinstance(base, nn.Embedding):
        out: Tensor = nn.functional.embedding(x, base.weight)
        learned = torch.isin(x, ids)
        return out.masked_scatter(learned.unsqueeze(-1), rows[torch.searchsorted(ids, x[learned])].to(out.dtype))
    logits = nn.functional.linear(x, base.weight)
    return logits.index_copy(-1, ids, x @ rows.to(x.dtype).T)


def use_fast_lora(model: PeftModel) -> int:
    """Give every plain LoRA linear layer of `model` the fused product, and learned rows theirs; returns how many layers were changed.

    Layers with dropout, a bias or a quantised base keep PEFT's own forward.
    """
    changed = 0
    for module in model.modules():
        if isinstance(module, TrainableTokensLayer):
            module.forward_adapters = _learned_rows.__get__(module)  # type: ignore[method-assign]
        if isinstance(module, Linear) and type(module.base_layer) is torch.nn.Linear and module.base_layer.bias is None:
            name = module.active_adapters[0]
            if isinstance(module.lora_dropout[name], torch.nn.Identity):
                module.forward = _forward.__get__(module)  # type: ignore[method-assign]
                changed += 1
    return changed
