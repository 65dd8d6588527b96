"""A layer from an expression, `Conv2d(3, 6, 3)`, and its output for an image; the text is parsed, not evaluated."""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cifar_core.augment import normalize
from cifar_core.common.errors import ModelError
from cifar_core.image_file import SIZE, ImageSource, read_image

MAX_NUMBERS = 50_000_000
"""Largest number of a layer's parameters, and of its output values for one image."""
_IMPORT_PATH = re.compile(r"\s*([A-Za-z_][\w.]*):([A-Za-z_]\w*)")
"""`nets:Tiny`, a custom layer; arguments may follow."""


def layer_of(expression: str) -> nn.Module:
    """Return the layer of an expression: a class of `torch.nn`, or a custom one as `nets:Tiny(3)`.

    Arguments are literals or layers: `Sequential(Conv2d(3, 6, 3), ReLU())`. The weights are drawn from torch's global
    generator.

    Raises:
        ModelError: the text is not such an expression, there is no such class, or it rejects the arguments.
    """
    # Replace each import path by an identifier that Python can parse.
    paths = {
        f"_own{number}_": match
        for number, match in enumerate(_IMPORT_PATH.finditer(expression))
        if _is_import_path(match)
    }
    text = expression
    for name, match in paths.items():
        text = text.replace(match[0].strip(), name, 1)
    node = parse_expression(text, message=f"{expression!r} is not a layer: write one such as 'Conv2d(3, 6, 3)'")
    classes = {name: (match[1], match[2]) for name, match in paths.items()}

    def find(name: str) -> type[Any]:
        return _custom_class(*classes[name]) if name in classes else _class(name)

    with torch.device("meta"):  # gives the size before memory is allocated
        sketch = construct(node, find)
        if not isinstance(sketch, nn.Module):
            raise ModelError(f"{expression!r} is not a torch.nn.Module")
        count = sum(p.numel() for p in sketch.parameters() if not nn.parameter.is_lazy(p))
        # Errors on the meta device are ignored; real ones recur when the layer is applied.
        with contextlib.suppress(Exception), torch.no_grad():
            output = sketch(torch.empty(1, 3, SIZE, SIZE))
            count = max(count, output.numel() if isinstance(output, Tensor) else 0)
    if count > MAX_NUMBERS:
        raise ModelError(
            f"{expression!r} has {count:,} parameters or output values, more than {MAX_NUMBERS:,}: make it smaller"
        )
    layer: nn.Module = construct(node, find)
    return layer


def layer_output(
    layer: nn.Module, image: ImageSource, *, normalization: str = "none", training: bool = False
) -> npt.NDArray[np.float32]:
    """Return a layer's output for one image, as C×H×W.

    Args:
        layer: takes N×3×32×32 values.
        image: of any mode and size, see `read_image`.
        normalization: applied before the layer; `none` passes values from 0 to 1.
        training: compute in training mode: `Dropout` drops, `BatchNorm2d` uses the image's statistics.

    Raises:
        ImageError: the image cannot be read.
        ModelError: the layer cannot compute it, or its output is not a feature map.
    """
    inputs = normalize(torch.from_numpy(read_image(image)[None].copy()), normalization=normalization)
    kind = type(layer).__name__
    layer.train(training)
    try:
        with torch.no_grad():
            output = layer(inputs.contiguous())
    except Exception as error:
        raise ModelError(f"{kind} cannot process an image of shape 3×32×32: {first_line(error)}") from error
    if isinstance(output, tuple | list) and output:
        output = output[0]
    shape = "×".join(map(str, output.shape[1:])) if isinstance(output, Tensor) else type(output).__name__
    if not isinstance(output, Tensor) or output.ndim != 4 or not output.numel():
        raise ModelError(
            f"the output of {kind} for an image is {shape or 'one number'}, not channels × height × width: "
            "there is no map to show"
        )
    return output[0].float().numpy()


def _is_import_path(match: re.Match[str]) -> bool:
    """Return whether a match is `module:Class`, not the end of a quoted string or of a slice."""
    before = match.string[: match.start()].rstrip()
    return not before or before[-1] in "(,="


def parse_expression(text: str, *, message: str) -> ast.expr:
    """Return a text as a Python expression.

    Raises:
        ModelError: the text is not an expression; with `message`.
    """
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ModelError(message) from None


def construct(node: ast.expr, find: Callable[[str], type[Any]]) -> Any:
    """Return the object that a call constructs; a name alone is a call without arguments.

    Args:
        node: its arguments are literals, such calls, or lists of both.
        find: returns the class of a name.

    Raises:
        ModelError: an argument is neither, or the class rejects the arguments.
    """
    function, arguments, keywords = node, [], []
    if isinstance(node, ast.Call):
        function, arguments, keywords = node.func, node.args, node.keywords
    found = find(ast.unparse(function))
    if any(keyword.arg is None for keyword in keywords):
        raise ModelError(f"{found.__name__} cannot take arguments as **: write each argument out")
    positional = [_value(argument, find) for argument in arguments]
    named = {str(keyword.arg): _value(keyword.value, find) for keyword in keywords}
    try:
        return found(*positional, **named)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{found.__name__} rejected its arguments: {first_line(error)}") from error


def _value(node: ast.expr, find: Callable[[str], type[Any]]) -> Any:
    if isinstance(node, ast.Call):
        return construct(node, find)
    if isinstance(node, ast.List | ast.Tuple) and any(isinstance(part, ast.Call) for part in node.elts):
        return [_value(part, find) for part in node.elts]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise ModelError(
            f"{ast.unparse(node)!r} is not a number, string, list or call: write each argument out"
        ) from None


def _class(name: str) -> type[Any]:
    short = name.removeprefix("torch.").removeprefix("nn.")
    known = {key: value for key, value in vars(nn).items() if isinstance(value, type) and issubclass(value, nn.Module)}
    if short not in known:
        hint = suggestion(short, known) or "name a class of torch.nn, or a custom layer as 'nets:Tiny'"
        raise ModelError(f"there is no layer {name!r}: {hint}")
    return known[short]


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `did you mean Conv2d or Conv3d?` for a name, ignoring case; empty where no known name is close."""
    lower = {key.lower(): key for key in known}
    close = [lower[key] for key in difflib.get_close_matches(name.lower(), lower, n=3)]
    return f"did you mean {' or '.join(close)}?" if close else ""


def _custom_class(module_name: str, class_name: str) -> type[Any]:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)  # a console script has no working directory on its path
        importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ModelError(
            f"{module_name!r} cannot be imported from {folder}: {type(error).__name__}: {error}"
        ) from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        known = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Module)]
        has = f"its classes are {', '.join(known)}" if known else "it has no class that is a torch.nn.Module"
        raise ModelError(f"{module_name!r} has no layer {class_name!r}: {has}")
    return found


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, its class name if the message is empty."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
