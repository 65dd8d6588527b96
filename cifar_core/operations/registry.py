"""The operations of an augmentation, a file each: configuration, tensor code, what it does to the size.

A new operation is a file and an entry in `AnyOperation`; tests/cifar_core/operations asks of each what every one does.
No torch is imported before one computes.
"""

from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import Field

from cifar_core.operations.crop import Crop
from cifar_core.operations.erase import Erase
from cifar_core.operations.flip import Flip
from cifar_core.operations.grayscale import Grayscale
from cifar_core.operations.normalize import Normalize
from cifar_core.operations.operation import Operation
from cifar_core.operations.pad import Pad

AnyOperation = Annotated[Normalize | Pad | Flip | Grayscale | Erase | Crop, Field(discriminator="op")]
"""The registry: every operation there is."""

OPERATIONS: Mapping[str, type[Operation]] = {
    kind.model_fields["op"].default: kind for kind in get_args(get_args(AnyOperation)[0])
}
"""Name to operation."""
