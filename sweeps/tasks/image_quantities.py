"""Size and cost of a network that are known before its training: parameters and multiply-adds."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from cifar_core.common.errors import ModelError
from cifar_core.config import ModelConfig
from sweeps.core.formatting import number
from sweeps.core.task import TaskMetric

if TYPE_CHECKING:
    from torch import nn

    from cifar_core.config import TrainingConfig

PARAMETERS, MULTIPLY_ADDS = "parameters_millions", "multiply_adds_millions"
QUANTITIES = {
    PARAMETERS: TaskMetric(heading="params M", goal="minimize", shown=number),
    MULTIPLY_ADDS: TaskMetric(heading="mult-adds M", goal="minimize", shown=number),
}
"""Name to display and direction. Multiply-adds are those of one image, forward only."""


def image_quantity(name: str, config: TrainingConfig) -> float | None:
    """Return a quantity of a configuration's network; None if the network cannot be built.

    Args:
        name: one of `QUANTITIES`.
        config: the configuration.
    """
    of = config.model.model_dump_json(), config.data.classes, config.data.image_size
    found = _parameters(*of) if name == PARAMETERS else _multiply_adds(*of)
    return None if found is None else found / 1e6


@lru_cache(maxsize=65_536)
def _parameters(model: str, classes: int, image_size: int) -> int | None:
    built = _network(model, classes, image_size)
    return None if built is None else sum(parameter.numel() for parameter in built.parameters())


@lru_cache(maxsize=65_536)
def _multiply_adds(model: str, classes: int, image_size: int) -> int | None:
    from cifar_core.inspection import layer_table

    for device in ("meta", "cpu"):
        built = _network(model, classes, image_size, device=device)
        if built is None:
            return None
        try:
            return sum(
                layer.multiply_adds or 0 for layer in layer_table(built, image_shape=(3, image_size, image_size))
            )
        except ModelError:
            continue
    return None


def _network(model: str, classes: int, image_size: int, *, device: str = "meta") -> nn.Module | None:
    """Return a network without memory for its weights, or with weights if it cannot be built without them."""
    import torch

    from cifar_core.models.build import build_model

    config = ModelConfig.model_validate_json(model)
    for where in dict.fromkeys((device, "cpu")):
        # The weights are drawn from torch's global generator, which belongs to the caller.
        with torch.random.fork_rng(devices=[]), torch.device(where):
            try:
                return build_model(config, num_classes=classes, image_size=image_size)
            except Exception:  # of custom code too: its training reports the error
                continue
    return None
