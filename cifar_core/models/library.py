"""What the networks of all libraries share: the checks of a built network, and the loading of a file of weights."""

from __future__ import annotations

import difflib
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cifar_core.common.errors import ModelError

StateDict = Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class KnownNetwork:
    """A network that `model.name` may name."""

    name: str
    """Such as `timm:resnet18`."""
    can_be_pretrained: bool
    """Whether `model.pretrained` may be true."""


def constructed(name: str, construct: Callable[[], nn.Module]) -> nn.Module:
    """Return what a library constructs.

    Raises:
        ModelError: it raises an error.
    """
    try:
        return construct()
    except Exception as error:
        raise ModelError(
            f"model {name!r}: its constructor raised {first_line(error)}. Change model.options or data.image_size"
        ) from error


def require_logits(model: nn.Module, *, name: str, num_classes: int, image_size: int) -> nn.Module:
    """Return the network in training mode, after a batch of ones.

    Raises:
        ModelError: it does not return N×num_classes logits for N×3×image_size×image_size images.
    """
    images_NCHW = torch.ones(2, 3, image_size, image_size)
    model.eval()
    # Evaluation mode preserves the statistics of batch norm, the fork the caller's random numbers.
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            output = model(images_NCHW)
        except Exception as error:
            raise ModelError(
                f"model {name!r} cannot process images of {image_size}×{image_size} pixels ({first_line(error)}). "
                "Set a larger data.image_size, or change model.options"
            ) from error
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != (len(images_NCHW), num_classes):
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ModelError(
            f"model {name!r} returns {shape} for 2 images, not {num_classes} logits per image: choose a network for "
            "classification"
        )
    return model.train()


def read_weights(weights: str, load: Callable[[Path], Any]) -> StateDict:
    """Return the state dict in a file.

    Args:
        weights: path of the file.
        load: reads the file, without executing code in it.

    Raises:
        ModelError: there is no such file, or it contains no state dict.
    """
    path = Path(weights).expanduser()
    if not path.is_file():
        raise ModelError(f"model.weights {weights!r}: there is no such file")
    try:
        state = load(path)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ModelError(
            f"model.weights {weights!r} is not a state dict: save one with torch.save(model.state_dict(), path)"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelError(f"model.weights {weights!r} contains a {type(state).__name__}, not a state dict")
    return state


def misfit(weights: str, error: Exception) -> ModelError:
    """Return the error of weights that belong to another network."""
    # torch lists each weight that differs.
    return ModelError(f"model.weights {weights!r} do not fit this network: {_last_line(error)[:_SHOWN].strip()} ...")


def unknown(what: str, name: str, known: Iterable[str], *, pattern: str) -> ModelError:
    """Return the error of a name that a library does not have.

    Args:
        what: `timm has no network`.
        name: the name.
        known: names of which a close one is named.
        pattern: of `sweeps inspect models`, which lists the names.
    """
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return ModelError(f"{what} {name!r}: {hint}`sweeps inspect models '{pattern}'` lists them")


_SHOWN = 150
"""Letters of torch's message about weights of another network."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; its class if the message is empty."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).strip().rstrip(".")


def _last_line(error: BaseException) -> str:
    return next(reversed(str(error).strip().splitlines()), type(error).__name__).strip()
