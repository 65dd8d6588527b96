"""The notebook's deep network: four stages of two 3×3 convolutions with batch norm."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from cifar_core.models.scaling import scaled

DEFAULT_WIDTH = 64


class DeepNet(nn.Module):
    """`[C(64,3) BN C(64,3) BN ReLU M] [128] [256] [512] flatten L(256) L(64) L(10)`: rung *deep*.

    There is no activation between the two convolutions of a stage, and none in the head.

    Args:
        num_classes: units of the last linear layer.
        width: channels of the first stage; all other layers but the last scale with it.
        head: hidden linear layers at the default width of 64.
        dropout: probability that an input of the head's first linear layer is dropped in training; at 0, the
            notebook's value, there is no dropout layer.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        width: int = DEFAULT_WIDTH,
        head: Sequence[int] = (256, 64),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        stages = []
        channels = 3
        for size in (64, 128, 256, 512):
            out_channels = scaled(size, width=width, default_width=DEFAULT_WIDTH)
            stages.append(_stage(channels, out_channels))
            channels = out_channels
        self.features = nn.Sequential(*stages)

        layers: list[nn.Module] = [nn.Flatten()]
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
        units = channels * 2 * 2
        for size in head:
            hidden = scaled(size, width=width, default_width=DEFAULT_WIDTH)
            layers.append(nn.Linear(units, hidden))
            units = hidden
        layers.append(nn.Linear(units, num_classes))
        self.head = nn.Sequential(*layers)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the logits, N×num_classes, of N×3×32×32 images."""
        logits_NK: Tensor = self.head(self.features(images_NCHW))
        return logits_NK


def _stage(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
