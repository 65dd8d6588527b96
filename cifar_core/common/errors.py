"""Errors of a training run that a user can act on. Each message states the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'? Known: ...` for an unknown name."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}Known: {', '.join(known)}"


class UserError(Exception):
    """Base of the errors that a user can act on."""


class DataUnavailableError(UserError):
    """No source of the data set could be reached, or the data it returned was not CIFAR-10."""


class DivergedError(UserError):
    """A number that the training yielded, such as the loss of an epoch, was not finite."""

    def __init__(
        self,
        *,
        epoch: int,
        loss: float,
        what: str = "the training loss",
        advice: str = "lower optimizer.lr, or add normalisation",
    ) -> None:
        super().__init__(f"{what} was {loss} in epoch {epoch}: {advice}")
        self.epoch = epoch
        self.loss = loss
        self._message_parts = (what, advice)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_diverged, (self.epoch, self.loss, *self._message_parts))


def _rebuild_diverged(epoch: int, loss: float, what: str, advice: str) -> DivergedError:
    return DivergedError(epoch=epoch, loss=loss, what=what, advice=advice)


class CheckpointError(UserError):
    """A checkpoint cannot be read, or belongs to another configuration."""


class ModelError(UserError):
    """A model cannot be built from its configuration."""


class SourceChangedError(ModelError):
    """The code of a custom network has changed. The message names the files that differ."""
