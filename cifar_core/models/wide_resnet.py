"""Wide residual networks for images of 32 pixels (Zagoruyko and Komodakis 2016, arXiv 1605.07146)."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from cifar_core.models.layers import ConvNet, channel_dropout_layers, dropout_layers, initialize_for_relu, scaled

DEFAULT_WIDTH = 16


class WideResNet(ConvNet):
    """`C(16,3)`, three stages of blocks with 16k, 32k, 64k channels, `BN ReLU`, global average, `L(10)`.

    A block is `BN ReLU C(n,3) BN ReLU Dropout C(n,3)`, plus its input. The first block of the second and third stage
    has stride 2. Where the channels change, the shortcut is a 1×1 convolution of the first `BN ReLU`. WRN-28-10 is
    `depth: 28, widen_factor: 10` (36.5 million parameters); the default is WRN-16-4 (2.7 million).

    Args:
        num_classes: units of the last linear layer.
        width: channels of the first convolution; all others scale with it.
        depth: layers with weights in the longest path, 6n + 4 for n blocks per stage.
        widen_factor: k, the channels of the first stage relative to those of the first convolution.
        dropout: probability that a value between the two convolutions of a block is dropped in training; at 0 there
            is no dropout layer.
        channel_dropout: probability that a channel is dropped after a stage in training.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        image_size: int = 32,
        width: int = DEFAULT_WIDTH,
        depth: int = 16,
        widen_factor: int = 4,
        dropout: float = 0.0,
        channel_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        scale = partial(scaled, width=width, default_width=DEFAULT_WIDTH)
        channels = [scale(16), *(scale(size * widen_factor) for size in (16, 32, 64))]
        layers: list[nn.Module] = [nn.Conv2d(3, channels[0], kernel_size=3, padding=1, bias=False)]
        for stride, (before, after) in zip((1, 2, 2), pairwise(channels), strict=True):
            layers.append(PreActivationBlock(before, out_channels=after, stride=stride, dropout=dropout))
            for _ in range((depth - 4) // 6 - 1):
                layers.append(PreActivationBlock(after, out_channels=after, stride=1, dropout=dropout))
            layers += channel_dropout_layers(channel_dropout)
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(channels[-1]), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], num_classes))
        initialize_for_relu(self)


class PreActivationBlock(nn.Module):
    """`BN ReLU`, then two 3×3 convolutions with `BN ReLU` and dropout between them, plus a shortcut (He et al. 2016).

    The shortcut is the input, or, where channels or size change, a 1×1 convolution of the activated input.
    """

    def __init__(self, in_channels: int, *, out_channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.activated = nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU())
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            *dropout_layers(dropout),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
        )
        self.shortcut = (
            None
            if stride == 1 and in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)
        )

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        activated_NCHW: Tensor = self.activated(maps_NCHW)
        shortcut_NCHW = maps_NCHW if self.shortcut is None else self.shortcut(activated_NCHW)
        sum_NCHW: Tensor = self.residual(activated_NCHW) + shortcut_NCHW
        return sum_NCHW
