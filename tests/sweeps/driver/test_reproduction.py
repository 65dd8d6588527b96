"""`sweeps rerun`: a recorded run trained again from its record, and the comparison."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_fakes import Cli, Record, epoch, fill_disk, own_net, tiny, write_yaml

import sweeps
from sweeps.driver.rerun import Agreement, Rerun
from sweeps.search.state import read_state

pytestmark = pytest.mark.trains

GRID: dict[str, Any] = {
    "method": "grid", "run_cap": None, "parameters": {"optimizer.lr": {"values": [0.01, 0.05, 1e20]}},
    "keep": {"best": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, record: Record) -> Path:
    """The runs folder of two complete trials, one without its weights, and a diverged one."""
    folder = tmp_path_factory.mktemp("rerun")
    return record(folder, ["run", write_yaml(folder, tiny(**GRID)), "--backend", "inline"], trains=True)


@pytest.fixture
def trained(once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(once, tmp_path / "runs"))


def worse(runs: Path) -> str:
    """Return the name of the complete run without weights."""
    (gone,) = (
        record
        for record in read_state(runs, "tiny").records
        if record.outcome == "complete" and not (runs / "sweeps" / "tiny" / "checkpoints" / record.key).exists()
    )
    return f"tiny-{gone.trial:03d}"


def change(runs: Path, query: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
        assert database.execute(query, values).rowcount > 0
        database.commit()


def test_a_rerun_from_the_record_is_bit_for_bit_equal(trained: Path, cli: Cli) -> None:
    # The rerun uses neither the journal nor a checkpoint.
    shutil.rmtree(trained / "sweeps" / "tiny")

    result = cli("rerun", "tiny-000", "--check", "--runs", trained)

    assert result.exit_code == 0, result.output
    assert "tiny-000: bit for bit: every number of 2 epochs equals the record" in result.stdout
    assert "versions, device, threads and commit equal the record" in result.stdout
    assert list((trained / "reruns").iterdir()) == []


def test_a_rerun_restores_missing_weights(trained: Path, cli: Cli) -> None:
    name = worse(trained)
    assert cli("predict", name, "nothing.png", "--runs", trained).exit_code == 2
    before = {file: file.read_bytes() for file in trained.glob("sweeps/tiny/checkpoints/*/*")}

    result = cli("rerun", name, "--runs", trained)

    assert f"Restored its missing or damaged weights. Run `sweeps predict {name} IMAGE`" in result.stdout
    assert sweeps.load_model(name, runs=trained, device="cpu").config.epochs == 2
    assert {file: file.read_bytes() for file in before} == before
    assert "Restored" not in cli("rerun", name, "--runs", trained).stdout


def test_damaged_weights_are_replaced(trained: Path, cli: Cli) -> None:
    (weights,) = trained.glob("sweeps/tiny/checkpoints/*/state.pt")
    (name,) = (
        f"tiny-{record.trial:03d}"
        for record in read_state(trained, "tiny").records
        if record.key == weights.parent.name
    )
    content = weights.read_bytes()
    weights.write_bytes(content[:-100])

    assert "Restored" in cli("rerun", name, "--runs", trained).stdout
    assert len(weights.read_bytes()) == len(content)
    assert sweeps.load_model(name, runs=trained, device="cpu").config.epochs == 2


def test_a_diverged_run_is_trained_for_its_recorded_epochs(trained: Path, cli: Cli) -> None:
    diverged = next(r for r in read_state(trained, "tiny").records if r.outcome == "diverged")

    result = cli("rerun", f"tiny-{diverged.trial:03d}", "--runs", trained)

    if diverged.epochs:
        assert "bit for bit" in result.stdout
    else:
        assert (result.exit_code, "is recorded. There is nothing to compare with." in result.stderr) == (2, True)


def test_check_exits_with_1_for_a_different_result(trained: Path, cli: Cli) -> None:
    change(trained, "UPDATE metrics SET value = value + 0.2 WHERE key = 'val_accuracy' AND step = 2")

    plain, checked = (cli("rerun", "tiny-000", *more, "--runs", trained) for more in ([], ["--check"]))

    assert (plain.exit_code, checked.exit_code) == (0, 1)
    assert "tiny-000: different: accuracies differ by at most 20.00 points in 2 epochs (tolerance 1)" in plain.stdout
    lenient = cli("rerun", "tiny-000", "--check", "--tolerance", "20.5", "--runs", trained)
    assert lenient.exit_code == 0
    assert "within the tolerance" in lenient.stdout


def test_differences_of_the_environment_are_listed(trained: Path, cli: Cli) -> None:
    change(trained, "UPDATE tags SET value = '1.0.0' WHERE key = 'version.torch'")
    change(trained, "DELETE FROM tags WHERE key = 'host'")

    result = cli("rerun", "tiny-000", "--runs", trained)

    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line.strip()}
    assert rows["torch"][0] == "1.0.0"
    assert rows["host"][:2] == ["not", "recorded"]
    assert "threads" not in rows


def test_a_rerun_uses_the_recorded_number_of_threads(trained: Path, cli: Cli) -> None:
    change(trained, "UPDATE tags SET value = '2' WHERE key = 'threads'")

    # With another number of threads this would be listed as a difference.
    assert "threads" not in {
        line.split()[0] for line in cli("rerun", "tiny-000", "--runs", trained).stdout.splitlines()
    }


def test_an_interrupted_rerun_resumes(trained: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from sweeps.worker import session as trial

    step = trial.TrialSession.step
    steps = []

    def interrupted(self: trial.TrialSession) -> object:
        steps.append(1)
        if len(steps) == 2:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(trial.TrialSession, "step", interrupted)
    result = cli("rerun", "tiny-000", "--runs", trained)
    assert (result.exit_code, "Run the same command again to resume" in result.stdout) == (130, True)
    (scratch,) = (trained / "reruns").iterdir()
    assert (scratch / "state.pt").exists()

    result = cli("rerun", "tiny-000", "--runs", trained)

    assert "bit for bit" in result.stdout
    assert not scratch.exists()


def test_a_full_disk_is_an_error_and_not_a_different_result(trained: Path, small_disk: Path, cli: Cli) -> None:
    runs = Path(shutil.copytree(trained, small_disk / "runs"))
    filler = fill_disk(small_disk)

    full = cli("rerun", "tiny-000", "--check", "--runs", runs)
    filler.unlink()
    after = cli("rerun", "tiny-000", "--check", "--runs", runs)

    assert full.exit_code == 2
    assert "is full" in full.stderr
    assert "different" not in full.output
    assert (after.exit_code, "bit for bit" in after.stdout) == (0, True)


def test_a_changed_network_is_not_rerun(
    tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = own_net(tmp_path, module="net_to_edit", hook="pass")
    monkeypatch.syspath_prepend(tmp_path)
    content = tiny(base=base, run_cap=1)
    assert cli("run", write_yaml(tmp_path, content), "--runs", recorded_runs, "--backend", "inline").exit_code == 0
    module = tmp_path / "net_to_edit.py"
    module.write_text(module.read_text(encoding="utf-8") + "\nEDITED = 1\n", encoding="utf-8")

    result = cli("rerun", "tiny-000", "--runs", recorded_runs)

    assert result.exit_code == 2
    assert "net_to_edit.py has changed. Restore the earlier code" in result.stderr


@given(
    accuracies=st.lists(st.floats(0, 1), min_size=1, max_size=5),
    shift=st.floats(0, 0.5),
    tolerance=st.floats(0, 0.5),
)
def test_the_agreement_follows_from_the_largest_difference(
    accuracies: list[float], shift: float, tolerance: float
) -> None:
    recorded = [epoch(number, accuracy) for number, accuracy in enumerate(accuracies, start=1)]
    again = [
        replace(each, metrics={**each.metrics, "val_accuracy": each.metrics["val_accuracy"] + shift}, seconds=9.0)
        for each in recorded
    ]
    found = Rerun(recorded=recorded, again=again, environment={})

    same = [each.metrics["val_accuracy"] for each in again] == [each.metrics["val_accuracy"] for each in recorded]
    if same:
        assert found.agreement(tolerance=tolerance) is Agreement.EXACT
    else:
        close = found.largest_difference <= tolerance
        assert found.agreement(tolerance=tolerance) is (Agreement.CLOSE if close else Agreement.DIFFERENT)
        assert abs(found.largest_difference - shift) < 1e-9
    assert Rerun(recorded=[*recorded, recorded[-1]], again=again, environment={}).agreement(tolerance=1) is (
        Agreement.DIFFERENT
    )
