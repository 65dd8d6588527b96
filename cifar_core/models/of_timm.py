"""Networks of timm, `timm:resnet18`: `timm.create_model` for any classes and image size."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import nn

from cifar_core.common.errors import ModelError
from cifar_core.common.source import package_version
from cifar_core.models.library import (
    KnownNetwork,
    StateDict,
    constructed,
    first_line,
    misfit,
    read_weights,
    require_logits,
    unknown,
)

if TYPE_CHECKING:
    from cifar_core.config import ModelConfig

PREFIX = "timm:"
HUB_SECONDS = 10.0
"""Time limit for the first answer of the Hugging Face Hub."""


def known_networks() -> list[KnownNetwork]:
    """Return all networks.

    Raises:
        ModelError: timm is not installed.
    """
    timm = _imported()
    with_weights = set(timm.list_models(pretrained=True, include_tags=False))
    return [KnownNetwork(name=PREFIX + name, can_be_pretrained=name in with_weights) for name in timm.list_models()]


def build(config: ModelConfig, *, num_classes: int, image_size: int) -> nn.Module:
    """Return a network of timm in training mode; see `cifar_core.models.build.build_model`.

    Raises:
        ModelError: timm is not installed or has no such network, it rejects the options or the image size, or the
            weights cannot be loaded.
    """
    timm = _imported()
    name = config.name.removeprefix(PREFIX)
    _require_known(timm, name)
    about = timm.get_pretrained_cfg(name)
    options = {**({"img_size": image_size} if about.fixed_input_size else {}), **config.options}

    def create(classes: int, **initial: Any) -> nn.Module:
        with _quiet():
            model: nn.Module = timm.create_model(name, num_classes=classes, **options, **initial)
        return model

    if config.pretrained or config.weights is not None:
        # First without weights: errors of the options are no errors of the weights.
        constructed(config.name, lambda: create(num_classes))
        model: Any = _pretrained(about, create, config) if config.pretrained else _from_file(about, create, config)
        if model.num_classes != num_classes:
            model.reset_classifier(num_classes)
    else:
        model = constructed(config.name, lambda: create(num_classes))
    return require_logits(model, name=config.name, num_classes=num_classes, image_size=image_size)


def _imported() -> Any:
    package_version("timm")
    try:
        with _quiet():
            import timm
    except Exception as error:
        raise ModelError(f"timm cannot be imported ({first_line(error)}). Run `pip install --upgrade timm`") from error
    return timm


def _require_known(timm: Any, name: str) -> None:
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise unknown("timm has no network", architecture, timm.list_models(), pattern=f"{PREFIX}*")
    tagged = f"{architecture}.{tag}"
    if tag and tagged not in (known := timm.list_pretrained(f"{architecture}.*")):
        raise ModelError(f"timm has no weights {tagged!r}: choose from {', '.join(known) or 'none'}")


def _pretrained(about: Any, create: Any, config: ModelConfig) -> nn.Module:
    """Return the network with the weights that timm downloads, and with their classes."""
    if not about.has_weights:
        raise ModelError(f"timm has no weights of {config.name.removeprefix(PREFIX)}: remove model.pretrained")
    try:
        # A file that is there is used without asking the Hub, which would try for a minute without a network.
        overlay = _stored_file(about)
        if overlay is None and about.hf_hub_id:
            _require_hub(about.hf_hub_id)
        model: nn.Module = create(about.num_classes, pretrained=True, pretrained_cfg_overlay=overlay)
    except Exception as error:
        where = f"the weights {about.hf_hub_id} of the Hugging Face Hub" if about.hf_hub_id else about.url
        raise ModelError(
            f"model {config.name!r}: its weights cannot be downloaded ({first_line(error)}): download {where} on a "
            "machine with internet access, and set model.weights to the file's path instead of model.pretrained"
        ) from error
    return model


def _stored_file(about: Any) -> dict[str, str] | None:
    """Return the replacement of the source of weights by the file of an earlier download."""
    if not about.hf_hub_id:
        return None
    from huggingface_hub import try_to_load_from_cache

    for file in filter(None, (about.hf_hub_filename, "model.safetensors", "pytorch_model.bin")):
        found = try_to_load_from_cache(about.hf_hub_id, file)
        if isinstance(found, str):
            return {"file": found, "source": ""}
    return None


def _require_hub(repository: str) -> None:
    from huggingface_hub import HfApi

    HfApi().model_info(repository, timeout=HUB_SECONDS)


def _from_file(about: Any, create: Any, config: ModelConfig) -> nn.Module:
    """Return the network with the weights of a file, and with their classes."""
    assert config.weights is not None
    from timm.models import load_state_dict

    with _quiet():
        state = read_weights(config.weights, lambda path: load_state_dict(str(path), weights_only=True))
    overlay = {"state_dict": dict(state), "custom_load": False, "source": ""}
    *others, last = _classes_in(state, about)
    for classes in others:
        with contextlib.suppress(Exception):
            return _with_state(create, overlay, classes)
    try:
        return _with_state(create, overlay, last)
    except Exception as error:
        raise misfit(config.weights, error) from error


def _with_state(create: Any, overlay: dict[str, Any], classes: int) -> nn.Module:
    about = overlay | {"num_classes": classes, "label_offset": 0}
    model: nn.Module = create(classes, pretrained=True, pretrained_cfg_overlay=about)
    return model


def _classes_in(state: StateDict, about: Any) -> list[int]:
    """Return the possible numbers of classes of weights; 0 for weights without a last layer."""
    layers = (about.classifier,) if isinstance(about.classifier, str) else tuple(about.classifier or ())
    rows = [len(state[f"{layer}.weight"]) for layer in layers if f"{layer}.weight" in state]
    # timm renames the layers of some files: the number is unknown then.
    return rows[:1] or [0, about.num_classes]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence timm's and the Hub's messages; their errors are raised."""
    loggers = [logging.getLogger(name) for name in ("timm", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
