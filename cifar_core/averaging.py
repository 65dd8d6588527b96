"""Averaging of weights over the steps: lookahead (Zhang et al. 2019), which smooths more towards the end of a run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

EVERY = 5
"""Steps between two updates of the average."""
DECAY = 0.95**EVERY
"""Share of the average that is kept at the last step of a run."""


class Lookahead:
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
        self._steps = steps
        self._step = 0
        self._live = [value for value in model.state_dict().values() if value.is_floating_point()]
        self._average = [value.clone() for value in self._live]

    @torch.no_grad()
    def reset(self) -> None:
        """Restart the average from the current weights, after code other than the optimiser has set some of them."""
        for average, live in zip(self._average, self._live, strict=True):
            average.copy_(live)

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
