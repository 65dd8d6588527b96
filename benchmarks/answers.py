"""Time the reading verbs over a record of 300 runs in a temporary folder, and a start with nothing to do.

A driver's code writes the runs into real journals and a real MLflow record on SQLite; their epochs are synthetic.

    python benchmarks/answers.py --runs 300
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cifar_core.data.load import training_fingerprint
from sweeps.core.identity import Identifier
from sweeps.core.results import EpochResult
from sweeps.core.trial import Outcome, TrialMessage, TrialRecord
from sweeps.driver.plan import plan_of_sweep
from sweeps.files.sweep import load_spec
from sweeps.record.parent_run import RecordedStudy
from sweeps.record.writer import Tracker
from sweeps.search.ledger import Ledger
from sweeps.search.opening import open_study
from sweeps.store.folder import SweepFolder

TRIALS = 30
"""Trials per sweep."""
EPOCHS = 7
SWEEP = f"""
method: random
run_cap: {TRIALS}
base: {{epochs: {EPOCHS}, data: {{train_size: 10000, validation_size: 2000}}}}
parameters:
  optimizer.lr: {{min: 0.001, max: 0.3, distribution: log_uniform_values}}
  data.batch_size: {{values: [32, 64, 128, 256]}}
"""


def main() -> None:
    """Create the record, then print seconds and memory of each verb."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    count = parser.parse_args().runs // TRIALS
    with tempfile.TemporaryDirectory() as folder:
        names = [f"sweep{index}" for index in range(count)]
        for name in names:
            record(Path(folder), name)
        print(f"{count * TRIALS} runs of {count} sweeps")
        for verb in (
            ["run", "sweep0.yaml", "--set", "name=sweep0"], ["leaderboard"], ["leaderboard", "sweep0"],
            ["leaderboard", "--runs"], ["show", "sweep0/3"], ["show", "sweep0-003"], ["status", "sweep0"], ["list"],
            ["stop", "sweep0"], ["rm", "sweep0", "--yes"],
        ):  # fmt: skip
            time_verb(Path(folder), verb)


def record(folder: Path, name: str) -> None:
    """Write a complete sweep into its journal and the record."""
    file = folder / f"{name}.yaml"
    file.write_text(f"name: {name}{SWEEP}", encoding="utf-8")
    plan = plan_of_sweep(load_spec(file))
    sweep = SweepFolder(folder / "runs", name)
    identify = Identifier(data_fingerprint=training_fingerprint())
    with sweep.locked():
        study = open_study(
            sweep,
            definition=plan.definition,
            metric=plan.metric,
            pruner=plan.early_terminate.pruner(epochs=plan.epochs),
            new=False,
        )
        ledger = Ledger(
            study,
            sweep=name,
            metric=plan.metric.name,
            proposer=plan.proposer(lambda config: identify(config).key),
            run_cap=plan.run_cap,
            identify=identify,
        )
        while isinstance(trial := ledger.next_trial(), TrialRecord):
            for number in range(1, EPOCHS + 1):
                last = number == EPOCHS
                ledger.receive(
                    trial.number, TrialMessage(epoch=epoch(number), outcome=Outcome.COMPLETE if last else None)
                )
        with Tracker(RecordedStudy(sweep=name, name=study.study_name), runs=folder / "runs", environment={}) as tracker:
            tracker.reconcile(ledger.records)


def epoch(number: int) -> EpochResult:
    return EpochResult(
        epoch=number,
        seconds=1.0,
        finished_at=time.time(),
        metrics={
            "train_loss": 2.0 / number,
            "train_accuracy": 0.5,
            "val_loss": 1.5,
            "val_accuracy": 0.3 + number / 100,
            "learning_rate": 0.1,
            "images_per_second": 1000.0,
        },
    )


def time_verb(folder: Path, verb: list[str]) -> None:
    code = "from sweeps.cli.main import main; main()"
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *verb], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{seconds:5.2f} s   {' '.join(verb):40}  (largest so far {peak:.0f} MB)")


if __name__ == "__main__":
    main()
