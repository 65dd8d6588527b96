"""`build_model` builds the network that a `ModelConfig` names."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cifar_core.common.errors import ModelError, closest
from cifar_core.common.user_import import import_verified
from cifar_core.common.user_modules import Code, code_of, is_import_path, library_of, parse_name
from cifar_core.models.registry import ARCHITECTURES, LIBRARY_BUILDERS

if TYPE_CHECKING:
    from torch import nn

    from cifar_core.config import ModelConfig, TrainingConfig


DEFAULT_CLASSES, DEFAULT_IMAGE_SIZE = 10, 32
"""Those of CIFAR-10."""

_USER_ERRORS = (Exception, SystemExit)
"""Errors of user code: its `sys.exit` is an error of the network and does not end this process."""


def build_model(
    config: ModelConfig, *, num_classes: int = DEFAULT_CLASSES, image_size: int = DEFAULT_IMAGE_SIZE
) -> nn.Module:
    """Return the network on the CPU in training mode, its weights drawn from torch's global generator.

    A custom network, `module:Class`, is imported from Python's path or the current folder. Its constructor receives
    `config.options`, and `num_classes` and `image_size` if it accepts them.

    Raises:
        ModelError: a custom network cannot be imported or constructed, or does not return N×num_classes logits
            for N×3×image_size×image_size images; a library is not installed or rejects its network; or the weights that
            the configuration names cannot be loaded.
    """
    if is_import_path(config.name):
        return _build_custom_model(config, num_classes=num_classes, image_size=image_size)
    if library := library_of(config.name):
        builder = importlib.import_module(LIBRARY_BUILDERS[library])
        built: nn.Module = builder.build(config, num_classes=num_classes, image_size=image_size)
        return built
    module_name, class_name = ARCHITECTURES[config.name].path.split(":")
    model_class = getattr(importlib.import_module(module_name), class_name)
    model: nn.Module = model_class(num_classes=num_classes, image_size=image_size, **config.arguments())
    return model


def network_of(config: TrainingConfig) -> nn.Module:
    """Return the network of a configuration, for the classes and the image size of its data; see `build_model`."""
    return build_model(config.model, num_classes=config.data.classes, image_size=config.data.image_size)


def _build_custom_model(config: ModelConfig, *, num_classes: int, image_size: int) -> nn.Module:
    code = code_of(config.name)
    try:
        with import_verified(code) as module:
            given = {"num_classes": num_classes, "image_size": image_size}
            model = _construct(_class(module, config.name), config=config, given=given, code=code)
            _check_registered(model, name=config.name)
            _check_output(model, name=config.name, num_classes=num_classes, image_size=image_size, code=code)
    except ModelError:
        raise
    except _USER_ERRORS as error:
        raise ModelError(
            f"model {config.name!r}: importing {code.entry!r} raised {_described(error, code)}. "
            f"Run `python -c 'import {code.entry}'` to see the traceback"
        ) from error
    return model


def _class(module: ModuleType, name: str) -> Any:
    _, class_name = parse_name(name)
    model_class = getattr(module, class_name, None)
    if model_class is None:
        raise ModelError(f"model {name!r}: {_missing_class(module, class_name)}")
    if not callable(model_class):
        raise ModelError(
            f"model {name!r}: {class_name} is a {type(model_class).__name__}: "
            "name a class that inherits from torch.nn.Module"
        )
    return model_class


def _missing_class(module: ModuleType, class_name: str) -> str:
    from torch import nn

    known = [name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Module)]
    imported = f"{module.__name__!r} ({module.__file__})"
    if not known:
        return f"{imported} has no class {class_name!r}, nor any other torch.nn.Module"
    return f"{imported} has no class {class_name!r}: {closest(class_name, known)}"


def _construct(model_class: Any, *, config: ModelConfig, given: Mapping[str, int], code: Code) -> nn.Module:
    from torch import nn

    name, options = config.name, config.arguments()
    if "num_classes" in options:
        raise ModelError(f"model {name!r}: num_classes is always {given['num_classes']}: remove it from model.options")
    try:
        signature = inspect.signature(model_class)
    except ValueError as error:
        raise ModelError(f"model {name!r}: its constructor has no signature: write it in Python") from error
    takes = [p.name for p in signature.parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_anything = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for option in options:
        if option not in takes and not takes_anything:
            known = [parameter for parameter in takes if parameter not in given]
            hint = closest(option, known) if known else "its constructor takes no options"
            raise ModelError(f"model {name!r}: unknown option {option!r} in model.options: {hint}")
    arguments = dict(options)
    if "num_classes" in takes or takes_anything:
        arguments["num_classes"] = given["num_classes"]
    if "image_size" in takes and "image_size" not in options:
        size = signature.parameters["image_size"]
        if size.default is size.empty or given["image_size"] != DEFAULT_IMAGE_SIZE:
            arguments["image_size"] = given["image_size"]
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ModelError(f"model {name!r}: its constructor raised: {error}. Change model.options") from error
    try:
        constructed: object = model_class(**arguments)
    except _USER_ERRORS as error:
        called_with = ", ".join(f"{option}={value!r}" for option, value in arguments.items())
        raise ModelError(
            f"model {name!r}: its constructor, called with ({called_with}), raised {_described(error, code)}. "
            "Change model.options or the constructor"
        ) from error
    if not isinstance(constructed, nn.Module):
        raise ModelError(
            f"model {name!r}: {parse_name(name)[1]}() returned a {type(constructed).__name__}, not a torch.nn.Module: "
            "name a class that inherits from torch.nn.Module"
        )
    return constructed


def _check_registered(model: nn.Module, *, name: str) -> None:
    """Raise for layers that are not registered with torch: they would be neither trained nor saved."""
    known = {id(parameter) for parameter in model.parameters()}
    for path, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute.startswith("_") and attribute in _TORCH_ATTRIBUTES:
                continue
            hidden = next((part for part in _parts_in(value) if _trained_in(part) - known), None)
            if hidden is not None:
                where = f"{path}.{attribute}" if path else attribute
                raise ModelError(
                    f"model {name!r}: {where} is a {type(value).__name__} that contains a {type(hidden).__name__}, "
                    "which torch does not register and would not train: use torch.nn.ModuleList or "
                    "torch.nn.ModuleDict for layers, torch.nn.ParameterList for parameters"
                )


_TORCH_ATTRIBUTES = ("_modules", "_parameters", "_buffers")


def _parts_in(value: object, *, depth: int = 3) -> Iterator[nn.Module | nn.Parameter]:
    """Yield the layers and parameters in a list, a tuple, a set or a dictionary, and in nested ones."""
    from torch import nn

    inside = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(inside, list | tuple | set) or not depth:
        return
    for part in inside:
        if isinstance(part, nn.Module | nn.Parameter):
            yield part
        else:
            yield from _parts_in(part, depth=depth - 1)


def _trained_in(part: nn.Module | nn.Parameter) -> set[int]:
    """Return the ids of the trainable parameters; an activation or a frozen teacher has none."""
    from torch import nn

    parameters = part.parameters() if isinstance(part, nn.Module) else [part]
    return {id(parameter) for parameter in parameters if parameter.requires_grad}


def _check_output(model: nn.Module, *, name: str, num_classes: int, image_size: int, code: Code) -> None:
    import torch

    images_NCHW = torch.ones(2, 3, image_size, image_size)
    batch = f"a batch of ones of shape {tuple(images_NCHW.shape)}"
    model.eval()
    # Evaluation mode preserves the statistics of batch norm, the fork the caller's random numbers.
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            output = model(images_NCHW)
        except ModelError:
            raise
        except _USER_ERRORS as error:
            raise ModelError(
                f"model {name!r}: forward raised {_described(error, code)} for {batch}: let it accept "
                f"N×3×{image_size}×{image_size} images"
            ) from error
    model.train()
    expected = (images_NCHW.shape[0], num_classes)
    actual = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    if actual != expected:
        raise ModelError(
            f"model {name!r}: forward returned {actual}, not {expected}, for {batch}: "
            "let it return one logit per image and class"
            + ("" if num_classes == DEFAULT_CLASSES else f", and accept num_classes, which is {num_classes} here")
        )


def _described(error: BaseException, code: Code) -> str:
    text = f"sys.exit({error})" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
    shadowed = [f"Python imports {library} instead of {file}: rename it" for file, library in code.shadowed.items()]
    return f"{text} ({'; '.join(shadowed)})" if shadowed else text
