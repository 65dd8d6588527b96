"""The data on which the replicates of a search are compared: a confirmation part, or its validation data."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from sweeps.core.task import AnyTask, TaskConfig
from sweeps.files.space import SearchSpace

MOST = 10_000
"""Examples of a confirmation part without a number in the file."""


@dataclass(frozen=True, kw_only=True)
class ConfirmationPart:
    """The data on which replicates are compared."""

    examples: int
    """Examples that neither the search nor the training of a replicate uses; 0 for the search's validation data."""
    reason: str = ""
    """Why there is no confirmation part."""

    @property
    def sentence(self) -> str:
        """On which data replicates are compared."""
        if self.examples:
            return f"Replicates are compared on {self.examples:,} examples that the search does not use."
        return f"Replicates are compared on the validation data of the search, because {self.reason}."


def confirmation_part(
    task: AnyTask, configs: Sequence[TaskConfig], *, metric: str, images: int | None
) -> ConfirmationPart:
    """Return the data on which the replicates of a search are compared.

    Args:
        task: the task.
        configs: one configuration for each data part of the search.
        metric: the metric of the search.
        images: the number in the file; None for as many as are left, at most `MOST`.

    Raises:
        ValueError: fewer examples are left than the file requests.
    """
    if images == 0:
        return ConfirmationPart(examples=0, reason="images is 0")
    faults = [fault for config in configs if (fault := task.confirmation_fault(config, metric)) is not None]
    if faults or not configs:
        reason = faults[0] if faults else "the data of the search are unknown"
        if images is not None:
            raise ValueError(f"images {images}: replicates cannot be measured on other images: {reason}. Leave it out")
        return ConfirmationPart(examples=0, reason=reason)
    sizes = [task.confirmation_left(config) for config in configs]
    left, validation = min(left for left, _ in sizes), max(validation for _, validation in sizes)
    if images is not None and images > left:
        raise ValueError(
            f"images {images}: training and validation in the search leave {left:,}. Lower images or data.train_size"
        )
    examples = min(MOST, left) if images is None else images
    # A much smaller part would add more luck than it removes.
    if images is None and 2 * examples < validation:
        return ConfirmationPart(examples=0, reason=f"training and validation in the search leave only {left:,} others")
    return ConfirmationPart(examples=examples)


def part_configs(space: SearchSpace) -> list[TaskConfig]:
    """Return one configuration for each data part of a search space."""
    values = [space.listed_values(path) for path in space.task.part_fields]
    configs: list[TaskConfig] = []
    for combination in itertools.product(*values):
        # Valid values may be an invalid combination. The proposer skips those too.
        with contextlib.suppress(ValidationError):
            configs.append(space.config(dict(zip(space.task.part_fields, combination, strict=True))))
    return configs
