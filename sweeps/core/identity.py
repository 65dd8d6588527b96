"""What makes two runs the same, replicates of each other, or comparable: the only module that decides it.

A run is known by its **key** (configuration, seed, training images, the source of a user's own network), its recipe
by **config_id** and **source**, and it may be ranked against others of one **protocol**. A search is known by the
name of its **study**. The hashes of a configuration are made where its canonical form is, in `cifar_core.config`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sweeps.core.task import TaskConfig


@dataclass(frozen=True, kw_only=True, order=True)
class Protocol:
    """Equal for runs that may be ranked against each other: the same images, the same budget."""

    train_images: int
    """Images of an epoch, resolved: what validation leaves where a file names no number."""
    validation_images: int
    split_seed: int
    """0 where all images are trained on, since then nothing is split."""
    epochs: int

    @classmethod
    def of(cls, config: TaskConfig) -> Protocol:
        """Return the protocol that a configuration is evaluated under."""
        return cls(**config.protocol())

    @property
    def budget(self) -> int:
        """Training images that a run sees, each counted once an epoch."""
        return self.train_images * self.epochs

    def reduced_from(self, *, full_epochs: int | None, full_train_images: int | None) -> str | None:
        """Return in words how a full budget was cut to this one; None where it was not.

        Args:
            full_epochs: of the full budget; None where they are these.
            full_train_images: of the full budget; None where they are as many.
        """
        parts = [] if full_epochs is None else [f"{self.epochs} of {full_epochs} epochs"]
        parts += [] if full_train_images is None else [f"{self.train_images:,} training images"]
        return ", ".join(parts) or None

    @property
    def precedence(self) -> tuple[float, ...]:
        """What protocols are ordered by: those with validation images first, then the largest budget."""
        return 0, -self.budget

    def __str__(self) -> str:
        return (
            f"{self.validation_images} validation images of split {self.split_seed}, "
            f"trained on {self.train_images} for {self.epochs} epochs"
        )


@dataclass(frozen=True, kw_only=True, order=True)
class TestProtocol:
    """As `Protocol`, of runs that are ranked by their test accuracy: as many training images, under one budget."""

    __test__ = False  # no class of tests

    train_images: int
    test_images: int
    is_reduced: bool = False
    """Whether the budget was cut."""
    epochs: tuple[int, int] = (1, 1)
    """How it was cut, by the epochs of one of the runs: `(2, 20)` for 2 of 20."""

    @property
    def precedence(self) -> tuple[float, ...]:
        """As `Protocol.precedence`: after those with validation images."""
        done, full = self.epochs
        return 1, -self.train_images, -done / full

    def __str__(self) -> str:
        done, full = self.epochs
        cut = ", under a reduced budget" if self.is_reduced else ""
        return f"{self.test_images} test images, trained on {self.train_images}{cut}" + (
            f" (epochs as {done} of {full})" if done != full else ""
        )


@dataclass(frozen=True, kw_only=True)
class Identity:
    """By what one run is known."""

    key: str
    """Of configuration, seed, training images and source; 16 hexadecimal digits."""
    config_id: str
    """Of the configuration without its seed; 16 hexadecimal digits."""
    source: str | None
    """Hash of the files of a user's own that take part: its network's code, weights to begin with; else None."""


class Identifier:
    """Gives configurations their identity, for the data and the user's own code as they are now."""

    def __init__(self, *, data_fingerprint: str, source_of: Callable[[TaskConfig], str | None] | None = None) -> None:
        """Take note of what a configuration does not say.

        Args:
            data_fingerprint: of the training images.
            source_of: gives the hash of the files that a run is made of (`Source.hash`); None for no source.
        """
        self._data_fingerprint = data_fingerprint
        self._source_of = source_of

    def __call__(self, config: TaskConfig) -> Identity:
        source = None if self._source_of is None else self._source_of(config)
        return Identity(
            key=config.key(data_fingerprint=self._data_fingerprint, source_hash=source),
            config_id=config.config_id(),
            source=source,
        )


def trial_name(sweep: str, trial: int, *, replicate_seed: int | None = None, rung: str | None = None) -> str:
    """Return what people call a trial: `quick-003`, `quick-003-s1` of a replicate, `ladder/deep` of a rung."""
    if rung is not None:
        return f"{sweep}/{rung}"
    return f"{sweep}-{trial:03d}" + ("" if replicate_seed is None else f"-s{replicate_seed}")


def replicate_group(*, config_id: str, source: str | None) -> tuple[str, str]:
    """Return what replicates have in common: their configuration and, of a user's own network, its source."""
    return config_id, source or ""


@dataclass(frozen=True, kw_only=True)
class RecordedTrial:
    """A trial that the record holds of a sweep."""

    study: str
    trial: int
    """Its number in its sweep."""


def generation(name: str, *, of: str) -> int | None:
    """Return how many studies of one definition were begun before this one; None for one of another definition.

    Args:
        name: a study's.
        of: what `study_name` returns for the definition.
    """
    if name == of:
        return 0
    base, _, number = name.rpartition(".")
    return int(number) - 1 if base == of and number.isdigit() else None


def name_of_generation(base: str, generation: int) -> str:
    """Return the name of a study: the first of a definition is called as `study_name` says, the second `NAME.2`."""
    return base if generation == 0 else f"{base}.{generation + 1}"


_REPLICATES = ".replicates"


def replicate_study_name(search: str) -> str:
    """Return the name of the study that holds the replicates of a search's best configurations."""
    return search + _REPLICATES


def is_replicate_study(name: str) -> bool:
    """Return whether a study holds replicates, of which a sampler must never hear."""
    return name.endswith(_REPLICATES)


def is_study_of(name: str, *, sweep: str) -> bool:
    """Return whether a study is called as a sweep's studies are: its search, its later ones, their replicates."""
    return name.rpartition("-")[0] == sweep


def study_name(sweep: str, definition: Mapping[str, Any]) -> str:
    """Return the name of a sweep's study: the sweep's own, and a hash of what may not change under it."""
    digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:8]
    return f"{sweep}-{digest}"
