"""The notebook's VGG (after Simonyan and Zisserman 2014), with batch norm and a plan for 32×32 images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from cifar_core.models.layers import ConvNet, channel_dropout_layers, dropout_layers, linear_layers, scaled
from cifar_core.models.registry import VGG_PLAN


class VGG(ConvNet):
    """3×3 convolutions as a plan lists them, each with BN and ReLU; `L(4096) ReLU Dropout` twice, `L(10)`.

    With its defaults this is the network of rung *vgg*.

    Args:
        num_classes: units of the last linear layer.
        image_size: side of the images in pixels.
        width: channels of the first convolution. All other layers but the last, the head's too, scale by
            `width` over the plan's first number; None takes plan and head unscaled.
        plan: output channels of each convolution, `"M"` for a 2×2 max-pool; five pools at most for 32 pixels.
        head: hidden linear layers at the plan's width.
        dropout: probability that an output of a hidden linear layer is dropped in training; at 0 there is no
            dropout layer.
        channel_dropout: probability that a channel is dropped after a max-pool in training.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        image_size: int = 32,
        width: int | None = None,
        plan: Sequence[int | str] = VGG_PLAN,
        head: Sequence[int] = (4096, 4096),
        dropout: float = 0.4,
        channel_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        plan_width = next(size for size in plan if isinstance(size, int))
        width = plan_width if width is None else width
        scale = partial(scaled, width=width, default_width=plan_width)

        features: list[nn.Module] = []
        channels, pixels = 3, image_size
        for entry in plan:
            if isinstance(entry, str):
                features += [nn.MaxPool2d(2), *channel_dropout_layers(channel_dropout)]
                pixels //= 2
            else:
                out_channels = scale(entry)
                features += [
                    nn.Conv2d(channels, out_channels, kernel_size=3, padding=1),
                    nn.BatchNorm2d(out_channels),
                    nn.ReLU(),
                ]
                channels = out_channels
        self.features = nn.Sequential(*features)

        self.head = nn.Sequential(
            nn.Flatten(),
            *linear_layers(
                [channels * pixels * pixels, *map(scale, head), num_classes],
                after_hidden=lambda: [nn.ReLU(), *dropout_layers(dropout)],
            ),
        )
