"""A layer written as in Python, `Conv2d(3, 6, 3)`, and what it makes of an image; nothing is evaluated as code."""

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

MOST = 50_000_000
"""Parameters of a layer that is built to look at one image, and values of what it makes of it."""
_OWN = re.compile(r"\s*([A-Za-z_][\w.]*):([A-Za-z_]\w*)")
"""`nets:Tiny`, of a file of one's own; what follows are its arguments."""


def layer_of(expression: str) -> nn.Module:
    """Return the layer that an expression names: of `torch.nn`, or of a file of one's own as `nets:Tiny(3)`.

    Arguments are literals, or layers themselves: `Sequential(Conv2d(3, 6, 3), ReLU())`. Its weights are drawn from
    torch's global generator.

    Raises:
        ModelError: it is no such expression, there is no such class, or it refuses the arguments.
    """
    # One name that Python can parse stands for each class of an own file.
    own = {f"_own{number}_": match for number, match in enumerate(_OWN.finditer(expression)) if _is_whole(match)}
    text = expression
    for name, match in own.items():
        text = text.replace(match[0].strip(), name, 1)
    node = parsed(text, of=f"{expression!r} is no layer: write one such as 'Conv2d(3, 6, 3)'")
    classes = {name: (match[1], match[2]) for name, match in own.items()}

    def find(name: str) -> type[Any]:
        return _own_class(*classes[name]) if name in classes else _class(name)

    with torch.device("meta"):  # its size is known before any memory is taken
        sketch = built(node, find)
        if not isinstance(sketch, nn.Module):
            raise ModelError(f"{expression!r} is no torch.nn.Module")
        count = sum(p.numel() for p in sketch.parameters() if not nn.parameter.is_lazy(p))
        # Whatever cannot be computed this way says why when it is computed in earnest.
        with contextlib.suppress(Exception), torch.no_grad():
            made = sketch(torch.empty(1, 3, SIZE, SIZE))
            count = max(count, made.numel() if isinstance(made, Tensor) else 0)
    if count > MOST:
        raise ModelError(f"{expression!r} holds or makes {count:,} numbers, more than {MOST:,}: make it smaller")
    layer: nn.Module = built(node, find)
    return layer


def layer_output(
    layer: nn.Module, image: ImageSource, *, normalization: str = "none", training: bool = False
) -> npt.NDArray[np.float32]:
    """Return what a layer makes of one image, as C×H×W.

    Args:
        layer: takes N×3×32×32 values.
        image: of any mode and size, as `read_image` takes it.
        normalization: what stands before the layer; `none` gives it values from 0 to 1.
        training: compute as in training: `Dropout` drops, `BatchNorm2d` takes the image's own statistics.

    Raises:
        ImageError: it is no image that can be read.
        ModelError: the layer cannot compute it, or gives no maps.
    """
    inputs = normalize(torch.from_numpy(read_image(image)[None].copy()), normalization=normalization)
    kind = type(layer).__name__
    layer.train(training)
    try:
        with torch.no_grad():
            output = layer(inputs.contiguous())
    except Exception as error:
        raise ModelError(f"{kind} cannot compute an image, which is 3×32×32: {first_line(error)}") from error
    if isinstance(output, tuple | list) and output:
        output = output[0]
    shape = "×".join(map(str, output.shape[1:])) if isinstance(output, Tensor) else type(output).__name__
    if not isinstance(output, Tensor) or output.ndim != 4 or not output.numel():
        raise ModelError(
            f"{kind} makes {shape or 'one number'} of an image, not channels × height × width: there is no map to show"
        )
    return output[0].float().numpy()


def _is_whole(match: re.Match[str]) -> bool:
    """Return whether a match is `module:Class`, not the end of a text in quotes or of a slice."""
    before = match.string[: match.start()].rstrip()
    return not before or before[-1] in "(,="


def parsed(text: str, *, of: str) -> ast.expr:
    """Return a text as an expression of Python; `of` names it in the error where it is none."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ModelError(of) from None


def built(node: ast.expr, find: Callable[[str], type[Any]]) -> Any:
    """Return the object of a call, or of a bare name as of one without arguments.

    Args:
        node: arguments are literals, or calls of the same kind, in lists too.
        find: returns the class of a name.

    Raises:
        ModelError: an argument is neither, or the class refuses them.
    """
    function, arguments, keywords = node, [], []
    if isinstance(node, ast.Call):
        function, arguments, keywords = node.func, node.args, node.keywords
    found = find(ast.unparse(function))
    if any(keyword.arg is None for keyword in keywords):
        raise ModelError(f"{found.__name__} takes its arguments one by one, not as **")
    given = [_value(argument, find) for argument in arguments]
    named = {str(keyword.arg): _value(keyword.value, find) for keyword in keywords}
    try:
        return found(*given, **named)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{found.__name__} refuses its arguments: {first_line(error)}") from error


def _value(node: ast.expr, find: Callable[[str], type[Any]]) -> Any:
    if isinstance(node, ast.Call):
        return built(node, find)
    if isinstance(node, ast.List | ast.Tuple) and any(isinstance(part, ast.Call) for part in node.elts):
        return [_value(part, find) for part in node.elts]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise ModelError(f"{ast.unparse(node)!r} is no number, text, list or call: write each argument out") from None


def _class(name: str) -> type[Any]:
    short = name.removeprefix("torch.").removeprefix("nn.")
    known = {key: value for key, value in vars(nn).items() if isinstance(value, type) and issubclass(value, nn.Module)}
    if short not in known:
        hint = nearest(short, known) or "name a class of torch.nn, or your own as 'nets:Tiny'"
        raise ModelError(f"there is no layer {name!r}: {hint}")
    return known[short]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `did you mean Conv2d or Conv3d?` for a name in any letters; empty where nothing is near."""
    lower = {key.lower(): key for key in known}
    near = [lower[key] for key in difflib.get_close_matches(name.lower(), lower, n=3)]
    return f"did you mean {' or '.join(near)}?" if near else ""


def _own_class(module_name: str, class_name: str) -> type[Any]:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)  # where a console script's user stands
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
    """Return what an error says first, its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
