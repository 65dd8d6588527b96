"""Reads the record through MLflow's client: of a server, or of a database with unknown tables."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.core.identity import is_study_of
from sweeps.record.client import connect, search_runs, store_errors
from sweeps.record.mapping import EPOCH_METRICS, LOGGED_MODEL, MetricPoint
from sweeps.record.recorded_run import ALL_FIELDS, EpochPoints, RecordedRun, RunFields
from sweeps.record.store import experiment_name, quoted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class ClientStore:
    """A `RunStore` over MLflow's client."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client: MlflowClient | None = None

    def runs(
        self, tags: Mapping[str, str], *, fields: RunFields = ALL_FIELDS, or_without: str | None = None
    ) -> list[RecordedRun]:
        where = " and ".join(f"tags.{name} = {quoted(value)}" for name, value in tags.items())
        with self._reading() as client:
            experiment = client.get_experiment_by_name(experiment_name())
            if experiment is None:
                return []
            found = [recorded_run(run) for run in search_runs(client, experiment.experiment_id, where)]
            if or_without is not None and or_without in tags:
                # MLflow cannot search for a missing tag: runs without the sweep's name are found by their study.
                named = f"tags.study LIKE {quoted(tags[or_without] + '-%')}"
                others = [recorded_run(run) for run in search_runs(client, experiment.experiment_id, named)]
                found += [
                    run
                    for run in others
                    if or_without not in run.tags
                    and "config_id" in run.tags
                    and is_study_of(run.tags["study"], sweep=tags[or_without])
                ]
            return found

    def epochs(self, run_ids: Sequence[str]) -> Iterator[EpochPoints]:
        for run_id in run_ids:
            points = sorted(self.history(run_id), key=lambda point: (point.step, point.timestamp_ms))
            for epoch, found in itertools.groupby(points, key=lambda point: point.step):
                each = list(found)
                values = {point.name: point.value for point in each}
                if epoch > 0:
                    yield EpochPoints(
                        run_id=run_id,
                        epoch=epoch,
                        values=tuple(values.get(name) for name in EPOCH_METRICS),
                        timestamp_ms=each[-1].timestamp_ms,
                        is_once=len(values) == len(each),
                    )

    def run(self, run_id: str) -> RecordedRun:
        with self._reading() as client:
            return recorded_run(client.get_run(run_id))

    def history(self, run_id: str, *, names: Sequence[str] | None = None) -> Sequence[MetricPoint]:
        """Return all values of these metrics, with one call per metric: MLflow has no call for several."""
        with self._reading() as client:
            return [
                MetricPoint(name=name, value=point.value, step=point.step, timestamp_ms=point.timestamp)
                for name in (EPOCH_METRICS if names is None else names)
                for point in client.get_metric_history(run_id, name)
            ]

    def artifact(self, run_id: str, name: str) -> bytes | None:
        with self._reading() as client, tempfile.TemporaryDirectory() as folder:
            if not any(file.path == name for file in client.list_artifacts(run_id)):
                return None
            return Path(client.download_artifacts(run_id, name, folder)).read_bytes()

    def files(self, run_id: str) -> Iterator[tuple[str, bytes]]:
        with self._reading() as client, tempfile.TemporaryDirectory() as folder:
            paths = [""]
            while paths:
                for file in client.list_artifacts(run_id, paths.pop() or None):
                    if file.is_dir:
                        paths.append(file.path)
                    else:
                        yield file.path, Path(client.download_artifacts(run_id, file.path, folder)).read_bytes()

    def has_model(self, model_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        with self._reading() as client:
            try:
                return str(client.get_logged_model(model_id).status) == "READY"
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND"):
                    return False
                raise

    def delete(self, run_ids: Sequence[str]) -> None:
        with self._reading() as client:
            for run_id in run_ids:
                uri = client.get_run(run_id).data.tags.get(LOGGED_MODEL)
                if uri is not None:  # a server without support for models is not called
                    client.delete_logged_model(uri.removeprefix("models:/"))
                client.delete_run(run_id)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[MlflowClient]:
        with store_errors(self._uri):
            if self._client is None:
                self._client = connect(self._uri)
            yield self._client


def recorded_run(run: Run) -> RecordedRun:
    """Convert a run of MLflow's client."""
    return RecordedRun(
        run_id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        start_ms=run.info.start_time,
        end_ms=run.info.end_time,
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
    )
