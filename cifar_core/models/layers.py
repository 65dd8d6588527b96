"""Parts that the networks share: sizes scaled by the width, linear layers, features followed by a head."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module] | None] = {
    "none": None,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}


class ConvNet(nn.Module):
    """A network of two parts, set by its constructor: convolutions, and a head that returns the logits."""

    features: nn.Sequential
    head: nn.Sequential

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the logits, N×num_classes, of N×3×32×32 images."""
        logits_NK: Tensor = self.head(self.features(images_NCHW))
        return logits_NK


def scaled(size: int, *, width: int, default_width: int) -> int:
    """Return the units, rounded and at least 1, of a layer that has `size` units at the default width."""
    return max(1, round(size * width / default_width))


def activation_layers(name: str) -> list[nn.Module]:
    """Return one activation layer; an empty list for `none`."""
    layer = ACTIVATIONS[name]
    return [] if layer is None else [layer()]


def dropout_layers(probability: float) -> list[nn.Module]:
    """Return one dropout layer; an empty list for the probability 0."""
    return [nn.Dropout(probability)] if probability > 0 else []


def linear_layers(sizes: Iterable[int], *, after_hidden: Callable[[], Iterable[nn.Module]] = tuple) -> list[nn.Module]:
    """Return the linear layers from each size to the next.

    Args:
        sizes: input units, units of each hidden layer, output units.
        after_hidden: returns the layers after each layer but the last; none by default.
    """
    layers: list[nn.Module] = []
    for units_in, units_out in pairwise(sizes):
        if layers:
            layers += after_hidden()
        layers.append(nn.Linear(units_in, units_out))
    return layers
