"""What MLflow's page of runs shows of a sweep at first: its runs, and the columns that tell them apart.

MLflow keeps such a view in a tag of the experiment, as its button "Share" writes it: JSON, deflated, in base 64. A page
of a version that does not know it shows its own columns.
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
"""What the name of the tag begins with; the view's own name follows."""

_MOST_COLUMNS = 12


def shared_view(sweep: str, runs: Iterable[RecordedRun]) -> tuple[str, str]:
    """Return name and content of a view of a sweep: accuracy, epochs, outcome, and the parameters that vary.

    Args:
        sweep: its name.
        runs: its runs: the sweep's own, and those of its trials.
    """
    state: dict[str, Any] = {
        "searchFilter": f"tags.sweep = {quoted(sweep)}",
        # In the page's table trials fold under their sweep only when it is sorted by the time of their creation.
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [
            _column("metrics", "best_val_accuracy"),  # which a sweep's own run has too
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
    """Return the names of the params in which trials differ, at most a table's width of them, `model.name` first."""
    differences = Differences()
    for run in runs:
        if run.tags.get("kind") == "trial":
            differences.add(run.params)
    return sorted(differences.paths(), key=lambda name: (name != "model.name", name))[:_MOST_COLUMNS]


def page_of_runs(base: str, experiment_id: str, *, view: str | None) -> str:
    """Return the address of the page of an experiment's runs, on the side that shows training.

    Args:
        base: of the server.
        experiment_id: of the experiment.
        view: the name of a view; the page's own where None.
    """
    query = {"workflowType": "machine_learning"} | ({} if view is None else {"viewStateShareKey": view})
    return f"{base}/#/experiments/{experiment_id}/runs?{urlencode(query)}"


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"
