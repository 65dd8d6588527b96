"""Adding files to recorded runs after their end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sweeps.record.client import connect, store_errors
from sweeps.record.parent_run import log_files
from sweeps.record.sqlite_store import relocate_artifacts
from sweeps.record.store import sqlite_file, store_uri
from sweeps.record.stores import open_store
from sweeps.record.trial_run import read_folder_trials


class RunFiles:
    """The runs of a sweep's trials, to which files can be added once."""

    def __init__(self, runs: Path, *, sweep: str) -> None:
        """Read the runs of a sweep.

        Raises:
            RecordError: The record cannot be read.
        """
        self._uri = store_uri(runs)
        self._runs = {run.key: run for run in read_folder_trials(runs, open_store(runs), sweep=sweep)}

    def run_without(self, key: str, *, tag: str) -> str | None:
        """Return the id of a trial's run if it lacks a tag; None if it has the tag or does not exist."""
        run = self._runs.get(key)
        return None if run is None or tag in run.tags else run.run_id

    def run_id(self, key: str) -> str | None:
        """Return the id of a trial's run; None if it does not exist."""
        run = self._runs.get(key)
        return None if run is None else run.run_id

    def tag(self, key: str, tag: str) -> str | None:
        """Return the value of a tag of a trial's run; None if it lacks the tag or does not exist."""
        run = self._runs.get(key)
        return None if run is None else run.tags.get(tag)

    def store(
        self,
        run_id: str,
        files: Mapping[str, bytes],
        *,
        tag: str,
        value: str | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Add files and metrics to a run, then the tag.

        Args:
            run_id: of the run.
            files: name to content.
            tag: name of the tag.
            value: of the tag; None for the number of files.
            metrics: name to value.

        Raises:
            RecordError: The store cannot be written.
            OSError: The files cannot be written.
        """
        with store_errors(self._uri):
            path = sqlite_file(self._uri)
            if path is not None:
                relocate_artifacts(path)
            client = connect(self._uri)
            log_files(client, run_id, files)
            for name, number in (metrics or {}).items():
                client.log_metric(run_id, name, number)
            client.set_tag(run_id, tag, str(len(files)) if value is None else value)
