"""LoRA's linear layer and the loss as one autograd function each, and rows of the vocabulary learned beside it.

PEFT computes `W x + s · B(A x)` with separate modules: two casts, a scaling and an addition of the full output, and their backward passes.
On a processor those element-wise steps cost more than the products. Here both products write into one buffer and the backward pass is
written out (Hu et al. 2021, arXiv:2106.09685, section 4.1 for the maths). Parameters stay PEFT's own, so that saving, loading and merging
are PEFT's. Used where no gradient of `W` is needed and dropout is 0; a parity test compares it with PEFT.

For the rows of the vocabulary that are learned (`trainable_token_indices`), PEFT puts them into a copy of the whole matrix and takes the
gradient of all its rows. Here only their own columns of the logits and places of the input are replaced.

PyTorch's cross-entropy walks over the logits of a large vocabulary once for each of its steps. Here the softmax that the loss needs is kept
and becomes the gradient in place.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from torch import Tensor, nn

from bedside.training.packing import IGNORE


class CrossEntropy(torch.autograd.Function):
    """`torch.nn.functional.cross_entropy` with `reduction="sum"`, computed in float32 whatever the logits are."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, wanted: Tensor, weights: Tensor | None) -> Tensor:
        """The summed loss.

        Args:
            logits: [places, vocabulary].
            wanted: [places]; a place at -100 counts for nothing.
            weights: [vocabulary], by which a wanted token counts; None for 1 each.
        """
        target = wanted.clamp(min=0)
        counts = (wanted != IGNORE).float() if weights is None else weights[target] * (wanted != IGNORE)
        shares = logits.softmax(-1, dtype=torch.float32)
        # log of the sum of exponentials, from the greatest logit and the share that it got.
        total = logits.amax(-1).float() - shares.amax(-1).log()
        loss = (total - logits.gather(1, target[:, None])[:, 0].float()) @ counts
        ctx.save_for_backward(shares, target, counts)
        ctx.dtype = logits.dtype
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        shares, target, counts = ctx.saved_tensors
        scale = counts * grad
        gradient = (shares * scale[:, None]).to(ctx.dtype)
        places = torch.arange(len(target), device=target.device)
        gradient[places, target] = ((shares[places, target] - 1) * scale).to(ctx.dtype)
        return gradient, None, None


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
