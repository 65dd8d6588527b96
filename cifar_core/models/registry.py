"""The architectures, with the fields of `ModelConfig` that they use and their defaults.

Does not import torch, so that a configuration can be validated in milliseconds. A new architecture is one file in this
package and one entry in `ARCHITECTURES`, from which the conformance tests are generated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The class of a network and its constructor's arguments in addition to `num_classes` and `image_size`."""

    path: str
    """Import path of the class, `module:Class`."""
    defaults: Mapping[str, Any]
    """The `ModelConfig` fields that the class takes as keyword arguments, with the class's defaults."""
    least_size: int = 32
    """Side in pixels of the smallest square images that it accepts, when it was built for larger ones."""
    least_image: int = 8
    """Side in pixels of the smallest square images that it can be built for."""
    channels_last: bool = True
    """Whether the NHWC memory format is faster for it on a CPU (measured: 1.3 to 1.7, VGG16 0.88)."""


VGG_PLAN = (96, 96, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")

ARCHITECTURES: Mapping[str, Architecture] = {
    "simple": Architecture(
        path="cifar_core.models.simple:SimpleNet",
        defaults={
            "width": 32,
            "head": (64,),
            "activation": "none",
            "dropout": 0.0,
            "regularize_logits": False,
            "channel_dropout": 0.0,
        },
    ),
    "deep": Architecture(
        path="cifar_core.models.deep:DeepNet",
        least_image=16,
        defaults={
            "width": 64,
            "head": (256, 64),
            "dropout": 0.0,
            "inner_activation": "none",
            "channel_dropout": 0.0,
        },
    ),
    "resnet": Architecture(
        path="cifar_core.models.resnet:ResNet",
        least_image=16,
        defaults={
            "width": 64,
            "head": (256, 64),
            "dropout": 0.4,
            "residual": True,
            "channel_dropout": 0.0,
            "squeeze_excitation": False,
            "stochastic_depth": 0.0,
        },
    ),
    "lean": Architecture(
        path="cifar_core.models.lean:LeanNet",
        defaults={"width": 64, "activation": "gelu", "stem": "whitened", "channel_dropout": 0.0},
        least_size=10,
        least_image=10,
    ),
    "resnet18": Architecture(
        path="cifar_core.models.resnet18:ResNet18",
        defaults={"width": 64, "channel_dropout": 0.0},
        # Below, the last feature maps have one pixel, of which a batch norm cannot train a batch of one image.
        least_size=10,
        least_image=10,
    ),
    "wide_resnet": Architecture(
        path="cifar_core.models.wide_resnet:WideResNet",
        defaults={"width": 16, "depth": 16, "widen_factor": 4, "dropout": 0.0, "channel_dropout": 0.0},
        least_size=8,
    ),
    "vgg": Architecture(
        path="cifar_core.models.vgg:VGG",
        # The plan determines the width: a number here would rescale every plan that starts with another number.
        defaults={"width": None, "plan": VGG_PLAN, "head": (4096, 4096), "dropout": 0.4, "channel_dropout": 0.0},
        channels_last=False,
    ),
    "torchvision_vgg16": Architecture(
        path="cifar_core.models.torchvision_vgg16:TorchvisionVGG16",
        least_image=32,
        defaults={"last_layer": "swap", "weights": None, "dropout": 0.5},
        channels_last=False,
    ),
}

LIBRARY_BUILDERS: Mapping[str, str] = {
    "timm": "cifar_core.models.of_timm",
    "torchvision": "cifar_core.models.of_torchvision",
}
"""Library to the module that builds its networks, with `build` and `known_networks`."""
