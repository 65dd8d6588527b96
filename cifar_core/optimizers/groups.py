"""Parameter groups that differ in their learning rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn


def groups_by_bias(
    named: Iterable[tuple[str, nn.Parameter]], *, lr: float, weight_decay: float, bias_lr_factor: float
) -> list[dict[str, Any]]:
    """Return the group of weights and the group of biases, those of batch norms too.

    Args:
        named: trained parameters with their names in the network.
        lr: learning rate of the weights.
        weight_decay: of the weights. A step decays the biases by the same share.
        bias_lr_factor: learning rate of the biases relative to that of the weights.
    """
    weights: list[nn.Parameter] = []
    biases: list[nn.Parameter] = []
    for name, parameter in named:
        (biases if name.rpartition(".")[2] == "bias" else weights).append(parameter)
    # A step decays a value by lr × weight_decay × value; dividing here keeps the decay of biases that of weights.
    of_biases = {"lr": lr * bias_lr_factor, "weight_decay": weight_decay / bias_lr_factor}
    return [{"params": weights, "lr": lr, "weight_decay": weight_decay}, {"params": biases, **of_biases}]
