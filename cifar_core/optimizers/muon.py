"""Muon: steps along the orthogonalised momentum of a layer's weight matrix, for hidden layers; SGD for the rest.

After Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/), with the settings of
airbench94_muon for CIFAR-10: three Newton-Schulz steps, and weights that are scaled to a fixed norm before each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cifar_core.common.errors import ModelError
from cifar_core.optimizers.groups import groups_by_bias

if TYPE_CHECKING:
    from cifar_core.config import OptimizerConfig

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the odd quintic polynomial that a step applies to the singular values: they rise fast to about
1 and then stay between 0.7 and 1.2."""
NEWTON_SCHULZ_STEPS = 3
EPSILON = 1e-7
"""Least norm that a matrix is divided by."""


def build(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return Muon for the weights of hidden layers, with SGD for all other trained parameters.

    The first group's learning rate is that of Muon.

    Raises:
        ModelError: the network has no hidden layer.
    """
    hidden = hidden_weights(model)
    if not hidden:
        raise ModelError(
            "optimizer muon: the network has no convolution or linear layer between its first and its last one, "
            "which muon is for. Use sgd"
        )
    is_hidden = {id(weight) for weight in hidden}
    trained = ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)
    others = groups_by_bias(
        ((name, parameter) for name, parameter in trained if id(parameter) not in is_hidden),
        lr=config.sgd_lr,
        weight_decay=config.weight_decay,
        bias_lr_factor=config.bias_lr_factor,
    )
    of_hidden = {"params": hidden, "lr": config.lr, "momentum": config.momentum, "is_orthogonal": True}
    return Muon([of_hidden, *others], lr=config.sgd_lr, momentum=config.sgd_momentum)


def hidden_weights(model: nn.Module) -> list[nn.Parameter]:
    """Return the trained weights of convolutions and linear layers, except the first and the last of these layers.

    Layers are in the order in which the network registers them. A weight that two layers share is returned once.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd)]
    ends = {id(layer.weight) for layer in (*layers[:1], *layers[-1:])}
    weights = [weight for layer in layers if isinstance(weight := layer.weight, nn.Parameter) and weight.requires_grad]
    return [weight for key, weight in {id(weight): weight for weight in weights}.items() if key not in ends]


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum; in groups with `is_orthogonal`, along the orthogonalised update.

    A weight of such a group is the matrix of its output units × all its other dimensions: of a convolution,
    out × (in·k·k). Before each step it is scaled to the Frobenius norm √out; it has no weight decay.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, momentum: float) -> None:
        """Arguments are the defaults of groups that do not have them.

        Args:
            groups: parameters with `lr`, `momentum`, `weight_decay` and `is_orthogonal`.
            lr: learning rate.
            momentum: share of the sum of gradients that a step keeps.
        """
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "is_orthogonal": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take a step for every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                update = self._nesterov(parameter, group)
                if group["is_orthogonal"]:
                    parameter.mul_(math.sqrt(len(parameter)) / parameter.norm().clamp_min(EPSILON))
                    update = orthogonalized(update.flatten(1)).view(update.shape)
                parameter.add_(update, alpha=-group["lr"])

    def _nesterov(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        assert parameter.grad is not None
        gradient = parameter.grad.add(parameter, alpha=group["weight_decay"])
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum: Tensor = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        return gradient.add_(momentum, alpha=group["momentum"])


def orthogonalized(matrix_RC: Tensor, *, steps: int = NEWTON_SCHULZ_STEPS) -> Tensor:
    """Return a matrix with the same singular vectors whose singular values are near 1, by Newton-Schulz steps.

    It is computed in bfloat16 on a GPU, as published, and in float32 on a CPU, where bfloat16 is slow.
    """
    a, b, c = NEWTON_SCHULZ
    is_tall = matrix_RC.shape[0] > matrix_RC.shape[1]
    # The product of the smaller side with itself is computed. The norm bounds the largest singular value by 1.
    wide = (matrix_RC.T if is_tall else matrix_RC).to(torch.bfloat16 if matrix_RC.is_cuda else torch.float32)
    wide = wide / wide.norm().clamp_min(EPSILON)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    result_RC: Tensor = (wide.T if is_tall else wide).to(matrix_RC.dtype)
    return result_RC
