"""What a trial's run holds as artifacts besides its numbers: its configuration and its log."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from sweeps.core.trial import Outcome, TrialRecord
from sweeps.store.bucket import read_log

CONFIG_FILE = "config.yaml"
LOG_FILE = "trial.log"
MAX_LOG_BYTES = 1_000_000
"""The end of a longer log is kept: that is where it says why."""

FILED = "filed"
"""The tag that says at which outcome a run's files were stored."""


NOT_YET = "not yet"
"""What it says from the moment that the numbers are written until the files are."""


def files_outcome(record: TrialRecord) -> str | None:
    """Return the outcome to store a trial's files at, None where there is nothing to store.

    One that was stopped early costs nothing: its log stays where it is.
    """
    keeps = record.outcome in (Outcome.COMPLETE, Outcome.FAILED, Outcome.DIVERGED)
    return f"{record.outcome} {len(record.epochs)}" if keeps else None


def run_files(record: TrialRecord, *, runs: Path) -> dict[str, bytes]:
    """Return a trial's files by their names.

    Args:
        record: of a trial that has ended.
        runs: the runs folder, which the log's path is relative to.
    """
    config = json.loads(record.config.model_dump_json())
    files = {CONFIG_FILE: yaml.safe_dump(config, sort_keys=False).encode("utf-8")}
    if record.log is not None:
        content = read_log(record.log, runs=runs)
        if content is None:
            return files  # of a cluster without a shared folder, or somebody has deleted it
        files[LOG_FILE] = content[-MAX_LOG_BYTES:]
    return files
