"""Time the leaderboard over a large record: 10,000 runs of 10 epochs each, in a copy of a real record.

The runs of a recorded sweep are copied row by row in MLflow's SQLite file, with new run ids, keys and accuracies, so
that the rows are those that a driver writes. The original record is not changed.

    python benchmarks/large_record.py --record runs --runs 10000 --epochs 10
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

REPLACED_TAGS = ("key", "config_id", "trial", "replicate_of", "reused_from", "epochs_done", "outcome")
"""Tags that copies get new values of, or lack."""

QUERIES: dict[str, tuple[str, ...]] = {
    "the table": (),
    "--where": ("--where", "model.name = 'resnet' and optimizer.lr between 0.01 and 0.1"),
    "--csv": ("--csv", "{folder}/board.csv"),
    "--parquet": ("--parquet", "{folder}/board.parquet"),
    "--by": ("--by", "model.name"),
    "--sql on runs": ("--sql", "select model.name, count(*), max(val_accuracy) from runs group by all"),
    "--sql on configurations": ("--sql", "select * from configurations order by rank limit 5"),
    "--sql on epochs": ("--sql", "select epoch, count(*), avg(val_accuracy) from epochs group by all order by all"),
    "--sql on both": (
        "--sql",
        "select model.name, epoch, max(epochs.val_accuracy) from epochs join runs using (run_id) group by all",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, default=Path("runs"), help="a runs folder with a complete run")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument(
        "--keep", type=Path, help="folder in which to keep the large record; by default a temporary one"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        if not (folder / "mlflow.db").exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(arguments.record / "mlflow.db", folder / "mlflow.db")
            enlarge(folder / "mlflow.db", runs=arguments.runs, epochs=arguments.epochs)
        size = (folder / "mlflow.db").stat().st_size / 1e6
        print(f"{arguments.runs:,} runs of {arguments.epochs} epochs: {size:.0f} MB")
        for name, options in QUERIES.items():
            wall, cpu = timed([option.format(folder=folder) for option in options], runs=folder)
            print(f"{name:24s} {wall:5.2f} s wall, {cpu:5.2f} s CPU")


def timed(options: list[str], *, runs: Path) -> tuple[float, float]:
    """Return the shortest wall time of three starts of the verb, and its CPU time, in seconds."""
    command = [
        sys.executable,
        "-c",
        "from sweeps.cli.main import main; main()",
        "leaderboard",
        *options,
        "--runs",
        str(runs),
    ]
    found = []
    for _ in range(3):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append((wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return min(found)


def enlarge(path: Path, *, runs: int, epochs: int) -> None:
    """Add copies of the complete search runs of a record until it contains `runs` runs."""
    draw = random.Random(0)
    with closing(sqlite3.connect(path)) as database, database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(runs)")]
        templates = database.execute(
            "SELECT run_uuid FROM runs"
            " WHERE run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'kind' AND value = 'trial')"
            " AND run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'outcome' AND value = 'complete')"
            " AND run_uuid NOT IN (SELECT run_uuid FROM tags WHERE key = 'replicate_of')"
        ).fetchall()
        if not templates:
            raise SystemExit(f"{path} contains no complete run of a search")
        existing = database.execute("SELECT count(*) FROM tags WHERE key = 'kind' AND value = 'trial'").fetchone()[0]
        about = [_about(database, run_id) for (run_id,) in templates]
        for number in range(runs - existing):
            row, tags, params, latest = about[number % len(about)]
            run_id, key = f"{draw.getrandbits(128):032x}", f"{draw.getrandbits(64):016x}"
            start = dict(zip(columns, row, strict=True))["start_time"] + 1000 * number
            changed = dict(zip(columns, row, strict=True)) | {"run_uuid": run_id, "start_time": start}
            database.execute(f"INSERT INTO runs VALUES ({', '.join('?' * len(columns))})", list(changed.values()))
            new = {"key": key, "config_id": key, "trial": str(1000 + number), "epochs_done": str(epochs)}
            tags = {name: value for name, value in tags.items() if name not in REPLACED_TAGS} | new
            tags["outcome"] = draw.choice(["complete", "pruned"])
            params = params | {"optimizer.lr": repr(round(10 ** draw.uniform(-3, -0.5), 6))}
            _insert(database, "tags", ((name, value, run_id) for name, value in tags.items()))
            _insert(database, "params", ((name, value, run_id) for name, value in params.items()))
            accuracy = draw.uniform(0.3, 0.7)
            values = latest | {"val_accuracy": accuracy}
            stamp = start + 1000 * epochs
            _insert(
                database,
                "latest_metrics (key, value, timestamp, step, is_nan, run_uuid)",
                ((name, value, stamp, epochs, False, run_id) for name, value in values.items()),
            )
            points = [
                (name, value * epoch / epochs, start + 1000 * epoch, epoch, False, run_id)
                for epoch in range(1, epochs + 1)
                for name, value in values.items()
                if name in EPOCH_METRICS
            ]
            _insert(database, "metrics (key, value, timestamp, step, is_nan, run_uuid)", points)


EPOCH_METRICS = (
    "train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "epoch_seconds", "images_per_second",
)  # fmt: skip


def _about(
    database: sqlite3.Connection, run_id: str
) -> tuple[tuple[object, ...], dict[str, str], dict[str, str], dict[str, float]]:
    """Return a run's row, tags, params and latest metrics."""
    row = database.execute("SELECT * FROM runs WHERE run_uuid = ?", [run_id]).fetchone()
    tags, params, latest = (
        dict(database.execute(f"SELECT key, value FROM {table} WHERE run_uuid = ?", [run_id]).fetchall())
        for table in ("tags", "params", "latest_metrics")
    )
    return row, tags, params, latest


def _insert(database: sqlite3.Connection, into: str, rows: object) -> None:
    rows = list(rows)  # type: ignore[call-overload]
    database.executemany(f"INSERT INTO {into} VALUES ({', '.join('?' * len(rows[0]))})", rows)


if __name__ == "__main__":
    main()
