"""A sweep's own run in MLflow, under which its trials stand: what is searched, with which code, what came of it."""

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
from sweeps.record.mapping import FORMAT_TAG, MAX_TAG
from sweeps.record.ownership import OWNER
from sweeps.record.store import experiment_name, is_server, quoted, redact
from sweeps.record.sweep_progress import ENDED

if TYPE_CHECKING:
    from mlflow import MlflowClient

DESCRIPTION = "mlflow.note.content"
"""The tag that MLflow's page of a run shows as Markdown."""

_EXPERIMENT_KIND = ("mlflow.experimentKind", "custom_model_development")
"""The tag by which MLflow's pages know that networks are trained here, and open the runs instead of traces."""

WINNER = "**Winner**: "
"""What the description of a sweep begins with once it has one."""


SAID = "described"
"""Tag: what of the description this project wrote last. All else of it is a person's."""

_LEAST_ROOM = 200
"""Characters of a description that are worth writing beside a person's."""


def description_tags(tags: Mapping[str, str], text: str) -> dict[str, str]:
    """Return the tags that say a run's description anew, beside what a person has written there.

    Args:
        tags: of the run, as they are now.
        text: the description, in Markdown.
    """
    shown, before = tags.get(DESCRIPTION, ""), tags.get(SAID)
    if before and before in shown:
        start, _, end = shown.partition(before)
    else:
        start, end = (f"{shown.rstrip()}\n\n" if shown.strip() else ""), ""
    room = MAX_TAG - len(start) - len(end)
    if room < _LEAST_ROOM:
        return {}
    said = truncated(text, room)
    return {DESCRIPTION: f"{start}{said}{end}", SAID: said}


@dataclass(frozen=True, kw_only=True)
class RecordedStudy:
    """A study of a sweep as the record knows it: by these its own run is found again."""

    sweep: str
    """The sweep's name."""
    name: str
    """The study's."""
    title: str | None = None
    """What a new run of it is called; the sweep's name where None."""
    command: str = ""
    """What begins it, which MLflow shows as the source of its runs."""
    owner: str | None = None
    """The study's id, by which its runs are told from another runs folder's; None tags none."""


@dataclass(frozen=True, kw_only=True)
class ParentRun:
    """The run of a sweep, or of its replicates."""

    client: MlflowClient
    run_id: str
    started_ms: int = 0
    """When it was created, Unix time in milliseconds."""
    ended: int = 0
    """Of how many trials it told the end when it was found."""

    @classmethod
    def open(cls, client: MlflowClient, experiment_id: str, study: RecordedStudy) -> ParentRun:
        """Return a study's own run, RUNNING from now on; it is created where there is none.

        Args:
            client: of the store.
            experiment_id: of the experiment in use.
            study: whose run it is: that of another owner's study of this name is left alone.
        """
        identity = {FORMAT_TAG: str(FORMAT), "kind": "sweep", "sweep": study.sweep, "study": study.name}
        where = " and ".join(f"tags.{name} = {quoted(value)}" for name, value in identity.items())
        owners = (study.owner, None)  # its own before one of before there were owners
        candidates = [run for run in search_runs(client, experiment_id, where) if run.data.tags.get(OWNER) in owners]
        found = min(candidates, key=lambda run: owners.index(run.data.tags.get(OWNER)), default=None)
        identity |= {} if study.owner is None else {OWNER: study.owner}
        if found is None:
            created = client.create_run(experiment_id, tags=identity, run_name=study.title or study.sweep)
            return cls(client=client, run_id=str(created.info.run_id), started_ms=created.info.start_time)
        client.update_run(found.info.run_id, status="RUNNING")
        if study.owner is not None and OWNER not in found.data.tags:
            client.set_tag(found.info.run_id, OWNER, study.owner)
        told = found.data.metrics.get(ENDED, 0.0)
        ended = int(told) if 0 <= told < 1e9 else 0  # any number, where it was edited
        started = found.info.start_time
        return cls(client=client, run_id=str(found.info.run_id), ended=ended, started_ms=started)

    def write(self, *, tags: Mapping[str, str] | None = None, description: str | None = None) -> None:
        """Write what the run says of itself, in place of what it said before.

        Args:
            tags: facts by name.
            description: in Markdown; None leaves what it says.
        """
        from mlflow.entities import RunTag

        said = {}
        if description is not None:
            before = self.client.get_run(self.run_id).data.tags
            first = (before.get(SAID) or before.get(DESCRIPTION, "")).partition("\n\n")[0]
            winner = f"{first}\n\n" if first.startswith(WINNER) else ""
            said = description_tags(before, winner + description)
        labels = [RunTag(name, value) for name, value in ({**(tags or {}), **said}).items()]
        self.client.log_batch(self.run_id, tags=labels)

    def write_files(self, files: Mapping[str, str], *, dataset: RecordedData | None) -> None:
        """Store what the run holds besides.

        Args:
            files: texts, by the name of the artifact.
            dataset: that it is trained on; None leaves it unsaid.
        """
        if files:
            log_files(self.client, self.run_id, {name: text.encode("utf-8") for name, text in files.items()})
        if dataset is not None:
            self.client.log_inputs(self.run_id, dataset_inputs(dataset.fingerprint, dataset.parts))

    def end(self, status: Literal["FINISHED", "KILLED", "FAILED"], *, end_ms: int | None) -> None:
        """Say how the sweep ended.

        Args:
            status: in MLflow's words.
            end_ms: when the last of its trials ended, so that a start that trained nothing changes no time; now where
                None.
        """
        # Trials that are older than this run are those of a record that was lost: it does not end before it begins.
        end_time = None if end_ms is None else max(end_ms, self.started_ms)
        self.client.set_terminated(self.run_id, status, end_time=end_time)


def open_experiment(client: MlflowClient, uri: str, runs: Path) -> str:
    """Return the id of the experiment in use, created where there is none.

    Args:
        client: of the store.
        uri: of the store.
        runs: the runs folder, where artifacts go unless a server keeps them.

    Raises:
        RecordError: it was deleted.
    """
    name = experiment_name()
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        folder = None if is_server(uri) else (runs.resolve() / "artifacts").as_uri()
        return str(client.create_experiment(name, artifact_location=folder, tags=dict([_EXPERIMENT_KIND])))
    if experiment.lifecycle_stage != "active":
        raise RecordError(
            f"the experiment {name!r} in {redact(uri)} is deleted: restore it with "
            f"`mlflow experiments restore -x {experiment.experiment_id}`, or set MLFLOW_EXPERIMENT_NAME"
        )
    kind, value = _EXPERIMENT_KIND
    if kind not in experiment.tags:
        client.set_experiment_tag(experiment.experiment_id, kind, value)
    return str(experiment.experiment_id)


def log_files(client: MlflowClient, run_id: str, files: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> None:
    """Store files as a run's artifacts, in place of those of the same names.

    Raises:
        OSError: they cannot be written.
        RecordError: one of the names leads out of the run's artifacts.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        for name, content in files.items() if isinstance(files, Mapping) else files:
            path = (root / name).resolve()
            if not path.is_relative_to(root):
                raise RecordError(f"{name!r} is no name of an artifact")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if any(root.iterdir()):
            client.log_artifacts(run_id, folder)
