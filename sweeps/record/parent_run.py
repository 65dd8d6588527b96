"""The parent run of a sweep in MLflow: its description, its files, and the status of the sweep."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sweeps.core.errors import RecordError
from sweeps.core.formatting import truncated
from sweeps.core.trial import FORMAT
from sweeps.record.client import search_runs
from sweeps.record.inputs import RecordedData, dataset_inputs
from sweeps.record.mapping import DESCRIBED, DESCRIPTION, FORMAT_TAG, MAX_TAG
from sweeps.record.ownership import OWNER
from sweeps.record.store import experiment_name, is_server, quoted, redact
from sweeps.record.sweep_progress import ENDED

if TYPE_CHECKING:
    from mlflow import MlflowClient

_EXPERIMENT_KIND = ("mlflow.experimentKind", "custom_model_development")
"""Tag that makes MLflow's pages open the runs instead of the traces of the experiment."""

WINNER = "**Winner**: "
"""Start of a sweep's description once it has a winner."""


_MIN_CHARACTERS = 200
"""Minimum space for this project's description next to a user's note."""


def description_tags(tags: Mapping[str, str], text: str) -> dict[str, str]:
    """Return the tags that update a run's description and keep a user's note in it.

    Args:
        tags: Current tags of the run.
        text: The description, in Markdown.
    """
    shown, before = tags.get(DESCRIPTION, ""), tags.get(DESCRIBED)
    if before and before in shown:
        start, _, end = shown.partition(before)
    else:
        start, end = (f"{shown.rstrip()}\n\n" if shown.strip() else ""), ""
    room = MAX_TAG - len(start) - len(end)
    if room < _MIN_CHARACTERS:
        return {}
    written = truncated(text, room)
    return {DESCRIPTION: f"{start}{written}{end}", DESCRIBED: written}


@dataclass(frozen=True, kw_only=True)
class RecordedStudy:
    """Identity of a study in the record, by which its parent run is found."""

    sweep: str
    """Name of the sweep."""
    name: str
    """Name of the study."""
    title: str | None = None
    """Name of a new parent run; the sweep's name if None."""
    command: str = ""
    """Command that starts it, shown by MLflow as the source of its runs."""
    owner: str | None = None
    """Owner id of the study, see `ownership`; None writes no tag."""


@dataclass(frozen=True, kw_only=True)
class ParentRun:
    """The run of a sweep, or of its replicates."""

    client: MlflowClient
    run_id: str
    started_ms: int = 0
    """Time of its creation, Unix time in milliseconds."""
    ended: int = 0
    """Number of ended trials that it had recorded when it was opened."""

    @classmethod
    def open(cls, client: MlflowClient, experiment_id: str, study: RecordedStudy) -> ParentRun:
        """Open the parent run of a study and set it RUNNING; create it if it does not exist.

        Args:
            client: Client of the store.
            experiment_id: Id of the experiment in use.
            study: The study; runs of other owners are ignored.
        """
        identity = {FORMAT_TAG: str(FORMAT), "kind": "sweep", "sweep": study.sweep, "study": study.name}
        where = " and ".join(f"tags.{name} = {quoted(value)}" for name, value in identity.items())
        owners = (study.owner, None)  # a run with its owner is preferred to one without
        candidates = [run for run in search_runs(client, experiment_id, where) if run.data.tags.get(OWNER) in owners]
        found = min(candidates, key=lambda run: owners.index(run.data.tags.get(OWNER)), default=None)
        identity |= {} if study.owner is None else {OWNER: study.owner}
        if found is None:
            created = client.create_run(experiment_id, tags=identity, run_name=study.title or study.sweep)
            return cls(client=client, run_id=str(created.info.run_id), started_ms=created.info.start_time)
        client.update_run(found.info.run_id, status="RUNNING")
        if study.owner is not None and OWNER not in found.data.tags:
            client.set_tag(found.info.run_id, OWNER, study.owner)
        count = found.data.metrics.get(ENDED, 0.0)
        ended = int(count) if 0 <= count < 1e9 else 0  # a user may have edited it
        started = found.info.start_time
        return cls(client=client, run_id=str(found.info.run_id), ended=ended, started_ms=started)

    def write(self, *, tags: Mapping[str, str] | None = None, description: str | None = None) -> None:
        """Update tags and description.

        Args:
            tags: Name → value.
            description: In Markdown; None keeps the current one. A winner at its start is kept.
        """
        from mlflow.entities import RunTag

        described = {}
        if description is not None:
            before = self.client.get_run(self.run_id).data.tags
            first = (before.get(DESCRIBED) or before.get(DESCRIPTION, "")).partition("\n\n")[0]
            winner = f"{first}\n\n" if first.startswith(WINNER) else ""
            described = description_tags(before, winner + description)
        labels = [RunTag(name, value) for name, value in ({**(tags or {}), **described}).items()]
        self.client.log_batch(self.run_id, tags=labels)

    def write_files(self, files: Mapping[str, str], *, dataset: RecordedData | None) -> None:
        """Store artifacts and the data set.

        Args:
            files: Artifact name → text.
            dataset: The training data; None stores none.
        """
        if files:
            log_files(self.client, self.run_id, {name: text.encode("utf-8") for name, text in files.items()})
        if dataset is not None:
            self.client.log_inputs(self.run_id, dataset_inputs(dataset.fingerprint, dataset.parts))

    def end(self, status: Literal["FINISHED", "KILLED", "FAILED"], *, end_ms: int | None) -> None:
        """Set the final status of the sweep.

        Args:
            status: MLflow's status.
            end_ms: End of the last trial, so that a start that trains nothing does not change it; now if None.
        """
        # After the loss of a record, trials may be older than this run, which must not end before it starts.
        end_time = None if end_ms is None else max(end_ms, self.started_ms)
        self.client.set_terminated(self.run_id, status, end_time=end_time)


def open_experiment(client: MlflowClient, uri: str, runs: Path) -> str:
    """Return the id of the experiment in use; create it if it does not exist.

    Args:
        client: Client of the store.
        uri: URI of the store.
        runs: The runs folder, where artifacts are stored unless a server stores them.

    Raises:
        RecordError: The experiment was deleted.
    """
    name = experiment_name()
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        folder = None if is_server(uri) else (runs.resolve() / "artifacts").as_uri()
        return str(client.create_experiment(name, artifact_location=folder, tags=dict([_EXPERIMENT_KIND])))
    if experiment.lifecycle_stage != "active":
        raise RecordError(
            f"the experiment {name!r} in {redact(uri)} is deleted. Restore it with "
            f"`mlflow experiments restore -x {experiment.experiment_id}`, or set MLFLOW_EXPERIMENT_NAME."
        )
    kind, value = _EXPERIMENT_KIND
    if kind not in experiment.tags:
        client.set_experiment_tag(experiment.experiment_id, kind, value)
    return str(experiment.experiment_id)


def log_files(client: MlflowClient, run_id: str, files: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> None:
    """Store files as artifacts of a run; existing ones with the same names are replaced.

    Raises:
        OSError: The files cannot be written.
        RecordError: A name leads out of the run's artifacts.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        for name, content in files.items() if isinstance(files, Mapping) else files:
            path = (root / name).resolve()
            if not path.is_relative_to(root):
                raise RecordError(f"{name!r} is not a valid artifact name")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if any(root.iterdir()):
            client.log_artifacts(run_id, folder)
