"""The optimizers, with the fields of `OptimizerConfig` that they use.

Does not import torch, so that a configuration can be validated in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

UPDATE_FIELDS = ("clip_norm", "sam_rho")
"""Fields that every optimizer uses: they change the gradient before the optimizer receives it."""


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """The function that builds an optimizer from a network and an `OptimizerConfig`, and the fields that it uses."""

    path: str
    """Import path of the function, `module:function`."""
    fields: tuple[str, ...]


OPTIMIZERS: Mapping[str, Optimizer] = {
    "sgd": Optimizer(
        path="cifar_core.optimizers.sgd:build",
        fields=("lr", "momentum", "nesterov", "weight_decay", "bias_lr_factor", *UPDATE_FIELDS),
    ),
    "adam": Optimizer(path="cifar_core.optimizers.adam:build", fields=("lr", "weight_decay", *UPDATE_FIELDS)),
    "adamw": Optimizer(path="cifar_core.optimizers.adamw:build", fields=("lr", "weight_decay", *UPDATE_FIELDS)),
    "muon": Optimizer(
        path="cifar_core.optimizers.muon:build",
        fields=("lr", "momentum", "sgd_lr", "sgd_momentum", "weight_decay", "bias_lr_factor", *UPDATE_FIELDS),
    ),
}
"""Value of `optimizer.name` to its optimizer."""
