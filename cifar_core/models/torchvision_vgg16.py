"""torchvision's VGG16 with an output for the classes of CIFAR-10."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision.models import VGG16_Weights, vgg16

from cifar_core.common.errors import ModelError

IMAGENET_CLASSES = 1_000


class TorchvisionVGG16(nn.Module):
    """`torchvision.models.vgg16` with its last layer replaced by one to `num_classes`, or a layer appended after it.

    It is designed for 224×224 images and accepts 32×32 ones, since it pools its last feature maps to 7×7.

    Args:
        num_classes: units of the new last linear layer.
        last_layer: `swap` replaces the linear layer to ImageNet's 1,000 classes, `append` puts one after it.
        weights: None for random weights, a name of torchvision's (`IMAGENET1K_V1`, downloaded on first use),
            or the path of a state dict: torchvision's with 1,000 classes, or one saved from this network.
        dropout: probability that an output of a hidden linear layer is dropped in training.

    Raises:
        ModelError: the weights cannot be found, downloaded or read, or belong to another network.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        image_size: int = 32,
        last_layer: str = "swap",
        weights: str | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        state = None if weights is None else _load_weights(weights)
        self.vgg16 = vgg16(dropout=dropout)
        from_imagenet = state is not None and not _is_from_this_class(state)
        if state is not None and from_imagenet:
            _load_into(self.vgg16, state, weights)

        if last_layer == "swap":
            self.vgg16.classifier[-1] = nn.Linear(self.vgg16.classifier[-1].in_features, num_classes)
        else:
            self.vgg16.classifier.append(nn.Linear(IMAGENET_CLASSES, num_classes))
        if state is not None and not from_imagenet:
            _load_into(self, state, weights)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the logits, N×num_classes, of N×3×32×32 images."""
        logits_NK: Tensor = self.vgg16(images_NCHW)
        return logits_NK


def _load_weights(weights: str) -> dict[str, Any]:
    if weights in VGG16_Weights.__members__:
        try:
            named: dict[str, Any] = VGG16_Weights[weights].get_state_dict(progress=False, check_hash=True)
        except (URLError, OSError, RuntimeError) as error:
            url = VGG16_Weights[weights].url
            raise ModelError(
                f"the weights {weights} cannot be downloaded ({error}): download {url} on a machine with internet "
                "access and set model.weights to the file's path"
            ) from error
        return named
    path = Path(weights).expanduser()
    if not path.is_file():
        raise ModelError(
            f"model.weights {weights!r} is neither a file nor a name of torchvision's weights: "
            f"set it to a path or to one of {', '.join(VGG16_Weights.__members__)}"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ModelError(
            f"model.weights {weights!r} is not a state dict: save one with torch.save(model.state_dict(), path)"
        ) from error
    if not isinstance(state, dict):
        raise ModelError(f"model.weights {weights!r} contains a {type(state).__name__}, not a state dict")
    return state


def _is_from_this_class(state: dict[str, Any]) -> bool:
    return any(name.startswith("vgg16.") for name in state)


def _load_into(module: nn.Module, state: dict[str, Any], weights: str | None) -> None:
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(
            f"model.weights {weights!r} do not fit this network: {str(error).splitlines()[-1].strip()}"
        ) from error
