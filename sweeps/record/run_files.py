"""Artifacts of a trial's run: its configuration and its log."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from sweeps.core.trial import Outcome, TrialRecord
from sweeps.store.bucket import read_log
from sweeps.tasks.registry import task_of

CONFIG_FILE = "config.yaml"
LOG_FILE = "trial.log"
MAX_LOG_BYTES = 1_000_000
"""Of a longer log only the end is stored, which contains the error."""

FILED = "filed"
"""Tag: the outcome for which a run's files were stored."""


NOT_YET = "not yet"
"""Value of `FILED` after the metrics are written and before the files are."""


def files_outcome(record: TrialRecord) -> str | None:
    """Return the value of `FILED` for a trial; None if its files are not stored.

    For a pruned trial they are stored only if its training may log artifacts.
    """
    keeps = record.outcome in (Outcome.COMPLETE, Outcome.FAILED, Outcome.DIVERGED)
    keeps |= record.outcome is Outcome.PRUNED and task_of(record.config).logs_artifacts
    return f"{record.outcome} {len(record.epochs)}" if keeps else None


def run_files(record: TrialRecord, *, runs: Path) -> dict[str, bytes]:
    """Return name → content of a trial's files.

    Args:
        record: An ended trial.
        runs: The runs folder, to which the log's path is relative.
    """
    config = json.loads(record.config.model_dump_json())
    files = {CONFIG_FILE: yaml.safe_dump(config, sort_keys=False).encode("utf-8")}
    if record.log is not None:
        content = read_log(record.log, runs=runs)
        if content is None:
            return files  # on another node without a shared folder, or deleted
        files[LOG_FILE] = content[-MAX_LOG_BYTES:]
    return files
