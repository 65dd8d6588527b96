"""What the networks share: sizes that follow the width, the linear layers of the head, features before head."""

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
    """A network of two parts, which its constructor sets: convolutions, and a head that gives the logits."""

    features: nn.Sequential
    head: nn.Sequential

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the logits, N×num_classes, of N×3×32×32 images."""
        logits_NK: Tensor = self.head(self.features(images_NCHW))
        return logits_NK


def scaled(size: int, *, width: int, default_width: int) -> int:
    """Return the units of a layer that has `size` units at the default width: rounded, at least 1."""
    return max(1, round(size * width / default_width))


def activation_layers(name: str) -> list[nn.Module]:
    """Return one activation, or none at the name `none`."""
    layer = ACTIVATIONS[name]
    return [] if layer is None else [layer()]


def dropout_layers(probability: float) -> list[nn.Module]:
    """Return one dropout layer, or none at the probability 0, so that a head without dropout has no trace of it."""
    return [nn.Dropout(probability)] if probability > 0 else []


def linear_layers(sizes: Iterable[int], *, after_hidden: Callable[[], Iterable[nn.Module]] = tuple) -> list[nn.Module]:
    """Return the linear layers from each size to the next.

    Args:
        sizes: units that come in, of each hidden layer, and that go out.
        after_hidden: makes what follows each layer but the last; nothing by default.
    """
    layers: list[nn.Module] = []
    for units_in, units_out in pairwise(sizes):
        if layers:
            layers += after_hidden()
        layers.append(nn.Linear(units_in, units_out))
    return layers
