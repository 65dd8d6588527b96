"""Kill a sweep's driver repeatedly at random moments, let the sweep finish, and count lost and duplicated results.

With real Ray, real training and real MLflow on SQLite, in a temporary folder:

    python benchmarks/kill_the_driver.py --kills 15
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TRIALS = 12
EPOCHS = 30
SWEEP = f"""
name: killed
method: bayes
run_cap: {TRIALS}
early_terminate: {{type: asha, min_epochs: 10, reduction_factor: 3}}
base:
  epochs: {EPOCHS}
  model: {{name: simple, width: 8}}
  data: {{train_size: 2000, validation_size: 500, batch_size: 64, normalization: cifar10}}
parameters:
  optimizer.lr: {{distribution: log_uniform_values, min: 0.001, max: 0.3}}
"""
DRIVER = [sys.executable, "-c", "from sweeps.cli.main import main; main()"]


def main() -> None:
    """Run it, and exit with 1 if a result was lost or duplicated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=15, help="number of kills")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "killed.yaml"
        path.write_text(SWEEP, encoding="utf-8")
        command = [*DRIVER, "run", str(path), "--runs", str(Path(folder) / "runs")]
        journal = Path(folder) / "runs" / "sweeps" / "killed" / "journal.log"
        for kill in range(1, options.kills + 1):
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
                # A quarter during the start, the others during training.
                in_training = moments.random() < 0.75
                if in_training:
                    before = epochs_in(journal)
                    while driver.poll() is None and epochs_in(journal) == before:
                        time.sleep(0.05)
                seconds = moments.uniform(0, 6) if in_training else moments.uniform(0.5, 12)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    driver.wait(seconds)
                if driver.poll():
                    sys.exit(f"start {kill} ended with exit code {driver.poll()}: investigate it manually")
                outcome = "had already ended" if driver.poll() is not None else "killed"
                driver.send_signal(signal.SIGKILL)
            when = f"{seconds:.1f} s after its {'first epoch' if in_training else 'start'}"
            print(f"start {kill}: {outcome} {when}. Runs: {count(Path(folder) / 'runs')}", flush=True)
            # Ray's processes of a killed driver end within two seconds.
            time.sleep(2)
        last = subprocess.run(command, capture_output=True, text=True, check=False)
        print(last.stdout[-400:], last.stderr[-2000:])
        faults = check(Path(folder) / "runs")
    success = f"no result was lost or duplicated: {TRIALS} trials, one MLflow run each, every epoch once"
    print("\n".join(faults) or success)
    sys.exit(1 if faults or last.returncode else 0)


def epochs_in(journal: Path) -> int:
    """Return the number of epochs in a journal."""
    return journal.read_bytes().count(b'"epoch:') if journal.exists() else 0


def count(runs: Path) -> str:
    """Return the number of MLflow runs of each outcome."""
    found = Counter(outcome for outcome, *_ in recorded(runs))
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(found.items())) or "none"


def check(runs: Path) -> list[str]:
    """Return the faults in the record of a sweep that has ended."""
    found = recorded(runs)
    faults = [] if len(found) == TRIALS else [f"{len(found)} MLflow runs instead of {TRIALS}"]
    if len({key for _, key, _ in found}) != len(found):
        faults.append("a trial has two runs")
    for outcome, key, steps in found:
        has_all = outcome != "complete" or len(steps) == EPOCHS
        if outcome not in ("complete", "pruned", "diverged") or not has_all or steps != list(range(1, len(steps) + 1)):
            faults.append(f"{key}: {outcome} with epochs {steps}")
    return faults


def recorded(runs: Path) -> list[tuple[str, str, list[int]]]:
    """Return outcome, key and epochs of every trial in MLflow's database."""
    if not (runs / "mlflow.db").exists():
        return []
    trials = []
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
        for (run_id,) in database.execute("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active'").fetchall():
            tags = dict(database.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run_id,)))
            query = "SELECT step FROM metrics WHERE run_uuid = ? AND key = 'train_loss' ORDER BY step"
            steps = [step for (step,) in database.execute(query, (run_id,))]
            if tags.get("kind") == "trial":
                trials.append((tags["outcome"], tags["key"], steps))
    return trials


if __name__ == "__main__":
    main()
