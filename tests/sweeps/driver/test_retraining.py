"""A searched run retrained with a larger budget is a new run that names its origin."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_fakes import Cli, own_net, tiny, write_yaml, written

import sweeps
from cifar_core.config import TrainingConfig
from sweeps.core.errors import SweepError
from sweeps.driver.plan import plan_of_retraining
from sweeps.search.state import read_state

STEP = {"schedule": {"name": "step", "step_size": 1}, "optimizer": {"lr": 0.02}}


@pytest.fixture
def searched(tmp_path: Path, recorded_runs: Path, cli: Cli) -> Path:
    """The runs folder of a search of one trial of two epochs, on 300 images."""
    content = tiny(base=tiny()["base"] | STEP, parameters={"model.width": {"value": 4}}, run_cap=1)
    result = cli("run", write_yaml(tmp_path, content), "--runs", recorded_runs, "--backend", "inline")
    assert result.exit_code == 0, result.output
    return recorded_runs


def test_a_longer_run_on_more_images_scales_its_schedule(searched: Path, cli: Cli) -> None:
    result = cli("retrain", "tiny-000", "--epochs", 4, "--train-size", 400, "--runs", searched, "--backend", "inline")

    assert result.exit_code == 0, result.output
    (record,) = read_state(searched, "retrained").records
    assert (record.config.epochs, record.config.schedule.step_size, record.config.optimizer.lr) == (4, 2, 0.02)
    assert (record.config.data.train_size, record.config.data.validation_size) == (400, 200)
    assert len(record.epochs) == 4
    assert record.test is None
    (run,) = written(searched, sweep="retrained")
    assert (run.name, run.tags["rung_parent"], run.tags["outcome"]) == ("tiny-000-4x400", "tiny-000", "complete")
    assert "tiny-000-4x400" in result.stdout
    assert len(written(searched)) == 1


def test_only_another_budget_is_another_run(searched: Path) -> None:
    first = sweeps.retrain("tiny/0", epochs=3, runs=searched, backend="inline")
    again = sweeps.retrain("tiny/0", epochs=3, runs=searched, backend="inline")
    other = sweeps.retrain("tiny/0", epochs=4, runs=searched, backend="inline")

    assert [each.trained for each in (first, again, other)] == [1, 0, 1]
    assert [r.name for r in read_state(searched, "retrained").records] == ["tiny-000-3x300", "tiny-000-4x300"]


def test_all_images_are_those_that_validation_leaves() -> None:
    config = TrainingConfig.model_validate({"epochs": 2, "data": {"train_size": 300, "validation_size": 2000}})
    row = {"sweep": "b", "source": None, "measured_on": None}

    plan = plan_of_retraining(config, run="a", row=row, epochs=None, train_size="all")

    assert [config.data.train_size for config in plan.data] == [None]
    assert plan.epochs == 2
    assert not plan.tested


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny-000"], "tiny-000 was already trained with this budget. Change --epochs or --train-size."),
        (["tiny-000", "--epochs", "2"], "was already trained with this budget"),
        (["tiny-000", "--train-size", "60000"], "tiny-000 cannot be trained with this budget: data.train_size"),
        (["tiny-000", "--train-size", "some"], "'some' is neither a number of images nor `all`"),
        (["tiny-009", "--epochs", "4"], "no run 'tiny-009'"),
    ],
)
def test_invalid_budgets_are_rejected(arguments: list[str], message: str, searched: Path, cli: Cli) -> None:
    result = cli("retrain", *arguments, "--runs", searched, "--backend", "inline")

    assert result.exit_code == 2
    assert message in result.stderr
    assert not (searched / "sweeps" / "retrained").exists()


def test_a_changed_network_is_not_retrained(
    tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    base = own_net(tmp_path, module="net_retrained", hook="pass")
    cli("run", write_yaml(tmp_path, tiny(base=base, run_cap=1)), "--runs", recorded_runs, "--backend", "inline")
    with (tmp_path / "net_retrained.py").open("a", encoding="utf-8") as file:
        file.write("STATE = 2\n")

    with pytest.raises(SweepError, match=r"another version of net_retrained:Net: net_retrained\.py has changed"):
        sweeps.retrain("tiny-000", epochs=9, runs=recorded_runs, backend="inline")
