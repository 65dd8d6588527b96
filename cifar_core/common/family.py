"""Families of classes, one file each: a new file in the package is a new member."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any


def members(package: str, base: type) -> list[Any]:
    """Return the subclasses of a base that the modules of a package define, in the order of the modules' names.

    Args:
        package: its name; each of its modules is imported.
        base: the class that members derive from.
    """
    path = importlib.import_module(package).__path__
    found: list[Any] = []
    for module in sorted(pkgutil.iter_modules(path), key=lambda module: module.name):
        loaded = importlib.import_module(f"{package}.{module.name}")
        classes = [each for _, each in inspect.getmembers(loaded, inspect.isclass)]
        defined = [each for each in classes if each.__module__ == loaded.__name__ and issubclass(each, base)]
        found += [each for each in defined if not inspect.isabstract(each)]
    return found
