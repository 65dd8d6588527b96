"""A run as the record holds it, whichever way it is read, and what reads runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sweeps.record.mapping import MetricPoint


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """One MLflow run that is not deleted."""

    run_id: str
    name: str
    status: str
    start_ms: int
    """Unix time in milliseconds, as the next."""
    end_ms: int | None
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    """The newest value of each."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is read of each run: half of a large record is what no table shows. A store may read more."""

    tags: frozenset[str] | None = None
    """All where None, as of the metrics."""
    params: bool = True
    metrics: frozenset[str] | None = None


ALL = Wanted()


@dataclass(frozen=True, kw_only=True)
class EpochPoints:
    """What is recorded of one epoch of one run."""

    run_id: str
    epoch: int
    values: tuple[float | None, ...]
    """Of each of `EPOCH_METRICS`, in their order."""
    timestamp_ms: int
    """The newest value's."""
    is_once: bool
    """No metric has two values: there was one attempt at this epoch."""


class RunStore(Protocol):
    """Reads one store's runs, those of the experiment in use. Each method raises `RecordError` where it cannot."""

    def runs(
        self, tags: Mapping[str, str], *, wanted: Wanted = ALL, or_without: str | None = None
    ) -> list[RecordedRun]:
        """Return every run that has all of these tags.

        Args:
            tags: name to value.
            wanted: what is read of each run.
            or_without: also every trial that lacks this tag, on a server of those whose study has the sweep's name.
        """
        ...

    def epochs(self, run_ids: Sequence[str]) -> Iterator[EpochPoints]:
        """Yield what is recorded of the epochs from 1 of these runs, a run's together and in order."""
        ...

    def run(self, run_id: str) -> RecordedRun:
        """Return one run."""
        ...

    def history(self, run_id: str, *, names: Sequence[str] | None = None) -> Sequence[MetricPoint]:
        """Return every value of the metrics of a run: of these at the least, where None of those of its epochs."""
        ...

    def artifact(self, run_id: str, name: str) -> bytes | None:
        """Return a file of a run, None where it has none of this name."""
        ...

    def files(self, run_id: str) -> Iterator[tuple[str, bytes]]:
        """Yield every file of a run with its content, by its path in the run's artifacts."""
        ...

    def has_model(self, model_id: str) -> bool:
        """Return whether a logged model is there, and whole."""
        ...

    def delete(self, run_ids: Sequence[str]) -> None:
        """Mark runs as deleted, as MLflow does."""
        ...
