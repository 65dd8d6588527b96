"""The notebook's first network: three 5×5 convolutions, without activation by default."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from cifar_core.models.layers import (
    ConvNet,
    activation_layers,
    channel_dropout_layers,
    dropout_layers,
    linear_layers,
    scaled,
)

DEFAULT_WIDTH = 32


class SimpleNet(ConvNet):
    """`C(32,5) M C(32,5) M C(64,5) M flatten L(64) L(10)`: rungs *baseline* and *regularized*.

    The convolutions are never followed by an activation. `activation` and `dropout` follow, in this order, each
    hidden linear layer, and with `regularize_logits` the last one too. The notebook's *regularized* net is
    `activation="relu", dropout=0.4, regularize_logits=True`.

    Args:
        num_classes: units of the last linear layer.
        image_size: side of the images in pixels.
        width: channels of the first convolution; all other layers but the last scale with it.
        head: hidden linear layers at the default width of 32.
        activation: `none`, `relu`, `gelu` or `tanh`.
        dropout: probability that a value is dropped in training; at 0 there is no dropout layer.
        regularize_logits: apply activation and dropout to the logits as well.
        channel_dropout: probability that a channel is dropped after a max-pool in training.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        image_size: int = 32,
        width: int = DEFAULT_WIDTH,
        head: Sequence[int] = (64,),
        activation: str = "none",
        dropout: float = 0.0,
        regularize_logits: bool = False,
        channel_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        scale = partial(scaled, width=width, default_width=DEFAULT_WIDTH)
        first, second, third = map(scale, (32, 32, 64))
        self.features = nn.Sequential(
            nn.Conv2d(3, first, kernel_size=5, padding=2),
            nn.MaxPool2d(2),
            *channel_dropout_layers(channel_dropout),
            nn.Conv2d(first, second, kernel_size=5, padding=2),
            nn.MaxPool2d(2),
            *channel_dropout_layers(channel_dropout),
            nn.Conv2d(second, third, kernel_size=5, padding=2),
            nn.MaxPool2d(2),
            *channel_dropout_layers(channel_dropout),
        )

        regularization = partial(_regularization, activation, dropout=dropout)
        flattened = third * (image_size // 8) ** 2
        self.head = nn.Sequential(
            nn.Flatten(),
            *linear_layers([flattened, *map(scale, head), num_classes], after_hidden=regularization),
            *(regularization() if regularize_logits else ()),
        )


def _regularization(activation: str, *, dropout: float) -> list[nn.Module]:
    return [*activation_layers(activation), *dropout_layers(dropout)]
