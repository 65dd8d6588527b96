"""A function of the user's own that returns images, labels and class names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cifar_core.common.errors import ModelError
from cifar_core.common.source import Sources
from cifar_core.common.user_import import import_verified
from cifar_core.common.user_modules import code_of, is_import_path, parse_name
from cifar_core.datasets.arrays import ArrayPart, listing_of_arrays
from cifar_core.datasets.errors import DataError
from cifar_core.datasets.reader import PART_NAMES, Listing, Reader

_RETURNS = "let it return (images, labels, class_names), or {'train': (images, labels), 'test': (images, labels)}"


class FunctionReader(Reader):
    kind = "function"
    form = "MODULE:FUNCTION"
    meaning = "a function of your own that returns images (uint8, N×H×W×3), labels and class names"

    def recognizes(self, text: str) -> bool:
        return is_import_path(text) and _has_module(text)

    def stamp(self, argument: str) -> str:
        try:
            source = Sources().of(argument)
        except ModelError as error:
            raise DataError(str(error).replace("model ", "data source ", 1)) from None
        assert source is not None, "code has a file"
        return source.hash

    def list(self, argument: str) -> Listing:
        returned = _called(argument)
        class_names = None
        parts: list[ArrayPart]
        if isinstance(returned, Mapping):
            class_names = returned.get("class_names")
            parts = []
            for name, value in returned.items():
                if name == "class_names":
                    continue
                part = PART_NAMES.get(str(name).lower())
                if part is None or not isinstance(value, tuple | list) or len(value) != 2:
                    raise DataError(f"{argument} returned {name!r}: {type(value).__name__}: {_RETURNS}")
                parts.append(ArrayPart(part=part, images=value[0], labels=value[1]))
            if "train" not in [each.part for each in parts]:
                raise DataError(f"{argument} returned no part 'train': {_RETURNS}")
        elif isinstance(returned, tuple | list) and len(returned) in (2, 3):
            class_names = returned[2] if len(returned) == 3 else None
            parts = [ArrayPart(part=None, images=returned[0], labels=returned[1])]
        else:
            raise DataError(f"{argument} returned {_kind_of(returned)}: {_RETURNS}")
        return listing_of_arrays(argument, parts, class_names=class_names, place=argument)


def _has_module(argument: str) -> bool:
    try:
        code_of(argument)
    except ModelError as error:
        return "there is no module" not in str(error)
    return True


def _kind_of(returned: Any) -> str:
    return f"{len(returned)} values" if isinstance(returned, tuple | list) else f"a {type(returned).__name__}"


def _called(argument: str) -> Any:
    _, name = parse_name(argument)
    try:
        with import_verified(code_of(argument)) as module:
            function = getattr(module, name, None)
            if not callable(function):
                raise DataError(f"data source {argument!r}: there is no function {name!r} in {module.__file__}")
            return function()
    except (DataError, KeyboardInterrupt):
        raise
    except ModelError as error:
        raise DataError(str(error).replace("model ", "data source ", 1)) from None
    except (Exception, SystemExit) as error:
        raise DataError(f"data source {argument!r} raised {type(error).__name__}: {error}") from error
