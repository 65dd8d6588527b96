"""The notebook's residual network: four blocks, each with a projected shortcut (He et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from cifar_core.models.layers import (
    ConvNet,
    SqueezeExcitation,
    StochasticDepth,
    channel_dropout_layers,
    dropout_layers,
    linear_layers,
    scaled,
)

DEFAULT_WIDTH = 64
BLOCKS = 4


class ResNet(ConvNet):
    """Blocks of 64, 128, 256, 512 channels, `M` after each; `Dropout L(256) L(64) L(10)`: rung *resnet*.

    The head has no activation, and one dropout: before its first linear layer.

    Args:
        num_classes: units of the last linear layer.
        image_size: side of the images in pixels.
        width: channels of the first block; all other layers but the last scale with it.
        head: hidden linear layers at the default width of 64.
        dropout: probability that an input of the head's first linear layer is dropped in training; at 0 there
            is no dropout layer.
        residual: whether a block adds its shortcut. Without it the block is the plain one of He et al.'s comparison:
            the same convolutions in sequence, and no parameters of a shortcut.
        channel_dropout: probability that a channel is dropped after a block's max-pool in training.
        squeeze_excitation: scale the channels of each block's convolutions (`SqueezeExcitation`).
        stochastic_depth: probability that an image skips the convolutions of the last block in training; that of block
            l of 4 is l/4 of it. The shortcut remains.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        image_size: int = 32,
        width: int = DEFAULT_WIDTH,
        head: Sequence[int] = (256, 64),
        dropout: float = 0.4,
        residual: bool = True,
        channel_dropout: float = 0.0,
        squeeze_excitation: bool = False,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        scale = partial(scaled, width=width, default_width=DEFAULT_WIDTH)
        channels = [3, *map(scale, (64, 128, 256, 512))]
        blocks: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise(channels), start=1):
            block = ResidualBlock(
                before,
                out_channels=after,
                has_shortcut=residual,
                squeeze_excitation=squeeze_excitation,
                skipped=stochastic_depth * number / BLOCKS,
            )
            blocks += [block, nn.MaxPool2d(2), *channel_dropout_layers(channel_dropout)]
        self.features = nn.Sequential(*blocks)

        self.head = nn.Sequential(
            nn.Flatten(),
            *dropout_layers(dropout),
            *linear_layers([channels[-1] * (image_size // 16) ** 2, *map(scale, head), num_classes]),
        )


class ResidualBlock(nn.Module):
    """`C(3) BN ReLU C(3) BN` without bias, plus a 1×1 convolution with BN as shortcut, then ReLU.

    Height and width are preserved; the shortcut is projected in every block, since the channels always change. Without
    it the block has only the convolutions, batch norms and ReLUs.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        out_channels: int,
        has_shortcut: bool = True,
        squeeze_excitation: bool = False,
        skipped: float = 0.0,
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            *([SqueezeExcitation(out_channels)] if squeeze_excitation else []),
            *([StochasticDepth(skipped)] if skipped else []),
        )
        self.shortcut = (
            nn.Sequential(
                nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
                nn.BatchNorm2d(out_channels),
            )
            if has_shortcut
            else None
        )
        self.activation = nn.ReLU()

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        """Return N×out_channels×H×W feature maps for N×in_channels×H×W feature maps."""
        out_NCHW: Tensor = self.residual(maps_NCHW)
        if self.shortcut is not None:
            out_NCHW = out_NCHW + self.shortcut(maps_NCHW)
        activated_NCHW: Tensor = self.activation(out_NCHW)
        return activated_NCHW
