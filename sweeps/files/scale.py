"""Changes to every rung of a ladder, for measuring its steps on a smaller machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, field_validator

from cifar_core.common.errors import closest
from cifar_core.common.validation import StrictModel
from sweeps.core.task import TaskConfig, product
from sweeps.files.budget import Budget
from sweeps.tasks.registry import IMAGES, task_of

SIZED = IMAGES.sized
"""Architectures that take a width."""


class Scale(StrictModel):
    """Changes to every rung alike. The difference of a rung from its parent stays the same."""

    train_size: int | None = Field(default=None, ge=1)
    """Number of training images, stratified by class. A rung with fewer keeps its own number."""
    epochs: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Factor of the epochs and of `schedule.step_size`. Each result must be an integer."""
    lr: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Factor of the learning rates `optimizer.lr` and `schedule.min_lr`."""
    width: dict[str, Annotated[int, Field(ge=1, le=4096)]] = Field(
        default_factory=dict, json_schema_extra={"propertyNames": {"enum": list(SIZED)}}
    )
    """Architecture to width: the channels of the first convolution, with which the other layers scale."""

    @field_validator("width")
    @classmethod
    def _check_width(cls, value: dict[str, int]) -> dict[str, int]:
        for name in value:
            if name not in SIZED:
                raise ValueError(f"{name!r} is not an architecture with a width: {closest(name, SIZED)}")
        return value

    def then(self, other: Scale) -> Scale:
        """Return the combination of this scale and another one after it."""
        sizes = [size for size in (self.train_size, other.train_size) if size is not None]
        return Scale(
            train_size=min(sizes, default=None),
            epochs=product(self.epochs, other.epochs),
            lr=product(self.lr, other.lr),
            width=self.width | other.width,
        )

    def apply(self, config: TaskConfig) -> TaskConfig:
        """Return the scaled configuration.

        Raises:
            ValueError: a scaled number of epochs is not an integer. The message names key and value.
        """
        self._check_epochs(config)
        cut = Budget(epochs_scale=self.epochs, train_size=self.train_size).apply(config)
        scaled: TaskConfig = task_of(cut).scaled(cut, lr=self.lr, width=self.width)
        return scaled

    def unused(self, configs: Sequence[TaskConfig]) -> list[str]:
        """Return an error for each width of a network that no configuration uses."""
        names = list(dict.fromkeys(task_of(config).label(config) for config in configs))
        return [
            f"scale.width.{name}: no rung uses the network {name!r}. The rungs use {', '.join(names)}"
            for name in self.width
            if name not in names
        ]

    def _check_epochs(self, config: TaskConfig) -> None:
        values = config.dotted()
        # Fields that the schedule does not use are not checked: no file could correct them.
        own = ("epochs",) if config.epochs else ()  # a program may end by itself
        for path in (*own, *(path for path in task_of(config).epoch_fields if path in values)):
            scaled = product(values[path], self.epochs)
            if scaled != int(scaled) or scaled < 1:
                raise ValueError(
                    f"scale.epochs: {self.epochs:g} times {path} {values[path]} is {scaled:g}, not a positive integer. "
                    "Choose another factor"
                )
