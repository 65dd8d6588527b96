"""The view of a sweep on MLflow's page. test_mlflow_pages.py tests it in a browser."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

from sweeps.record.recorded_run import RecordedRun
from sweeps.record.shared_view import page_of_runs, shared_view, varying_params


def run_of(run_id: str, *, kind: str = "trial", **params: str) -> RecordedRun:
    tags = {"kind": kind}
    return RecordedRun(
        run_id=run_id, name=run_id, status="FINISHED", start_ms=0, end_ms=1, tags=tags, params=params, metrics={}
    )


def read(content: str) -> Any:
    header, _, body = content.partition(";")
    assert header == "deflate"
    return json.loads(zlib.decompress(base64.b64decode(body)))


def test_only_parameters_that_vary_are_columns_the_network_first() -> None:
    runs = [
        run_of("a", **{"epochs": "7", "optimizer.lr": "0.1", "model.name": "resnet"}),
        run_of("b", **{"epochs": "7", "optimizer.lr": "0.2", "model.name": "vgg"}),
        run_of("p", kind="sweep", epochs="of another kind"),
    ]

    assert varying_params(runs) == ["model.name", "optimizer.lr"]


def test_parameters_that_depend_on_the_network_are_no_columns() -> None:
    runs = [
        run_of("a", **{"model.name": "resnet", "model.dropout": "0.4", "model.width": "8"}),
        run_of("b", **{"model.name": "resnet", "model.dropout": "0.4", "model.width": "16"}),
        run_of("c", **{"model.name": "vgg", "model.dropout": "0.5", "model.head": "[64]"}),
    ]

    assert varying_params(runs) == ["model.name", "model.width"]


def test_a_view_shows_only_the_sweep_with_the_columns_that_differ() -> None:
    _, content = shared_view("o'clock", [run_of("a"), run_of("p", kind="sweep")])

    state = read(content)
    assert state["searchFilter"] == 'tags.sweep = "o\'clock"'
    assert state["orderByKey"] == "attributes.start_time"
    metrics = ["metrics.`best_val_accuracy`", "metrics.`val_accuracy`", "metrics.`epochs`"]
    assert state["selectedColumns"] == [*metrics, "tags.`outcome`"]


def test_a_sweep_keeps_the_name_of_its_view_and_another_has_another() -> None:
    names = [shared_view(sweep, [])[0] for sweep in ("quick", "quick", "search")]

    assert names[0] == names[1] != names[2]


def test_the_page_is_that_of_training_whatever_the_browser_showed_before() -> None:
    page = page_of_runs("http://127.0.0.1:5000", "1", view="sweeps-0")

    assert page == "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=sweeps-0"
