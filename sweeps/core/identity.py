"""Decide whether two runs are the same, replicates of each other, or comparable.

A run is identified by its **key** (configuration, seed, training images, source of a custom network), its recipe by
**config_id** and **source**. Runs of one **protocol** may be ranked against each other. A search is identified by
the name of its **study**. `cifar_core.config` computes the hashes of a configuration.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sweeps.core.task import TaskConfig


@dataclass(frozen=True, kw_only=True, order=True)
class Protocol:
    """Images and budget of a run. Runs of equal protocols may be ranked against each other."""

    train_images: int
    """Images per epoch: all that validation leaves if the file gives no number."""
    validation_images: int
    split_seed: int
    """0 if there are no validation images."""
    epochs: int
    data: str = ""
    """Fingerprint of a custom data set; empty for CIFAR-10."""
    test_images: int = field(default=0, compare=False)
    """Test images of the data set; 0 for a task without a test part."""
    classes: int = field(default=0, compare=False)
    """Classes of a classification; 0 for another task."""

    @classmethod
    def of(cls, config: TaskConfig) -> Protocol:
        """Return the protocol of a configuration."""
        return cls(**config.protocol())

    @property
    def budget(self) -> int:
        """Training images times epochs; epochs for a task without images."""
        return (self.train_images or 1) * self.epochs

    def reduced_from(self, *, full_epochs: int | None, full_train_images: int | None) -> str | None:
        """Return a text that describes how a full budget was reduced to this one; None if it was not.

        Args:
            full_epochs: of the full budget; None if equal.
            full_train_images: of the full budget; None if equal.
        """
        parts = [] if full_epochs is None else [f"{self.epochs} of {full_epochs} epochs"]
        parts += [] if full_train_images is None else [f"{self.train_images:,} training images"]
        return ", ".join(parts) or None

    @property
    def precedence(self) -> tuple[float, ...]:
        """Sort key of protocols: those with validation images first, then the largest budget."""
        return 0, -self.budget

    def __str__(self) -> str:
        if not self.train_images:  # a task without images; a program may have any number of epochs
            return f"trained for {self.epochs} epochs" if self.epochs else "trained to its end"
        return (
            f"{self.validation_images} validation images of split {self.split_seed}, "
            f"trained on {self.train_images} for {self.epochs} epochs{_of_data(self.data)}"
        )


@dataclass(frozen=True, kw_only=True, order=True)
class TestProtocol:
    """As `Protocol`, for runs that are ranked by their test accuracy."""

    __test__ = False  # no class of tests

    train_images: int
    test_images: int
    is_reduced: bool = False
    """Whether the budget was reduced."""
    epochs: tuple[int, int] = (1, 1)
    """Epochs of one of the runs, reduced and full: `(2, 20)` for 2 of 20."""
    data: str = ""
    """As `Protocol.data`."""

    @property
    def precedence(self) -> tuple[float, ...]:
        """As `Protocol.precedence`, after all protocols with validation images."""
        done, full = self.epochs
        return 1, -self.train_images, -done / full

    def __str__(self) -> str:
        done, full = self.epochs
        cut = ", reduced budget" if self.is_reduced else ""
        of_epochs = f" ({done} of {full} epochs)" if done != full else ""
        images = f"{self.test_images} test images, {self.train_images} training images"
        return f"{images}{cut}{of_epochs}{_of_data(self.data)}"


def _of_data(fingerprint: str) -> str:
    return f", data {fingerprint[:8]}" if fingerprint else ""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The identity of one run."""

    key: str
    """Hash of configuration, seed, training images and source; 16 hexadecimal digits."""
    config_id: str
    """Hash of the configuration without its seed; 16 hexadecimal digits."""
    source: str | None
    """Hash of the custom files that it uses, such as the network's code and initial weights; None if there are none."""


class Identifier:
    """Computes identities of configurations for the current data and custom code.

    Args:
        data_fingerprint: of the training images, or a function that returns it for a configuration.
        source_of: returns the hash of the custom files of a run (`Source.hash`); None if no run has any.
    """

    def __init__(
        self,
        *,
        data_fingerprint: str | Callable[[Any], str],
        source_of: Callable[[TaskConfig], str | None] | None = None,
    ) -> None:
        self._data_fingerprint = data_fingerprint
        self._source_of = source_of

    def __call__(self, config: TaskConfig) -> Identity:
        source = None if self._source_of is None else self._source_of(config)
        data = self._data_fingerprint
        return Identity(
            key=config.key(data_fingerprint=data if isinstance(data, str) else data(config), source_hash=source),
            config_id=config.config_id(),
            source=source,
        )


def trial_name(sweep: str, trial: int, *, replicate_seed: int | None = None, rung: str | None = None) -> str:
    """Return the name of a trial: `quick-003`, `quick-003-s1` for a replicate, `ladder/deep` for a rung."""
    if rung is not None:
        return f"{sweep}/{rung}"
    return f"{sweep}-{trial:03d}" + ("" if replicate_seed is None else f"-s{replicate_seed}")


def replicate_group(*, config_id: str, source: str | None) -> tuple[str, str]:
    """Return the group of a run, equal for its replicates: configuration and custom code."""
    return config_id, source or ""


@dataclass(frozen=True, kw_only=True)
class RecordedTrial:
    """A recorded trial of a sweep."""

    study: str
    trial: int
    """Its number in its sweep."""


def generation(name: str, *, of: str) -> int | None:
    """Return the index of a study, from its name, among those with one definition; None if it has another definition.

    Args:
        name: name of the study.
        of: the result of `study_name` for the definition.
    """
    if name == of:
        return 0
    base, _, number = name.rpartition(".")
    return int(number) - 1 if base == of and number.isdigit() else None


def name_of_generation(base: str, generation: int) -> str:
    """Return the name of a study: that of `study_name` for the first of a definition, `NAME.2` for the second."""
    return base if generation == 0 else f"{base}.{generation + 1}"


_REPLICATES = ".replicates"


def replicate_study_name(search: str) -> str:
    """Return the name of the study with the replicates of a search's best configurations."""
    return search + _REPLICATES


def is_replicate_study(name: str) -> bool:
    """Return whether a study contains replicates, which no sampler may receive."""
    return name.endswith(_REPLICATES)


def is_study_of(name: str, *, sweep: str) -> bool:
    """Return whether a study has the name of one of a sweep's studies: searches or replicates."""
    return name.rpartition("-")[0] == sweep


def study_name(sweep: str, definition: Mapping[str, Any]) -> str:
    """Return the name of a sweep's study: the name of the sweep and a hash of the definition."""
    digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:8]
    return f"{sweep}-{digest}"
