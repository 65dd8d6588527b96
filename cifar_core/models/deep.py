"""The notebook's deep network: four stages of two 3×3 convolutions with batch norm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise

from torch import nn

from cifar_core.models.layers import (
    ConvNet,
    activation_layers,
    channel_dropout_layers,
    dropout_layers,
    linear_layers,
    scaled,
)

DEFAULT_WIDTH = 64


class DeepNet(ConvNet):
    """`[C(64,3) BN C(64,3) BN ReLU M] [128] [256] [512] flatten L(256) L(64) L(10)`: rung *deep*.

    As in the notebook of `experiments/ladder.yaml`, there is no activation between the two convolutions of a stage, and
    none in the head.

    Args:
        num_classes: units of the last linear layer.
        image_size: side of the images in pixels.
        width: channels of the first stage; all other layers but the last scale with it.
        head: hidden linear layers at the default width of 64.
        dropout: probability that an input of the head's first linear layer is dropped in training; at 0, the
            notebook's value, there is no dropout layer.
        inner_activation: activation between a stage's convolutions and after the head's hidden layers, where the
            notebook has none: `none`, `relu`, `gelu` or `tanh`.
        channel_dropout: probability that a channel is dropped after a stage in training.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        image_size: int = 32,
        width: int = DEFAULT_WIDTH,
        head: Sequence[int] = (256, 64),
        dropout: float = 0.0,
        inner_activation: str = "none",
        channel_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        scale = partial(scaled, width=width, default_width=DEFAULT_WIDTH)
        channels = [3, *map(scale, (64, 128, 256, 512))]
        between = partial(activation_layers, inner_activation)
        self.features = nn.Sequential(
            *(
                _stage(before, out_channels=after, between=between(), channel_dropout=channel_dropout)
                for before, after in pairwise(channels)
            )
        )

        flattened = channels[-1] * (image_size // 16) ** 2
        self.head = nn.Sequential(
            nn.Flatten(),
            *dropout_layers(dropout),
            *linear_layers([flattened, *map(scale, head), num_classes], after_hidden=between),
        )


def _stage(
    in_channels: int, *, out_channels: int, between: Iterable[nn.Module], channel_dropout: float
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.BatchNorm2d(out_channels),
        *between,
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
        nn.MaxPool2d(2),
        *channel_dropout_layers(channel_dropout),
    )
