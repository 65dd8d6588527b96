"""Dry runs report configurations that must fail, and do not stop others from training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, outcomes, tiny, write_yaml

from cifar_core.config import TrainingConfig
from sweeps.driver.dry_runs import dry_run_all

NETS = """
import ctypes, os, signal
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=10, width=8, end=""):
        super().__init__()
        if width < 4:
            raise ValueError("width is too small")
        self.end = end
        self.layer = nn.Linear(3072, num_classes)

    def forward(self, images):
        if self.training and self.end == "exit":
            os._exit(4)
        if self.training and self.end == "crash":
            ctypes.string_at(0)
        if self.training and self.end == "stopped":
            os.kill(os.getpid(), signal.SIGINT)
        logits = self.layer(images.flatten(1))
        return logits.softmax(1) if self.end == "softmax" else logits
"""


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A custom network in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "dry_run_net.py").write_text(NETS, encoding="utf-8")
    return "dry_run_net:Net"


def grid(network: str, **options: list[Any]) -> dict[str, Any]:
    parameters = {f"model.options.{name}": {"values": values} for name, values in options.items()}
    base = tiny()["base"] | {"model": {"name": network}, "epochs": 1}
    return tiny(method="grid", run_cap=None, base=base, parameters=parameters)


def test_faulty_first_points_of_a_grid_do_not_stop_others(
    network: str, tmp_path: Path, recorded_runs: Path, cli: Cli
) -> None:
    path = write_yaml(tmp_path, grid(network, width=[1, 2, 3, 4, 5]))

    planned = cli("plan", path)
    result = cli("run", path, "--runs", recorded_runs, "--backend", "inline")

    assert planned.exit_code == 0, planned.output
    assert "model.options.width 1 cannot be trained" in planned.stderr
    assert "width is too small" in planned.stderr
    assert "model.options.width 1 cannot be trained" in " ".join(result.stdout.split())
    assert result.exit_code == 1
    assert [outcome for _, outcome in outcomes(recorded_runs)] == ["failed"] * 3 + ["complete"] * 2


def test_if_nothing_can_train_nothing_is_started(network: str, tmp_path: Path, recorded_runs: Path, cli: Cli) -> None:
    path = write_yaml(tmp_path, grid(network, width=[1, 2]))

    for verb in (("plan", path), ("run", path, "--runs", recorded_runs, "--backend", "inline")):
        result = cli(*verb)
        assert result.exit_code == 2
        assert "no configuration can be trained: model 'dry_run_net:Net'" in result.stderr
    assert outcomes(recorded_runs) == []


def test_an_isolated_dry_run_survives_a_crash(network: str) -> None:
    def config(end: str) -> TrainingConfig:
        return TrainingConfig.model_validate({"model": {"name": network, "options": {"end": end}}})

    found = dry_run_all([config(end) for end in ("", "softmax", "exit", "crash")], isolated=True)

    faults = [result.fault for _, result in found.found]
    assert faults[:2] == [None, None]
    assert "it called os._exit(4)" in (faults[2] or "")
    assert "ended the process with signal 11" in (faults[3] or "")
    assert any("softmax" in remark for remark in found.remarks())
    assert not found.can_train(config("exit"))


def test_a_ctrl_c_during_a_dry_run_is_no_fault(network: str) -> None:
    model = {"name": network, "options": {"end": "stopped"}}

    found = dry_run_all([TrainingConfig.model_validate({"model": model})], isolated=True)

    assert [result.fault for _, result in found.found] == [None]


@pytest.mark.parametrize("listed", [True, False])
def test_only_a_fully_tested_space_is_rejected(listed: bool, network: str, tmp_path: Path, cli: Cli) -> None:
    sweep = grid(network, width=[1, 2])
    if not listed:
        sweep |= {"method": "random", "run_cap": 3}
        sweep["parameters"]["optimizer.lr"] = {"min": 0.01, "max": 0.02}

    planned = cli("plan", write_yaml(tmp_path, sweep))

    assert planned.exit_code == (2 if listed else 0), planned.output
    assert ("no configuration can be trained" in planned.stderr) == listed
    assert "width is too small" in planned.stderr
