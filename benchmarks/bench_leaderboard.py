"""The leaderboard over 1,000, 10,000 and 100,000 runs, in turns with `mlflow.search_runs` and pandas.

Both start as a new process on the same record (MLflow on SQLite) and print the ten best runs of 10 epochs each.

    python benchmarks/bench.py --only leaderboard
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from large_record import enlarge

HERE = Path(__file__).parent
RUNS = (1_000, 10_000, 100_000)
EPOCHS = 10
ROUNDS = 2
PANDAS = """
import sys
import mlflow, pandas
mlflow.set_tracking_uri("sqlite:///" + sys.argv[1])
experiments = [each.experiment_id for each in mlflow.search_experiments()]
runs = mlflow.search_runs(experiments, max_results=1_000_000)
runs = runs[(runs["tags.kind"] == "trial") & (runs["tags.outcome"] == "complete")]
print(runs.sort_values("metrics.val_accuracy", ascending=False).head(10)[["run_id", "metrics.val_accuracy"]])
"""
OURS = "from sweeps.cli.main import main; main()"
SWEEP = {
    "name": "small",
    "method": "random",
    "run_cap": 3,
    "base": {
        "epochs": 1,
        "model": {"name": "simple", "width": 1},
        "data": {"train_size": 64, "validation_size": 64, "batch_size": 64},
    },
    "parameters": {"optimizer.lr": {"min": 0.001, "max": 0.1, "distribution": "log_uniform_values"}},
}


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def measure(*, quick: bool) -> dict[str, Any]:
    """Return the seconds of both for each number of runs."""
    import json
    import shutil

    found: dict[str, Any] = {"epochs": EPOCHS, "sizes": []}
    with tempfile.TemporaryDirectory() as temporary:
        small = Path(temporary) / "small"
        file = Path(temporary) / "small.yaml"
        file.write_text(json.dumps(SWEEP), encoding="utf-8")
        run = ["run", str(file), "--runs", str(small), "--backend", "inline", "--no-report"]
        _seconds([sys.executable, "-c", OURS, *run])
        for count in (100,) if quick else RUNS:
            folder = Path(temporary) / str(count)
            folder.mkdir()
            shutil.copy(small / "mlflow.db", folder / "mlflow.db")
            enlarge(folder / "mlflow.db", runs=count, epochs=EPOCHS)
            mine, theirs, tops = [], [], []
            for _ in range(1 if quick else ROUNDS):  # A B A B; the first start writes what later ones read
                mine.append(_seconds([sys.executable, "-c", OURS, "leaderboard", "--runs", str(folder)]))
                theirs.append(_seconds([sys.executable, "-c", PANDAS, str(folder / "mlflow.db")]))
                tops.append(_seconds([sys.executable, "-c", OURS, "leaderboard", "--runs", str(folder)]))
            size = (folder / "mlflow.db").stat().st_size
            found["sizes"].append({"runs": count, "bytes": size, "ours": mine, "again": tops, "mlflow": theirs})
            print(f"leaderboard: {found['sizes'][-1]}", file=sys.stderr, flush=True)
            shutil.rmtree(folder)
    return found


def table(found: Mapping[str, Any]) -> str:
    """Return the results as a table."""
    lines = [
        "| runs | mlflow.db | `sweeps leaderboard`, first, again | `mlflow.search_runs` + pandas | ratio, again |",
        "|---|---|---|---|---|",
    ]
    for each in found["sizes"]:
        again, theirs = min(each["again"]), min(each["mlflow"])
        times = f"{each['ours'][0]:.1f} s, {again:.1f} s | {theirs:.1f} s | {theirs / again:.1f}"
        lines.append(f"| {each['runs']:,} | {each['bytes'] / 1e6:,.0f} MB | {times} |")
    return "\n".join(lines)
