"""Memory of one more trial: the proportional memory of all processes of a search with one slot and with two.

This project maps the images once per machine. Ray Tune's trials load them as the tutorial does, each for itself.

    python benchmarks/bench.py --only memory
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECONDS = 20.0
"""Of measuring, after each slot has trained an epoch."""
PATIENCE = 400.0
BASE: dict[str, Any] = {
    "epochs": 1_000,
    "model": {"name": "simple"},
    "data": {"train_size": 10_000, "validation_size": 2_000},
}


def ours(folder: Path, slots: int) -> None:
    """Run `sweeps run` until it is ended from outside."""
    content = {
        "name": "memory",
        "method": "random",
        "run_cap": slots,
        "limits": {"max_concurrent_trials": slots},
        "base": BASE,
        "parameters": {"optimizer.lr": {"min": 0.001, "max": 0.01}},
    }
    file = folder / "memory.yaml"
    file.write_text(json.dumps(content), encoding="utf-8")
    from sweeps.cli.main import main

    sys.argv = ["sweeps", "run", str(file), "--runs", str(folder / "runs"), "--no-report"]
    main()


def ray_tune(folder: Path, slots: int) -> None:
    """Run Ray Tune with the same training in each trial."""
    import ray
    from ray import tune

    def train(config: dict[str, float]) -> None:
        import numpy as np

        from cifar_core import TrainingConfig, load_cifar10, split_train_validation
        from cifar_core import train as train_network
        from cifar_core.data.images import LabelledImages

        mapped = load_cifar10().train
        images = LabelledImages(np.array(mapped.images_NHWC), np.array(mapped.labels_N))
        configuration = TrainingConfig(**BASE | {"optimizer": {"lr": config["lr"]}})
        for epoch in train_network(configuration, *split_train_validation(images, configuration.data), device="cpu"):
            (folder / f"trained-{config['lr']}").touch()
            tune.report({"val_accuracy": epoch.val_accuracy})

    ray.init(num_cpus=slots, logging_level="ERROR", log_to_driver=False)
    tune.Tuner(
        train,
        param_space={"lr": tune.uniform(0.001, 0.01)},
        tune_config=tune.TuneConfig(metric="val_accuracy", mode="max", num_samples=slots),
        run_config=tune.RunConfig(storage_path=str(folder / "ray"), verbose=0),
    ).fit()


TOOLS = {"cifar-sweeps": ours, "Ray Tune": ray_tune}


def _training(folder: Path) -> int:
    """Return the number of trials that have trained an epoch."""
    if marks := list(folder.glob("trained-*")):
        return len(marks)
    from sweeps.search.opening import read_studies
    from sweeps.search.stored_trials import read_records
    from sweeps.store.folder import SweepFolder

    sweep = SweepFolder(folder / "runs", "memory")
    if not (folder / "runs" / "sweeps" / "memory" / "journal.log").exists():
        return 0
    return sum(bool(record.epochs) for record in read_records(read_studies(sweep).search, sweep="memory"))


def _descendants(root: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended
    found, new = [root], [root]
    while new:
        new = [pid for pid, parent in parents.items() if parent in new]
        found += new
    return found


def proportional(root: int) -> float:
    """Return the proportional memory of a process and its descendants in MB."""
    total = 0
    for pid in _descendants(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:
            continue  # it has ended
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1e3


def _steady(name: str, slots: int, *, seconds: float) -> float:
    """Return the median memory while the slots train."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--tool", name, "--slots", str(slots), "--folder", folder]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            memory: list[float] = []
            until = time.time() + PATIENCE
            while _training(Path(folder)) < slots and time.time() < until and process.poll() is None:
                time.sleep(1.0)
            until = time.time() + seconds
            while time.time() < until and process.poll() is None:
                memory.append(proportional(process.pid))
                time.sleep(1.0)
            if process.poll() is not None or not memory:
                raise SystemExit(f"{name} ended before its memory was measured")
        finally:
            _end(process)
    return sorted(memory)[len(memory) // 2]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a search, then end what is left of its processes."""
    left = _descendants(process.pid)
    process.send_signal(2)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in left:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue


def measure(*, quick: bool) -> dict[str, Any]:
    """Return the memory of each tool with one slot and with two, in MB."""
    found: dict[str, Any] = {"tools": {}}
    for name in list(TOOLS)[:1] if quick else TOOLS:
        one, two = (_steady(name, slots, seconds=3.0 if quick else SECONDS) for slots in (1, 2))
        found["tools"][name] = {"one": one, "two": two}
        print(f"memory: {name}: {found['tools'][name]}", file=sys.stderr, flush=True)
    return found


def table(found: Mapping[str, Any]) -> str:
    """Return the results as a table."""
    lines = ["| tool | one slot | two slots | one more trial |", "|---|---|---|---|"]
    for name, each in found["tools"].items():
        cells = [f"{value:,.0f} MB" for value in (each["one"], each["two"], each["two"] - each["one"])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", choices=TOOLS, required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    TOOLS[options.tool](options.folder, options.slots)


if __name__ == "__main__":
    main()
