"""A sweep on real Ray, two trials at once. Few and small: Ray takes seconds to start and to stop."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray
from optuna.trial import TrialState
from sweep_fakes import Cli, once, outcomes, own_net, tiny, write_yaml, written

from sweeps.core.trial import TrialMessage
from sweeps.search.ledger import Ledger
from sweeps.search.opening import read_study
from sweeps.store.folder import SweepFolder
from sweeps.system.machine import core_count

SLOTS = {"max_concurrent_trials": 2}
pytestmark = pytest.mark.usefixtures("nothing_of_ray_is_left")


def test_study_and_mlflow_contain_the_pruned_trials(
    tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    receive = Ledger.receive

    def counting(ledger: Ledger, number: int, said: TrialMessage) -> bool:
        assert said.epoch is not None
        told.append((number, said.epoch.epoch))
        return receive(ledger, number, said)

    monkeypatch.setattr(Ledger, "receive", counting)
    # Trials with a tiny learning rate are pruned at their first epoch after good ones.
    rates = [0.05, 0.02, 1e-7, 2e-7, 3e-7]
    path = write_yaml(
        tmp_path,
        tiny(
            method="grid",
            run_cap=None,
            limits=SLOTS,
            base=tiny()["base"] | {"epochs": 4},
            metric={"name": "train_loss", "goal": "minimize"},
            early_terminate={"type": "asha", "min_epochs": 1, "reduction_factor": 2},
            parameters={"optimizer.lr": {"values": rates}},
        ),
    )

    result = cli("run", path, "--runs", recorded_runs)

    assert result.exit_code == 0, result.output
    slots = min(2, core_count())
    assert f"\nstarting Ray\ntiny: 0 of 5 trials done, {slots} slot" in result.stdout
    # As in a notebook, standard output is a Python object, which does not use the redirected descriptor.
    assert "Configuration for experiment" in (SweepFolder(recorded_runs, "tiny").path / "ray.log").read_text("utf-8")
    assert "Configuration for experiment" not in result.output
    trials = read_study(SweepFolder(recorded_runs, "tiny")).get_trials()
    runs = written(recorded_runs)
    # A paused trial stays open in the study: a larger run_cap may continue it.
    ended = {TrialState.COMPLETE: ("FINISHED", "complete"), TrialState.RUNNING: ("FINISHED", "pruned")}
    assert outcomes(recorded_runs) == [ended[trial.state] for trial in trials]
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.RUNNING}
    assert [run.steps["train_loss"] for run in runs] == [sorted(trial.intermediate_values) for trial in trials]
    assert all(len(t.intermediate_values) == 4 for t in trials if t.state is TrialState.COMPLETE)
    assert [run.status for run in written(recorded_runs, kind="sweep")] == ["FINISHED"]
    # The ledger receives each epoch, also the last one of a trial; after a pause the last known one again.
    assert sorted(set(told)) == [
        (trial.number, epoch) for trial in trials for epoch in sorted(trial.intermediate_values)
    ]
    assert len(told) <= len(set(told)) + len(trials)


@pytest.mark.slow
def test_a_trial_with_a_killed_process_resumes_and_ends_once(
    tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    hook = once(tmp_path / "killed", "os.kill(os.getpid(), signal.SIGKILL)")
    base = own_net(tmp_path, module="net_that_kills_its_worker", hook=hook)

    result = cli("run", write_yaml(tmp_path, tiny(base=base, limits=SLOTS)), "--runs", recorded_runs)

    assert result.exit_code == 0, result.output
    assert (tmp_path / "killed").exists()
    assert outcomes(recorded_runs) == [("FINISHED", "complete")] * 2
    assert [run.steps["val_accuracy"] for run in written(recorded_runs)] == [[1, 2, 3]] * 2
    logs = [log.read_text(encoding="utf-8") for log in (recorded_runs / "sweeps" / "tiny" / "logs").iterdir()]
    assert sum("resuming after epoch 1" in log for log in logs) == 1


def test_a_ray_that_does_not_start_is_one_error_message(
    tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starts_too_slowly(**options: object) -> None:
        raise Exception("The current node timed out during startup.")  # what Ray raises, of no kind of its own

    monkeypatch.setattr(ray, "init", starts_too_slowly)

    result = cli("run", write_yaml(tmp_path, tiny()), "--runs", recorded_runs)

    assert result.exit_code == 2
    assert "error: Ray on this machine did not start: The current node timed out during startup." in result.stderr
    assert written(recorded_runs) == []
