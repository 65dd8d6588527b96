"""Sharpness-aware minimisation (SAM; Foret et al. 2021): the gradient at the worst weights nearby.

The first pass computes the gradient at the weights. The second computes it at the weights moved by `rho` along the
first one; the optimizer applies the second gradient to the original weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

EPSILON = 1e-12
"""Least norm of the gradient, which the movement divides by."""


@contextlib.contextmanager
def perturbed(model: nn.Module, *, rho: float) -> Iterator[None]:
    """Move the weights by `rho`, in the Euclidean norm, along their gradient within the block, then restore them.

    Within the block, batch norms use the statistics of the batch and leave their running statistics unchanged. A
    gradient that a loss scaler has scaled gives the same movement.
    """
    trained = [parameter for parameter in model.parameters() if parameter.grad is not None]
    gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
    originals = [parameter.detach().clone() for parameter in trained]
    tracking = [
        layer
        for layer in model.modules()
        if isinstance(layer, nn.modules.batchnorm._NormBase) and layer.track_running_stats
    ]
    with torch.no_grad():
        share = rho / nn.utils.get_total_norm(gradients).clamp_min(EPSILON)
        for parameter, gradient in zip(trained, gradients, strict=True):
            parameter.add_(gradient * share)
    for layer in tracking:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in tracking:
            layer.track_running_stats = True
        with torch.no_grad():
            for parameter, original in zip(trained, originals, strict=True):
                parameter.copy_(original)
