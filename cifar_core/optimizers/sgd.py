"""Stochastic gradient descent of torch; with `bias_lr_factor` the biases are a group of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from cifar_core.optimizers.groups import groups_by_bias

if TYPE_CHECKING:
    from cifar_core.config import OptimizerConfig


def build(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return SGD over the parameters of a network; the first group's learning rate is that of the weights."""
    trained = ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)
    return torch.optim.SGD(
        # All, fixed ones too, where there is one group: checkpoints of custom networks contain them in this order.
        model.parameters()
        if config.bias_lr_factor == 1
        else groups_by_bias(
            trained, lr=config.lr, weight_decay=config.weight_decay, bias_lr_factor=config.bias_lr_factor
        ),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov and config.momentum > 0,
        weight_decay=config.weight_decay,
    )
