"""Networks of torchvision, `torchvision:resnet18`: `torchvision.models.get_model` for any classes and image size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import torch
from torch import nn
from torchvision import models

from cifar_core.common.errors import ModelError
from cifar_core.models.library import (
    KnownNetwork,
    StateDict,
    constructed,
    misfit,
    read_weights,
    require_logits,
    unknown,
)

if TYPE_CHECKING:
    from cifar_core.config import ModelConfig

PREFIX = "torchvision:"
_OWN_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # Their auxiliary outputs are no logits of the images.
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}
_AUXILIARY = ("aux", "Aux")
"""First letters of the weights of auxiliary outputs."""


def known_networks() -> list[KnownNetwork]:
    """Return the networks for classification."""
    return [KnownNetwork(name=PREFIX + name, can_be_pretrained=True) for name in _names()]


def build(config: ModelConfig, *, num_classes: int, image_size: int) -> nn.Module:
    """Return a network of torchvision in training mode; see `cifar_core.models.build.build_model`.

    Raises:
        ModelError: torchvision has no such network, it rejects the options or the image size, or the weights cannot be
            loaded.
    """
    name = config.name.removeprefix(PREFIX)
    if name not in (known := _names()):
        raise unknown("torchvision has no classification network", name, known, pattern=f"{PREFIX}*")
    options = {**_OWN_DEFAULTS.get(name, {}), **_size(name, image_size), **config.options}
    state = _weights(config, name)
    model = constructed(config.name, lambda: models.get_model(name, weights=None, num_classes=num_classes, **options))
    if state is not None:
        _load(model, state, name=name, weights=config.weights or "pretrained", image_size=image_size)
    return require_logits(model, name=config.name, num_classes=num_classes, image_size=image_size)


def _names() -> list[str]:
    return list(models.list_models(module=models))


def _size(name: str, image_size: int) -> dict[str, Any]:
    """Return the argument for the image size of a network that has one."""
    if name.startswith("vit_"):
        return {"image_size": image_size}
    return {"input_size": (image_size, image_size)} if name.startswith("maxvit") else {}


def _weights(config: ModelConfig, name: str) -> StateDict | None:
    named = models.get_model_weights(name)
    if config.pretrained:
        return _downloaded(named["DEFAULT"])
    if config.weights is None:
        return None
    if config.weights in named.__members__:
        return _downloaded(named[config.weights])
    if config.weights.isupper():
        known = ", ".join(named.__members__)
        raise ModelError(f"model.weights {config.weights!r}: torchvision has {known} for {name}, or set it to a path")
    return read_weights(config.weights, lambda path: torch.load(path, map_location="cpu", weights_only=True))


def _downloaded(weights: models.WeightsEnum) -> StateDict:
    try:
        state: StateDict = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise ModelError(
            f"the weights {weights} cannot be downloaded ({error}): download {weights.url} on a machine with internet "
            "access, and set model.weights to the file's path instead of model.pretrained"
        ) from error
    return state


def _load(model: nn.Module, state: StateDict, *, name: str, weights: str, image_size: int) -> None:
    """Load weights into a network, all but those of a last layer for another number of classes."""
    expected = model.state_dict()
    # A network without auxiliary outputs has none of their weights.
    loaded = {key: value for key, value in state.items() if key in expected or not key.startswith(_AUXILIARY)}
    if name.startswith("vit_") and "encoder.pos_embedding" in loaded:
        loaded = _resized_positions(model, loaded, image_size=image_size)
    head = [key for key, value in expected.items() if value.ndim >= 2][-1].rpartition(".")[0]
    if f"{head}.weight" in loaded and loaded[f"{head}.weight"].shape != expected[f"{head}.weight"].shape:
        loaded |= {key: value for key, value in expected.items() if key.startswith(f"{head}.")}
    try:
        model.load_state_dict(loaded)
    except RuntimeError as error:
        raise misfit(weights, error) from error


def _resized_positions(model: nn.Module, state: StateDict, *, image_size: int) -> dict[str, torch.Tensor]:
    from torchvision.models.vision_transformer import interpolate_embeddings

    vit: Any = model
    resized: dict[str, torch.Tensor] = interpolate_embeddings(image_size, vit.patch_size, dict(state))
    return resized
