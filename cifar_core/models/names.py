"""The names of the networks that `model.name` may have."""

from __future__ import annotations

import fnmatch
import importlib

from cifar_core.common.user_modules import library_of
from cifar_core.models.library import KnownNetwork
from cifar_core.models.registry import ARCHITECTURES, LIBRARY_BUILDERS


def networks_matching(pattern: str) -> list[KnownNetwork]:
    """Return the networks whose name matches a pattern: `resnet`, `timm:*vit*`; of a library only if it names it.

    Raises:
        ModelError: the library is not installed.
    """
    library = library_of(pattern)
    known = (
        [KnownNetwork(name=name, can_be_pretrained=False) for name in ARCHITECTURES]
        if library is None
        else importlib.import_module(LIBRARY_BUILDERS[library]).known_networks()
    )
    return [each for each in known if fnmatch.fnmatchcase(each.name, pattern)]
