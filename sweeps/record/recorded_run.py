"""A run in the record, independent of how it is read, and the protocol of readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sweeps.record.mapping import MetricPoint


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """An MLflow run that is not deleted."""

    run_id: str
    name: str
    status: str
    start_ms: int
    """Unix time in milliseconds, like `end_ms`."""
    end_ms: int | None
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    """Latest value of each metric."""


@dataclass(frozen=True, kw_only=True)
class RunFields:
    """The fields to read of each run, since tables show only half of a large record. A store may read more."""

    tags: frozenset[str] | None = None
    """Names of tags; None for all."""
    params: bool = True
    metrics: frozenset[str] | None = None
    """Names of metrics; None for all."""


ALL_FIELDS = RunFields()


@dataclass(frozen=True, kw_only=True)
class EpochPoints:
    """The metrics of one epoch of one run."""

    run_id: str
    epoch: int
    values: tuple[float | None, ...]
    """Values of `EPOCH_METRICS`, in their order."""
    timestamp_ms: int
    """Time of the newest value."""
    is_once: bool
    """Whether each metric has one value, so that there was one attempt at this epoch."""


class RunStore(Protocol):
    """Reads the runs of the experiment in use from a store. Each method raises `RecordError` if it fails."""

    def runs(
        self, tags: Mapping[str, str], *, fields: RunFields = ALL_FIELDS, or_without: str | None = None
    ) -> list[RecordedRun]:
        """Return all runs that have these tags.

        Args:
            tags: Name → value.
            fields: Fields to read of each run.
            or_without: Also return trials that lack this tag; on a server only those whose study has the sweep's name.
        """
        ...

    def epochs(self, run_ids: Sequence[str]) -> Iterator[EpochPoints]:
        """Yield the epochs from 1 of these runs, grouped by run and in order."""
        ...

    def run(self, run_id: str) -> RecordedRun:
        """Return one run."""
        ...

    def history(self, run_id: str, *, names: Sequence[str] | None = None) -> Sequence[MetricPoint]:
        """Return all values of at least these metrics of a run; None for its epoch metrics."""
        ...

    def artifact(self, run_id: str, name: str) -> bytes | None:
        """Return the content of an artifact; None if it does not exist."""
        ...

    def files(self, run_id: str) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of each artifact of a run."""
        ...

    def has_model(self, model_id: str) -> bool:
        """Return whether a logged model exists and is ready."""
        ...

    def delete(self, run_ids: Sequence[str]) -> None:
        """Mark runs as deleted."""
        ...
