"""Networks: `build_model` makes the one that a `ModelConfig` names. A line in `registry` and a file each."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cifar_core.errors import ModelError, closest
from cifar_core.models.registry import ARCHITECTURES, is_import_path

if TYPE_CHECKING:
    from torch import nn

    from cifar_core.config import ModelConfig

__all__ = ["build_model", "source_hash"]


def build_model(config: ModelConfig, *, num_classes: int = 10) -> nn.Module:
    """Return the network on the CPU in training mode, its weights drawn from torch's global generator.

    A network of your own, `module:Class`, is looked for where Python looks and in the current folder. Its
    constructor gets `config.options`, and `num_classes` if it takes it.

    Raises:
        ModelError: a network of your own cannot be imported or constructed, or does not give N×num_classes
            logits for N×3×32×32 images; or the weights that the configuration names cannot be loaded.
    """
    if is_import_path(config.name):
        return _build_own_model(config, num_classes=num_classes)
    module_name, class_name = ARCHITECTURES[config.name].path.split(":")
    model_class = getattr(importlib.import_module(module_name), class_name)
    model: nn.Module = model_class(num_classes=num_classes, **config.arguments())
    return model


def source_hash(config: ModelConfig) -> str | None:
    """Return the hash of the file of a network of your own, 16 hexadecimal digits; None for a built-in one.

    It covers that one file, not what the file imports.

    Raises:
        ModelError: the module cannot be found.
    """
    if not is_import_path(config.name):
        return None
    module_name, _ = _parse(config.name)
    origin = _find_module(module_name, name=config.name).origin
    if origin is None or not Path(origin).is_file():
        raise ModelError(f"model {config.name!r}: {module_name!r} has no source file: write a .py file")
    return hashlib.sha256(Path(origin).read_bytes()).hexdigest()[:16]


def _build_own_model(config: ModelConfig, *, num_classes: int) -> nn.Module:
    from torch import nn

    module_name, class_name = _parse(config.name)
    _find_module(module_name, name=config.name)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ModelError(
            f"model {config.name!r}: importing {module_name!r} raised {_described(error)}; "
            f"try `python -c 'import {module_name}'`"
        ) from error
    model_class = getattr(module, class_name, None)
    if model_class is None:
        raise ModelError(f"model {config.name!r}: {_missing_class(module, class_name)}")
    if not callable(model_class):
        raise ModelError(
            f"model {config.name!r}: {class_name} is a {type(model_class).__name__}; "
            "name a class that inherits from torch.nn.Module"
        )
    model = _construct(model_class, config=config, num_classes=num_classes)
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"model {config.name!r}: {class_name}() gives a {type(model).__name__}, not a torch.nn.Module; "
            "let the class inherit from torch.nn.Module"
        )
    _check_output(model, name=config.name, num_classes=num_classes)
    return model


def _parse(name: str) -> tuple[str, str]:
    module_name, _, class_name = name.partition(":")
    if not module_name or not class_name:
        raise ModelError(f"model {name!r}: write your own network as 'module:Class', such as 'my_nets:Tiny'")
    return module_name, class_name


def _find_module(module_name: str, *, name: str) -> ModuleSpec:
    spec = _spec(module_name, name=name)
    folder = str(Path.cwd())
    if spec is None and folder not in sys.path:
        # A console script has its own folder on the path, not the one that the user stands in. That folder
        # stays on it, since the module may import its neighbours later.
        sys.path.append(folder)
        importlib.invalidate_caches()
        spec = _spec(module_name, name=name)
    if spec is None:
        raise ModelError(
            f"model {name!r}: there is no module {module_name!r}; start in the folder that holds it "
            f"(this is {folder}), or install its package"
        )
    return spec


def _spec(module_name: str, *, name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            return None
        raise ModelError(f"model {name!r}: importing its package raised {_described(error)}") from error
    except Exception as error:
        raise ModelError(f"model {name!r}: importing its package raised {_described(error)}") from error


def _missing_class(module: ModuleType, class_name: str) -> str:
    from torch import nn

    known = [name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Module)]
    if not known:
        return f"{module.__name__!r} has no class {class_name!r}, nor any other torch.nn.Module"
    return f"{module.__name__!r} has no class {class_name!r}: {closest(class_name, known)}"


def _construct(model_class: Any, *, config: ModelConfig, num_classes: int) -> object:
    name, options = config.name, config.arguments()
    if "num_classes" in options:
        raise ModelError(f"model {name!r}: leave num_classes out of model.options, it is {num_classes}")
    try:
        signature = inspect.signature(model_class)
    except ValueError as error:
        raise ModelError(f"model {name!r}: its constructor has no signature; write it in Python") from error
    takes = [p.name for p in signature.parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_anything = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for option in options:
        if option not in takes and not takes_anything:
            known = [parameter for parameter in takes if parameter != "num_classes"]
            hint = closest(option, known) if known else "its constructor takes no options"
            raise ModelError(f"model {name!r}: unknown option {option!r} in model.options: {hint}")
    arguments = dict(options)
    if "num_classes" in takes or takes_anything:
        arguments["num_classes"] = num_classes
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ModelError(f"model {name!r}: its constructor says: {error}: see model.options") from error
    try:
        constructed: object = model_class(**arguments)
    except Exception as error:
        given = ", ".join(f"{option}={value!r}" for option, value in arguments.items())
        raise ModelError(
            f"model {name!r}: its constructor refused ({given}) with {_described(error)}; "
            "change model.options or the constructor"
        ) from error
    return constructed


def _check_output(model: nn.Module, *, name: str, num_classes: int) -> None:
    import torch

    images_NCHW = torch.ones(2, 3, 32, 32)
    batch = f"a batch of ones of shape {tuple(images_NCHW.shape)}"
    model.eval()
    # Evaluation mode keeps the statistics of batch norm, the fork the caller's random numbers.
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            output = model(images_NCHW)
        except Exception as error:
            raise ModelError(
                f"model {name!r}: {batch} raised {_described(error)}; let forward take N×3×32×32 images"
            ) from error
    model.train()
    wanted = (images_NCHW.shape[0], num_classes)
    got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    if got != wanted:
        raise ModelError(
            f"model {name!r}: {batch} gives {got}, not {wanted}; let forward return one logit for each image and class"
        )


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
