"""The operations of an augmentation, a file each: configuration, tensor code, what it does to the size.

A new operation is a file and an entry in `_ALL`; tests/cifar_core/operations asks of each what every one has to do. No
torch is imported before one computes.
"""

from collections.abc import Mapping

from cifar_core.operations.crop import Crop
from cifar_core.operations.erase import Erase
from cifar_core.operations.flip import Flip
from cifar_core.operations.grayscale import Grayscale
from cifar_core.operations.normalize import NORMALIZATIONS, Normalize
from cifar_core.operations.operation import Drawing, Operation
from cifar_core.operations.pad import Pad

_ALL: tuple[type[Operation], ...] = (Normalize, Pad, Flip, Grayscale, Erase, Crop)

OPERATIONS: Mapping[str, type[Operation]] = {kind.model_fields["op"].default: kind for kind in _ALL}
"""Name to operation."""

__all__ = [
    "NORMALIZATIONS",
    "OPERATIONS",
    "Crop",
    "Drawing",
    "Erase",
    "Flip",
    "Grayscale",
    "Normalize",
    "Operation",
    "Pad",
]
