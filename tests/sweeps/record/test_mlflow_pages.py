"""A sweep in MLflow's pages in a real browser: the list, one run, a comparison of three."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_tracker import epoch_of, record_of

from cifar_core.config import TrainingConfig
from sweeps.core.trial import Outcome
from sweeps.pictures.charts import learning_curve
from sweeps.record.files import RunFiles
from sweeps.record.inputs import RecordedData
from sweeps.record.parent_run import RecordedStudy
from sweeps.record.sweep_progress import Objective
from sweeps.record.writer import Tracker
from sweeps.tasks.registry import IMAGES

playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install playwright"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is found on the path: apt-get install chromium"),
]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

SWEEP = "shown"
EPOCHS = {Outcome.COMPLETE: 3, Outcome.PRUNED: 1, Outcome.DIVERGED: 0}
OUTCOMES = (Outcome.COMPLETE, Outcome.PRUNED, Outcome.PRUNED, Outcome.COMPLETE, Outcome.DIVERGED)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of five trials, written by the tracker."""
    runs = tmp_path_factory.mktemp("pages") / "runs"
    environment = {"user": "ada", "git_sha": "f" * 40}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracker = Tracker(
            RecordedStudy(sweep=SWEEP, name="shown-1", command="sweeps run shown.yaml"),
            runs=runs,
            description="five trials",
            environment=environment,
            dataset=RecordedData(
                fingerprint="c58f30108f718f92721af3b95e74349a",
                parts=IMAGES.dataset_inputs(IMAGES.config_type(), whole=True),
            ),
            objective=Objective("val_accuracy", maximize=True),
        )
        with tracker:
            for number, outcome in enumerate(OUTCOMES):
                config = TrainingConfig.model_validate(
                    {"epochs": 3, "optimizer": {"lr": 0.01 * (number + 1)}, "data": {"validation_size": 1000}}
                )
                accuracies = [round(0.1 * epoch + 0.02 * number, 2) for epoch in range(1, EPOCHS[outcome] + 1)]
                results = tuple(epoch_of(e, val_accuracy=value) for e, value in enumerate(accuracies, start=1))
                record = record_of(SWEEP, number, study="shown-1", outcome=outcome, config=config)
                tracker.write(replace(record, epochs=results))
        files = RunFiles(runs, sweep=SWEEP)
        run_id = files.run_without(f"{3:016x}", tag="pictured")
        assert run_id is not None
        curve = learning_curve([1, 2], train_loss=[2, 1], train_accuracy=[0.1, 0.2], title="a curve")
        files.store(run_id, {"learning-curve.png": curve}, tag="pictured")
    return runs


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    """The page that `sweeps ui` announces, while it is served."""
    # Buffered, as in a pipe: the URL must be flushed.
    unwanted = ("MLFLOW_", "PYTHONUNBUFFERED")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    # In the background of a script, child processes ignore SIGINT.
    hears = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{hears}; from sweeps.cli.main import main; main()"
    command = [sys.executable, "-c", code, "ui", SWEEP, "--runs", str(runs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        assert "press Ctrl-C to stop" in server.stdout.readline()
        yield server.stdout.readline().strip()
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def opened(page: Any, address: str) -> None:
    """Open the list of runs, and unfold the sweep's trials."""
    page.goto("about:blank")
    page.goto(address)
    page.get_by_text("matching runs").wait_for()
    row_of(page, SWEEP).get_by_role("button").first.click()
    page.get_by_role("link", name=f"{SWEEP}-000", exact=True).wait_for()


def row_of(page: Any, name: str) -> Any:
    """Return a run's row; the table draws each in two parts, with an index in common."""
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True)).first


def cell_of(page: Any, name: str, column: str) -> Any:
    index = row_of(page, name).get_attribute("row-index")
    return page.locator(f"[row-index='{index}'] [col-id*='{column}']").first


def test_the_list_groups_trials_under_their_sweep_and_pruned_is_no_failure(page: Any, address: str) -> None:
    opened(page, address)

    headers = {header.inner_text() for header in page.get_by_role("columnheader").all()}
    assert {"best_val_accuracy", "val_accuracy", "epochs", "optimizer.lr"} <= headers
    assert not headers & {"data.validation_size", "parameters_millions", "model.name"}, "the same in all trials"
    assert cell_of(page, SWEEP, "best_val_accuracy").inner_text() == "0.36"
    assert cell_of(page, f"{SWEEP}-001", "val_accuracy").inner_text() == "0.12"
    complete, pruned, diverged = (
        cell_of(page, f"{SWEEP}-{number:03d}", "runDateAndNestInfo").locator("svg").first.inner_html()
        for number in (0, 1, 4)
    )
    assert complete == pruned != diverged
    row_of(page, SWEEP).get_by_role("button").first.click()
    page.get_by_role("link", name=f"{SWEEP}-000", exact=True).wait_for(state="detached")


def test_a_run_shows_user_and_command_and_curves_over_epochs(page: Any, address: str) -> None:
    opened(page, address)
    page.get_by_role("link", name=f"{SWEEP}-003", exact=True).click()
    page.get_by_text("About this run").wait_for()
    page.get_by_role("link", name="val_accuracy", exact=True).wait_for()

    text = page.inner_text("main, #root")
    assert "ada" in text
    assert "sweeps run shown.yaml" in text
    assert "CIFAR-10" in text
    metrics = page.get_by_role("link").filter(has_text="_").all_inner_texts()
    assert metrics.index("val_accuracy") < metrics.index("parameters_millions")
    page.get_by_role("tab", name="Model metrics").click()
    chart = page.locator(".js-plotly-plot").filter(has=page.locator(".xtitle")).first
    chart.wait_for()
    assert chart.locator(".xtitle").text_content() == "Step"
    assert {"1", "2", "3"} <= set(chart.locator(".xtick text").all_text_contents())


def test_a_picture_is_shown_in_the_page(page: Any, address: str) -> None:
    opened(page, address)
    page.get_by_role("link", name=f"{SWEEP}-003", exact=True).click()
    page.get_by_role("tab", name="Artifacts").click()

    page.get_by_text("learning-curve.png").first.click()

    page.wait_for_function("[...document.images].some(image => image.naturalWidth > 600)")


def test_the_parent_run_has_the_best_value_and_counts(page: Any, address: str) -> None:
    opened(page, address)
    page.get_by_role("link", name=SWEEP, exact=True).click()
    page.get_by_role("link", name="trials_pruned", exact=True).wait_for()

    rows = {row.inner_text().split()[0]: row.inner_text().split()[-1] for row in page.get_by_role("row").all()}
    assert rows["best_val_accuracy"] == "0.36"
    assert [rows[f"trials_{outcome}"] for outcome in ("complete", "pruned", "diverged")] == ["2", "2", "1"]


def test_a_comparison_of_three_runs_shows_parameters_and_accuracies_side_by_side(page: Any, address: str) -> None:
    opened(page, address)
    for number in (0, 1, 3):
        index = row_of(page, f"{SWEEP}-{number:03d}").get_attribute("row-index")
        page.locator(f"[row-index='{index}'] input.ag-checkbox-input").first.click()
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("Comparing 3 Runs from 1 Experiment").wait_for()

    page.get_by_text("optimizer.lr").last.wait_for()
    text = page.inner_text("#root")
    assert all(value in text for value in ("0.01", "0.02", "0.04")), "the learning rates"
    assert all(value in text for value in ("0.3", "0.12", "0.36")), "the accuracies"
