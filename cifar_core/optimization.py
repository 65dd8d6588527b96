"""The optimiser and the learning-rate schedule from their configurations."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from cifar_core.config import OptimizerConfig, ScheduleConfig
from cifar_core.optimizers.registry import OPTIMIZERS


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return the optimiser over the parameters of a network.

    Raises:
        ModelError: the optimiser is not for such a network.
    """
    module, _, function = OPTIMIZERS[config.name].path.partition(":")
    built: torch.optim.Optimizer = getattr(importlib.import_module(module), function)(model, config)
    return built


class Schedule:
    """A scheduler of torch that advances every step or every epoch, whichever it needs."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, scheduler: lr_scheduler.LRScheduler | None, *, every_step: bool
    ) -> None:
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._every_step = every_step
        self.learning_rate: float = optimizer.param_groups[0]["lr"]
        """Of the last step; before the first step, of the first."""

    def end_step(self) -> None:
        self.learning_rate = float(self._optimizer.param_groups[0]["lr"])
        if self._scheduler is not None and self._every_step:
            self._scheduler.step()

    def end_epoch(self) -> None:
        if self._scheduler is not None and not self._every_step:
            self._scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        return {} if self._scheduler is None else self._scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._scheduler is not None:
            self._scheduler.load_state_dict(state)


def build_schedule(
    optimizer: torch.optim.Optimizer, config: ScheduleConfig, *, epochs: int, steps_per_epoch: int
) -> Schedule:
    """Return the schedule over a run of `epochs` × `steps_per_epoch` steps."""
    scheduler: lr_scheduler.LRScheduler | None = None
    if config.name == "step":
        scheduler = lr_scheduler.StepLR(optimizer, step_size=config.step_size, gamma=config.gamma)
    elif config.name == "cosine" and len(optimizer.param_groups) > 1:
        lowest = config.min_lr / optimizer.param_groups[0]["lr"]  # the same share for each group
        scheduler = lr_scheduler.LambdaLR(optimizer, _cosine(lowest, epochs=epochs))
    elif config.name == "cosine":
        scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs, eta_min=config.min_lr)
    elif config.name == "one_cycle":
        # One step more than there are: torch raises for a step after the last.
        scheduler = lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=epochs * steps_per_epoch + 1,
            pct_start=config.warmup,
            cycle_momentum=False,
        )
    elif config.name == "triangular":
        scheduler = lr_scheduler.LambdaLR(optimizer, _triangle(config, steps=epochs * steps_per_epoch))
    elif config.name == "warmup_cosine":
        lowest = config.min_lr / optimizer.param_groups[0]["lr"]
        factor = _warmup_cosine(config, steps=epochs * steps_per_epoch, lowest=lowest)
        scheduler = lr_scheduler.LambdaLR(optimizer, factor)
    return Schedule(optimizer, scheduler, every_step=config.name in ("one_cycle", "triangular", "warmup_cosine"))


def _cosine(lowest: float, *, epochs: int) -> Callable[[float], float]:
    """Return a function from the number of trained epochs to the next epoch's share of the learning rate."""
    return lambda epoch: lowest + (1 - lowest) * (1 + math.cos(math.pi * epoch / epochs)) / 2


def _warmup_cosine(config: ScheduleConfig, *, steps: int, lowest: float) -> Callable[[int], float]:
    """Return a function from a step, counted from 0, to its share of the learning rate."""
    peak = config.warmup * steps
    fall = _cosine(lowest, epochs=1)
    return lambda step: _rise(config, step=step, peak=peak) if step < peak else fall((step - peak) / (steps - peak))


def _rise(config: ScheduleConfig, *, step: int, peak: float) -> float:
    return config.start_factor + (1 - config.start_factor) * step / peak


def _triangle(config: ScheduleConfig, *, steps: int) -> Callable[[int], float]:
    """Return a function from a step, counted from 0, to its share of the learning rate."""
    peak = config.warmup * steps

    def factor(step: int) -> float:
        if step < peak:
            return _rise(config, step=step, peak=peak)
        return max(0.0, 1 - (1 - config.end_factor) * (step - peak) / (steps - peak))

    return factor
