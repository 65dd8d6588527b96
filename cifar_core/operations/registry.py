"""The registry of operations, derived from the modules of this package."""

import functools
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cifar_core.common.family import members
from cifar_core.operations.operation import Operation

OPERATIONS: Mapping[str, type[Operation]] = {
    kind.model_fields["op"].default: kind for kind in members("cifar_core.operations", Operation)
}
"""Name to operation."""

if TYPE_CHECKING:
    AnyOperation = Operation
else:
    AnyOperation = Annotated[functools.reduce(operator.or_, OPERATIONS.values()), Field(discriminator="op")]
    """For pydantic: the operation that `op` names."""
