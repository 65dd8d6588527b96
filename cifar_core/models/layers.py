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


class SqueezeExcitation(nn.Module):
    """Multiply each channel by a factor in (0, 1) that two linear layers compute from all channels' means.

    After Hu et al. 2018, with their reduction to a 16th of the channels, but at least 8 units.

    Args:
        channels: of the feature maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        units = max(8, channels // 16)
        self.factors = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, units, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(units, channels, kernel_size=1),
            nn.Sigmoid(),
        )

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        scaled_NCHW: Tensor = maps_NCHW * self.factors(maps_NCHW)
        return scaled_NCHW


class StochasticDepth(nn.Module):
    """Set the feature maps of an image to zero with a probability, in training (Huang et al. 2016).

    The maps of the other images are divided by their probability, so that the mean is preserved.

    Args:
        probability: for each image.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        if not self.training:
            return maps_NCHW
        kept_N111 = maps_NCHW.new_empty(len(maps_NCHW), 1, 1, 1).bernoulli_(1 - self.probability)
        return maps_NCHW * kept_N111.div_(1 - self.probability)

    def extra_repr(self) -> str:
        return f"{self.probability:.4g}"


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


def channel_dropout_layers(probability: float) -> list[nn.Module]:
    """Return one dropout of whole channels (Tompson et al. 2015); an empty list for the probability 0."""
    return [nn.Dropout2d(probability)] if probability > 0 else []


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


def initialize_for_relu(model: nn.Module) -> None:
    """Draw the weights of convolutions with variance 2 / (outputs·k·k), which preserves gradients (He et al. 2015)."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
