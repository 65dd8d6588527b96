"""ResNet-18 for images of 32 pixels: the network of He et al. 2016 with a 3×3 stem and without its max-pool."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from cifar_core.models.layers import ConvNet, channel_dropout_layers, initialize_for_relu, scaled

DEFAULT_WIDTH = 64


class ResNet18(ConvNet):
    """`C(64,3) BN ReLU`, stages of two blocks with 64, 128, 256, 512 channels, global average, `L(10)`.

    A block is `C(n,3) BN ReLU C(n,3) BN`, plus its input, then ReLU. The first block of each stage but the first has
    stride 2, and its shortcut is a 1×1 convolution with BN. 11.17 million parameters with 10 classes.

    Args:
        num_classes: units of the last linear layer.
        width: channels of the first stage; the others scale with it.
        channel_dropout: probability that a channel is dropped after a stage in training.
    """

    def __init__(
        self, *, num_classes: int = 10, image_size: int = 32, width: int = DEFAULT_WIDTH, channel_dropout: float = 0.0
    ) -> None:
        super().__init__()
        scale = partial(scaled, width=width, default_width=DEFAULT_WIDTH)
        first, *others = map(scale, (64, 128, 256, 512))
        self.features = nn.Sequential(
            nn.Conv2d(3, first, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            *_stage(first, out_channels=first, stride=1, channel_dropout=channel_dropout),
            *(
                layer
                for before, after in pairwise([first, *others])
                for layer in _stage(before, out_channels=after, stride=2, channel_dropout=channel_dropout)
            ),
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(others[-1], num_classes))
        initialize_for_relu(self)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with batch norm, the first with the stride, plus a shortcut, then ReLU.

    The shortcut is the input, or, where channels or size change, its 1×1 convolution with batch norm.
    """

    def __init__(self, in_channels: int, *, out_channels: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1 and in_channels == out_channels
            else nn.Sequential(
                nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )
        )
        self.activation = nn.ReLU()

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        activated_NCHW: Tensor = self.activation(self.residual(maps_NCHW) + self.shortcut(maps_NCHW))
        return activated_NCHW


def _stage(in_channels: int, *, out_channels: int, stride: int, channel_dropout: float) -> list[nn.Module]:
    return [
        BasicBlock(in_channels, out_channels=out_channels, stride=stride),
        BasicBlock(out_channels, out_channels=out_channels, stride=1),
        *channel_dropout_layers(channel_dropout),
    ]
