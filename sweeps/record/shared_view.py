"""The view of a sweep on MLflow's page of runs: a filter, and the columns in which its runs differ.

MLflow stores a view in a tag of the experiment, as its button "Share" writes it: JSON, deflated, in base 64. Versions
that do not know the tag show their default columns.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from sweeps.files.difference import Differences
from sweeps.record.recorded_run import RecordedRun
from sweeps.record.store import quoted

TAG = "mlflow.sharedViewState."
"""Prefix of the tag's name, followed by the name of the view."""

_MOST_COLUMNS = 12


def shared_view(sweep: str, runs: Iterable[RecordedRun]) -> tuple[str, str]:
    """Return name and content of a view of a sweep: accuracy, epochs, outcome, and the parameters that vary.

    Args:
        sweep: Name of the sweep.
        runs: Its parent runs and trials.
    """
    state: dict[str, Any] = {
        "searchFilter": f"tags.sweep = {quoted(sweep)}",
        # The page groups trials under their sweep only if it is sorted by the time of creation.
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [
            _column("metrics", "best_val_accuracy"),  # a parent run has it too
            _column("metrics", "val_accuracy"),
            _column("metrics", "epochs"),
            _column("tags", "outcome"),
            *(_column("params", name) for name in varying_params(runs)),
        ],
        "runsHiddenMode": "SHOW_ALL",
        "hideEmptyCharts": True,
        "groupBy": None,
    }
    content = base64.b64encode(zlib.compress(json.dumps(state, sort_keys=True).encode("utf-8"), 9)).decode("ascii")
    return f"sweeps-{hashlib.sha256(sweep.encode()).hexdigest()[:12]}", f"deflate;{content}"


def varying_params(runs: Iterable[RecordedRun]) -> list[str]:
    """Return the names of the params in which trials differ, at most `_MOST_COLUMNS`, `model.name` first."""
    differences = Differences()
    for run in runs:
        if run.tags.get("kind") == "trial":
            differences.add(run.params)
    return sorted(differences.paths(), key=lambda name: (name != "model.name", name))[:_MOST_COLUMNS]


def page_of_runs(base: str, experiment_id: str, *, view: str | None) -> str:
    """Return the URL of the page of an experiment's runs, in the mode for training.

    Args:
        base: URL of the server.
        experiment_id: Id of the experiment.
        view: Name of a view; None for the page's default.
    """
    query = {"workflowType": "machine_learning"} | ({} if view is None else {"viewStateShareKey": view})
    return f"{base}/#/experiments/{experiment_id}/runs?{urlencode(query)}"


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"
