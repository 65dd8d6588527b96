"""Adam of torch, whose weight decay is an L2 penalty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from cifar_core.config import OptimizerConfig


def build(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return Adam over the parameters of a network."""
    return torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
