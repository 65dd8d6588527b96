"""The notebook's VGG (after Simonyan and Zisserman 2014), with batch norm and a plan for 32×32 images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from cifar_core.models.registry import VGG_PLAN
from cifar_core.models.scaling import scaled

IMAGE_SIZE = 32


class VGG(nn.Module):
    """3×3 convolutions as a plan lists them, each with BN and ReLU; `L(4096) ReLU Dropout` twice, `L(10)`.

    With its defaults this is the network of rung *vgg*.

    Args:
        num_classes: units of the last linear layer.
        width: channels of the first convolution. All other layers but the last, the head's too, scale by
            `width` over the plan's first number; None takes plan and head as they are written.
        plan: output channels of each convolution, `"M"` for a 2×2 max-pool; at most five pools.
        head: hidden linear layers at the plan's own width.
        dropout: probability that an output of a hidden linear layer is dropped in training; at 0 there is no
            dropout layer.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        width: int | None = None,
        plan: Sequence[int | str] = VGG_PLAN,
        head: Sequence[int] = (4096, 4096),
        dropout: float = 0.4,
    ) -> None:
        super().__init__()
        plan_width = next(size for size in plan if isinstance(size, int))
        width = plan_width if width is None else width

        features: list[nn.Module] = []
        channels, pixels = 3, IMAGE_SIZE
        for entry in plan:
            if isinstance(entry, str):
                features.append(nn.MaxPool2d(2))
                pixels //= 2
            else:
                out_channels = scaled(entry, width=width, default_width=plan_width)
                features += [
                    nn.Conv2d(channels, out_channels, kernel_size=3, padding=1),
                    nn.BatchNorm2d(out_channels),
                    nn.ReLU(),
                ]
                channels = out_channels
        self.features = nn.Sequential(*features)

        layers: list[nn.Module] = [nn.Flatten()]
        units = channels * pixels * pixels
        for size in head:
            hidden = scaled(size, width=width, default_width=plan_width)
            layers += [nn.Linear(units, hidden), nn.ReLU()]
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            units = hidden
        layers.append(nn.Linear(units, num_classes))
        self.head = nn.Sequential(*layers)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the logits, N×num_classes, of N×3×32×32 images."""
        logits_NK: Tensor = self.head(self.features(images_NCHW))
        return logits_NK
