"""A network with high accuracy for few operations: a fixed whitening stem and three stages of two convolutions.

The shape is that of Jordan's airbench94 (2024, arXiv 2404.00498), which took its whitening from Page's ResNet-9 series.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_core.models.layers import ConvNet, activation_layers, channel_dropout_layers, scaled

DEFAULT_WIDTH = 64
PATCH = 2
"""Side of the stem's convolution."""
STEM_CHANNELS = 2 * 3 * PATCH**2
"""A patch has as many principal components as values; each is used with both signs."""
WHITENING_EPSILON = 5e-4
"""Added to each component's variance: the weakest ones are mostly noise."""
RUNNING_SHARE = 0.4
"""Share of each batch in a batch norm's running statistics: a run of few epochs has few steps to estimate them."""
LOGIT_SCALE = 1 / 9


class LeanNet(ConvNet):
    """`stem [C(64,3) M BN A C(64,3) BN A] [256] [256] global max, L(10)`, A the activation.

    Convolutions have no bias, batch norms no trained scale, the last layer no bias; logits are divided by 9. Each
    convolution of a stage is initialised as the identity on the channels that its input and output share. The stem has
    a bias and is followed by the activation.

    Args:
        num_classes: units of the last linear layer.
        width: channels of the first stage; the others scale with it, the stem's 24 do not.
        activation: `none`, `relu`, `gelu` or `tanh`, after every convolution.
        stem: `whitened`, computed from training images and fixed; `learned`, a normal 2×2 convolution; or `none`.
        channel_dropout: probability that a channel is dropped after a stage in training.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        image_size: int = 32,
        width: int = DEFAULT_WIDTH,
        activation: str = "gelu",
        stem: str = "whitened",
        channel_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        scale = partial(scaled, width=width, default_width=DEFAULT_WIDTH)
        first, second, third = map(scale, (64, 256, 256))
        stems: dict[str, list[nn.Module]] = {
            "none": [],
            "learned": [nn.Conv2d(3, STEM_CHANNELS, kernel_size=PATCH), *activation_layers(activation)],
            "whitened": [Whitening(), *activation_layers(activation)],
        }
        stage = partial(_stage, activation=activation, channel_dropout=channel_dropout)
        self.features = nn.Sequential(
            *stems[stem],
            *stage(STEM_CHANNELS if stems[stem] else 3, out_channels=first),
            *stage(first, out_channels=second),
            *stage(second, out_channels=third),
        )
        self.head = nn.Sequential(GlobalMaxPool(), nn.Linear(third, num_classes, bias=False), Scale(LOGIT_SCALE))

    def see_images(self, images_NCHW: Tensor) -> None:
        """Compute the whitening stem, if there is one, from normalised training images."""
        if isinstance(stem := self.features[0], Whitening):
            stem.see_images(images_NCHW)


class Whitening(nn.Conv2d):
    """A 2×2 convolution to the principal components of patches, scaled to variance 1, and to their negatives.

    Its weights are fixed, its bias is trained. Until `see_images` the weights are random and orthogonal, which
    preserves white noise.
    """

    def __init__(self) -> None:
        super().__init__(3, STEM_CHANNELS, kernel_size=PATCH)
        components_VV, _ = torch.linalg.qr(torch.randn(STEM_CHANNELS // 2, STEM_CHANNELS // 2))
        self._fix(components_VV)
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def see_images(self, images_NCHW: Tensor) -> None:
        """Compute the weights from the covariance of all patches of the images."""
        patches_NVL = functional.unfold(images_NCHW.double(), kernel_size=PATCH)
        patches_PV = patches_NVL.transpose(1, 2).flatten(end_dim=1)
        variance_V, components_VV = torch.linalg.eigh(patches_PV.T.cov())
        # In the order of decreasing variance.
        self._fix((components_VV / (variance_V + WHITENING_EPSILON).sqrt()).T.flip(0))

    def _fix(self, components_VV: Tensor) -> None:
        weight_VV = torch.cat([components_VV, -components_VV])
        self.weight.requires_grad_(False).copy_(weight_VV.view_as(self.weight))


class GlobalMaxPool(nn.Module):
    """The largest value of each channel: images of any size give vectors of one length."""

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        return functional.adaptive_max_pool2d(maps_NCHW, 1).flatten(1)


class Scale(nn.Module):
    """Multiply by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        return values * self.factor

    def extra_repr(self) -> str:
        return f"{self.factor:.4g}"


def _stage(in_channels: int, *, out_channels: int, activation: str, channel_dropout: float) -> list[nn.Module]:
    return [
        _convolution(in_channels, out_channels=out_channels),
        nn.MaxPool2d(2),
        _batch_norm(out_channels),
        *activation_layers(activation),
        _convolution(out_channels, out_channels=out_channels),
        _batch_norm(out_channels),
        *activation_layers(activation),
        *channel_dropout_layers(channel_dropout),
    ]


def _convolution(in_channels: int, *, out_channels: int) -> nn.Conv2d:
    layer = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
    shared = min(in_channels, out_channels)
    nn.init.dirac_(layer.weight.data[:shared])
    return layer


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels, momentum=RUNNING_SHARE)
    layer.weight.requires_grad_(False)
    return layer
