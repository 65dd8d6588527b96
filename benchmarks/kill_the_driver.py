"""Kill a running sweep's driver again and again at random moments, let it end, and count what was lost or doubled.

Real Ray, real training, real MLflow on SQLite, everything in a temporary folder:

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
    """Run it, and exit with 1 where anything was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=15, help="how often to kill it")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "killed.yaml"
        path.write_text(SWEEP, encoding="utf-8")
        command = [*DRIVER, "run", str(path), "--runs", str(Path(folder) / "runs")]
        journal = Path(folder) / "runs" / "sweeps" / "killed" / "journal.log"
        for kill in range(1, options.kills + 1):
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
                # One in four while it starts, the others while it trains.
                in_training = moments.random() < 0.75
                if in_training:
                    before = epochs_in(journal)
                    while driver.poll() is None and epochs_in(journal) == before:
                        time.sleep(0.05)
                seconds = moments.uniform(0, 6) if in_training else moments.uniform(0.5, 12)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    driver.wait(seconds)
                if driver.poll():
                    sys.exit(f"start {kill} ended with exit code {driver.poll()}: look at it by hand")
                what = "had ended by itself" if driver.poll() is not None else "killed"
                driver.send_signal(signal.SIGKILL)
            when = f"{seconds:.1f} s after its {'first epoch' if in_training else 'start'}"
            print(f"start {kill}: {what} {when}; {count(Path(folder) / 'runs')}", flush=True)
            # What Ray leaves of a killed driver ends within moments.
            time.sleep(2)
        last = subprocess.run(command, capture_output=True, text=True, check=False)
        print(last.stdout[-400:], last.stderr[-2000:])
        faults = check(Path(folder) / "runs")
    print("\n".join(faults) or f"nothing lost, nothing doubled: {TRIALS} trials, one MLflow run each, every epoch once")
    sys.exit(1 if faults or last.returncode else 0)


def epochs_in(journal: Path) -> int:
    """Return how many epochs a journal holds."""
    return journal.read_bytes().count(b'"epoch:') if journal.exists() else 0


def count(runs: Path) -> str:
    """Return how many MLflow runs there are of each outcome."""
    found = Counter(outcome for outcome, *_ in recorded(runs))
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(found.items())) or "no run yet"


def check(runs: Path) -> list[str]:
    """Return what is wrong with the record of a sweep that has ended."""
    found = recorded(runs)
    faults = [] if len(found) == TRIALS else [f"{len(found)} MLflow runs instead of {TRIALS}"]
    if len({key for _, key, _ in found}) != len(found):
        faults.append("a trial has two runs")
    for outcome, key, steps in found:
        whole = outcome != "complete" or len(steps) == EPOCHS
        if outcome not in ("complete", "pruned", "diverged") or not whole or steps != list(range(1, len(steps) + 1)):
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
