"""Averaging of weights over the steps: of the trained weights themselves, or of a copy for the evaluation.

`lookahead` (Zhang et al. 2019) smooths the weights more towards the end of a run. `ema` and `swa` evaluate, and keep at
the end, an average that the training never reads: an exponential one (Polyak and Juditsky 1992), or an equal one over
the last steps (Izmailov et al. 2018). The running statistics of batch norms are averaged with the weights; they are not
computed again.
"""

from __future__ import annotations

import abc
import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

EVERY = 5
"""Steps between two updates of the average."""
DECAY = 0.95**EVERY
"""Share of the average that is kept at the last step of a run."""

MEAN_AGE = 1 / 4
"""Mean age of the weights in an exponential average, in epochs."""

AVERAGED_SHARE = 1 / 4
"""Share of the epochs, the last ones, over which `swa` averages."""


class Averaging(abc.ABC):
    """A running average of the weights and running statistics of a network."""

    def __init__(self, model: nn.Module) -> None:
        """Start from the current weights.

        Args:
            model: its weights are averaged.
        """
        self._step = 0
        self._live = [value for value in model.state_dict().values() if value.is_floating_point()]
        self._average = [value.clone() for value in self._live]

    @torch.no_grad()
    def reset(self) -> None:
        """Restart the average from the current weights, after code other than the optimiser has set some of them."""
        for average, live in zip(self._average, self._live, strict=True):
            average.copy_(live)

    @abc.abstractmethod
    def end_step(self) -> None:
        """Count a step of the optimiser."""

    @contextlib.contextmanager
    def evaluated(self, *, is_last: bool) -> Iterator[None]:
        """Let the network have the weights to evaluate.

        Args:
            is_last: whether the training has ended, and the network keeps these weights.
        """
        yield

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._step, "average": list(self._average)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the average and the step count.

        Raises:
            ValueError: the state belongs to another network.
        """
        saved: list[Tensor] = state["average"]
        for average, value in zip(self._average, saved, strict=True):
            average.copy_(value)
        self._step = state["step"]


class Lookahead(Averaging):
    """A running average of weights and running statistics; every `EVERY` steps the network is set to it.

    The update at step t of T keeps `DECAY` × (t/T)³ of the average and takes the rest from the weights. Early steps
    are therefore free, late ones smoothed. The constants are those of Jordan (2024), arXiv 2404.00498.
    """

    def __init__(self, model: nn.Module, *, steps: int) -> None:
        """Start from the current weights.

        Args:
            model: its weights are averaged in place.
            steps: of the complete run, T.
        """
        super().__init__(model)
        self._steps = steps

    @torch.no_grad()
    def end_step(self) -> None:
        """Count a step of the optimiser; update the average after every `EVERY` steps and after the last."""
        self._step += 1
        if self._step % EVERY and self._step < self._steps:
            return
        keep = DECAY * (self._step / self._steps) ** 3
        for average, live in zip(self._average, self._live, strict=True):
            average.lerp_(live, 1 - keep)
            live.copy_(average)


class EvaluatedAverage(Averaging):
    """An average that is evaluated and kept at the end, and not read by the training."""

    def __init__(self, model: nn.Module, *, before: int, most: float) -> None:
        """Start from the current weights.

        Args:
            model: its weights are averaged, and replaced while they are evaluated.
            before: steps before the first one that the average contains. Until then the weights are evaluated.
            most: steps that have equal weight. From then on the average is exponential, with this mean age in steps.
        """
        super().__init__(model)
        self._before = before
        self._most = most

    @torch.no_grad()
    def end_step(self) -> None:
        self._step += 1
        if self._step > self._before:
            share = 1 / min(self._step - self._before, self._most)
            for average, live in zip(self._average, self._live, strict=True):
                average.lerp_(live, share)

    @contextlib.contextmanager
    def evaluated(self, *, is_last: bool) -> Iterator[None]:
        is_averaged = self._step > self._before
        if is_averaged:
            self._swap()
        try:
            yield
        finally:
            if is_averaged and not is_last:
                self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for average, live in zip(self._average, self._live, strict=True):
            trained = live.clone()
            live.copy_(average)
            average.copy_(trained)


class ExponentialAverage(EvaluatedAverage):
    """An exponential moving average with a mean age of `MEAN_AGE`.

    The first steps have equal weight, so that no initial weight stays in the average.
    """

    def __init__(self, model: nn.Module, *, steps_per_epoch: int) -> None:
        super().__init__(model, before=0, most=max(1.0, steps_per_epoch * MEAN_AGE))


class EqualAverage(EvaluatedAverage):
    """The mean after each step of the last `AVERAGED_SHARE` of the epochs, at least the last epoch."""

    def __init__(self, model: nn.Module, *, epochs: int, steps_per_epoch: int) -> None:
        averaged = math.ceil(epochs * AVERAGED_SHARE)
        super().__init__(model, before=(epochs - averaged) * steps_per_epoch, most=math.inf)
