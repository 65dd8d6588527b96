"""A script reports to its sweep: by `sweeps.report`, or by the calls of W&B's client, which a stand-in answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from program_trials import config, log, run

import sweeps
from sweeps.core.trial import Outcome


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def results_of(text: str, **values: object) -> list[dict[str, float]]:
    """Run a script to its end and return the numbers of its results."""
    Path("train.py").write_text(text, encoding="utf-8")
    messages = run(config(**values))
    assert messages[-1].outcome is Outcome.COMPLETE, log()
    return [dict(message.epoch.metrics) for message in messages if message.epoch]


QUICK_START = """
import argparse
import wandb

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, default=0.5)
parser.add_argument("--depth", type=int, default=2)
parser.add_argument("--optimizer.lr", type=float)
options = parser.parse_known_args()[0]

wandb.login()
with wandb.init(project="mine", config={"rate": 0.5, "depth": 2, "optimizer": {"lr": 1, "name": "sgd"}}) as run:
    assert (wandb.config.rate, run.config["rate"], options.rate) == (0.25, 0.25, 0.25)
    assert wandb.config.optimizer == {"lr": 3, "name": "sgd"} and wandb.config["optimizer.lr"] == 3
    wandb.config.update({"rate": 9, "more": 1})
    assert dict(wandb.config) == {"rate": 0.25, "depth": 2, "more": 1, "optimizer": {"lr": 3, "name": "sgd"}}
    wandb.watch(None, log="all")
    wandb.define_metric("val_loss", summary="min")
    for epoch in range(3):
        for batch in range(2):
            wandb.log({"train": {"loss": 2.0 - batch}})
        wandb.log({"epoch": epoch, "val_loss": 1 / (epoch + 1), "table": wandb.Table(columns=["a"])})
    run.summary["best"] = 0.5
    open("weights.txt", "w").write("w")
    artifact = wandb.Artifact("model", type="model")
    artifact.add_file("weights.txt")
    run.log_artifact(artifact)
"""


def test_a_script_for_wandb_runs_unchanged_under_the_sweeps_values() -> None:
    found = results_of(QUICK_START, **{"optimizer": {"lr": 3}})

    assert found == [{"train.loss": 1.0, "val_loss": 1 / epoch} for epoch in (1, 2, 3)]
    said = log()
    assert "config.rate stays 0.25" in said
    assert "table is not kept, because it is not a number: Table" in said
    assert "wandb.watch has no effect" in said
    assert json.loads(Path("trial.artifacts/summary.json").read_text()) == {"best": 0.5}
    assert Path("trial.artifacts/model/weights.txt").read_text() == "w"


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (
            ["log({'val_loss': 1}, step=5)", "log({'acc': 1}, step=5)", "log({'val_loss': 2}, step=6)"],
            [{"val_loss": 1}, {"val_loss": 2}],
        ),
        (["log({'acc': 1}, step=5)", "log({'val_loss': 1}, step=5)"], [{"acc": 1, "val_loss": 1}]),
        (["log({'val_loss': 1}, commit=False)", "log({'acc': 1})"], [{"acc": 1, "val_loss": 1}]),
        (["log({'val_loss': 1}, commit=False)", "finish()"], [{"val_loss": 1}]),
        (["log({'val_loss': 3})", "run.summary.update(val_loss=1)"], [{"val_loss": 3}, {"val_loss": 1}]),
        (["summary.update({'val_loss': 1})"], [{"val_loss": 1}]),
    ],
    ids=["late values", "one step in two calls", "without commit", "left at the end", "summary", "summary alone"],
)
def test_a_row_with_the_metric_is_one_result(calls: list[str], expected: list[dict[str, float]]) -> None:
    text = "\n".join(["import wandb", "wandb.init()", *(f"wandb.{call}" for call in calls)])

    assert results_of(text) == expected


AGENT = """
import wandb

space = {"method": "random", "parameters": {
    "rate": {"min": 0.0, "max": 1.0}, "epochs": {"value": 2}, "hidden": {"values": [1, 2]},
}}

def train(config=None):
    with wandb.init(config=config):
        for epoch in range(wandb.config.epochs):
            wandb.log({"val_loss": wandb.config.rate - epoch, "image": wandb.Image(None)})

name = wandb.sweep(space, project="mine")
wandb.agent(name, train, count=5)
wandb.agent(name, function=train)
"""


def test_the_function_of_an_agent_runs_once_with_the_trials_values() -> None:
    assert results_of(AGENT) == [{"val_loss": 0.25}, {"val_loss": -0.75}]

    assert "the sweep file lacks parameters of the script's sweep: hidden" in log()
    assert "only the first wandb.agent of a script runs" in log()


def test_what_libraries_ask_of_wandb_is_there() -> None:
    results_of("""
import importlib.metadata, wandb, wandb.util
from wandb.errors import CommError
from wandb.sdk.lib import RunDisabled
from wandb.sdk.lib.config_util import ConfigError
from wandb.sdk.wandb_run import Run

assert importlib.metadata.version("wandb") == wandb.__version__
assert issubclass(CommError, wandb.errors.Error) and issubclass(ConfigError, wandb.Error)
run = wandb.init(id=wandb.util.generate_id(), settings=wandb.Settings(silent=True))
assert isinstance(run, Run) and not isinstance(run, RunDisabled) and isinstance(wandb.Image(1), wandb.Image)
run._label(code="library")
run.save()
wandb.alert(title="a", text="b", level=wandb.AlertLevel.WARN)
wandb.log_artifact(__file__).wait()
run.link_artifact(None, "registry")
wandb.log({"val_loss": 1, "plot": wandb.plot.line_series([], [])})
wandb.join()
print("to the end")
""")

    assert "to the end" in log()


def test_a_configuration_set_before_the_run_begins_is_its_default() -> None:
    text = "import wandb\nwandb.config = {'rate': 9, 'depth': 2}\nrun = wandb.init()\n"
    text += "assert run.config is wandb.config\nwandb.log({'val_loss': wandb.config.rate + wandb.config.depth})\n"

    assert results_of(text) == [{"val_loss": 2.25}]


def test_a_script_that_only_names_a_logger_gets_the_stand_in() -> None:
    code = (
        "Logger = 'WandbLogger'\nimport importlib\nimportlib.import_module('wan' + 'db').init().log({'val_loss': 1})\n"
    )

    assert results_of(code) == [{"val_loss": 1}]


UNSUPPORTED = """
import wandb
wandb.init()
for call in {calls!r}:
    try:
        exec(call)
    except Exception as error:
        print(f"{{type(error).__name__}}: {{error}}")
    else:
        print("no error:", call)
wandb.log({{"val_loss": 1}})
"""


def test_what_is_not_supported_raises_a_sentence_with_advice() -> None:
    calls = [
        "wandb.agent('x')",
        "from wandb import Api; Api()",
        "from wandb import Nothing",
        "import wandb.keras",
        "from wandb.integration.keras import X",
    ]
    calls += ["wandb.run.use_artifact('x')", "wandb.init(unknown=1)", "wandb.config.nothing", "wandb.log(3)"]

    results_of(UNSUPPORTED.format(calls=calls))

    said = log()
    assert "no error" not in said
    assert "wandb.agent needs function= in a program that `sweeps run` starts, and calls it once" in said
    assert "wandb.Api is not supported in a program that `sweeps run` starts: use `sweeps.query`" in said
    assert "wandb.Nothing is not supported in a program that `sweeps run` starts: delete it, or report" in said
    assert "wandb.keras is not supported" in said
    assert "wandb.run.use_artifact is not supported" in said
    assert "wandb.config has no 'nothing': the sweep and wandb.init have set rate" in said
    assert "wandb.log takes a dictionary, not a int" in said


def test_the_stand_in_wins_over_an_installed_wandb_only_where_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "wandb").mkdir(parents=True)
    (tmp_path / "site" / "wandb" / "__init__.py").write_text("__version__ = 'installed'\n")
    (tmp_path / "wandb" / "run-1").mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))

    results_of("import wandb\nprint(wandb.__version__)\nwandb.init().log({'val_loss': 1})\n")
    others = "import importlib, sweeps\nprint(importlib.import_module('wan' + 'db').__version__)\n"
    Path("trial/reports.jsonl").unlink()
    Path("trial/state.pt").unlink()
    results_of(others + "sweeps.report(val_loss=1)\n")

    assert log().count("0.99.0") == 1
    assert log().count("installed") == 1


def test_a_script_reports_by_sweeps_report_without_heavy_imports() -> None:
    script = """
import sys, sweeps
start = sweeps.resumed()
for epoch in range(3):
    sweeps.report(val_loss=1 / (epoch + 1), acc=epoch)
heavy = {"torch", "ray", "mlflow", "optuna", "numpy", "pydantic"} & set(sys.modules)
print(f"{start} resumed, heavy: {heavy}")
"""

    found = results_of(script)

    assert found == [{"val_loss": 1 / (epoch + 1), "acc": epoch} for epoch in range(3)]
    assert "0 resumed, heavy: set()" in log()


def test_a_report_outside_of_a_sweep_is_printed_and_a_text_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SWEEPS_REPORT", raising=False)

    sweeps.report(epoch=2, val_loss=0.25)

    assert capsys.readouterr().out == "epoch 2, val_loss 0.25\n"
    with pytest.raises(TypeError, match="report numbers, such as loss"):
        sweeps.report(loss="low")  # type: ignore[call-overload]


def test_a_resumed_script_counts_on_from_what_was_reported() -> None:
    code = "import sweeps; sweeps.resumed(); sweeps.report(a=1); sweeps.report(a=2)"
    environment = {**os.environ, "SWEEPS_EPOCH": "4"}
    environment.pop("SWEEPS_REPORT", None)

    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert done.stdout == "epoch 5, a 1\nepoch 6, a 2\n"
