"""The cost of TensorBoard's curves: the same trial with and without them, alternately, on one thread.

    python benchmarks/tensorboard_cost.py --model resnet --pairs 3

Prints the CPU seconds of each pair (without waiting, so that a busy machine has little influence), and separately the
one-time cost in a process's first trial: the import of TensorBoard and of torch's tracer.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cifar_core.config import TrainingConfig
from cifar_core.data.load import load_training_images
from cifar_core.data.split import split_train_validation
from sweeps.core.job import Job, Splits, split_name
from sweeps.core.trial import Outcome
from sweeps.worker.session import TrialSession
from sweeps.worker.tensorboard import TrialCurves


class Stopwatch:
    """Adds up the CPU seconds within a class's methods; indirect costs show only in the pairs."""

    def __init__(self, kind: type, *names: str) -> None:
        self.seconds = 0.0
        for name in names:
            setattr(kind, name, self._timed(getattr(kind, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            started = time.process_time()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.process_time() - started

        return timed


def seconds(config: TrainingConfig, splits: Splits, folder: Path, *, curves: bool, device: str) -> tuple[float, float]:
    """Train one trial and return its CPU seconds and its wall-clock seconds."""
    job = Job(
        number=0,
        config=config.model_dump_json(),
        checkpoint=str(folder / "checkpoint"),
        log=str(folder / "trial.log"),
        cpus=1,
        device=device,
        gpu_share=1.0,
        curves=str(folder / "curves") if curves else None,
    )
    session = TrialSession(job, splits)
    cpu, wall = time.process_time(), time.perf_counter()
    while (message := session.step()).outcome is None:
        pass
    assert message.outcome is Outcome.COMPLETE, message.error
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="simple")
    parser.add_argument("--train-size", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()

    data = {"train_size": options.train_size, "validation_size": 2000, "normalization": "cifar10"}
    config = TrainingConfig.model_validate(
        {
            "epochs": options.epochs,
            "model": {"name": options.model, "width": 16},
            "data": data | {"augmentation": "flip-crop", "batch_size": options.batch_size},
        }
    )
    splits = {split_name(config.data): split_train_validation(load_training_images()[0], config.data)}
    short = config.model_copy(update={"epochs": 1})
    with tempfile.TemporaryDirectory() as temporary:
        # Warm-up: torch's first steps are not counted.
        seconds(short, splits, Path(temporary, "warm"), curves=False, device=options.device)
        once = [
            seconds(short, splits, Path(temporary, f"{name}"), curves=name == "first with", device=options.device)[1]
            for name in ("first with", "first without")
        ]
        print(f"a process's first trial: {once[0] - once[1]:.2f} s more")
        within = Stopwatch(TrialCurves, "begin", "epoch_ended", "ended")
        costs, shares = [], []
        for pair in range(options.pairs):
            # In alternating order.
            order = (False, True) if pair % 2 else (True, False)
            took = {
                curves: seconds(
                    config, splits, Path(temporary, f"{pair}-{curves}"), curves=curves, device=options.device
                )
                for curves in order
            }
            cpu, wall = ((took[True][i] / took[False][i] - 1) * 100 for i in (0, 1))
            costs.append(cpu)
            shares.append(within.seconds / took[True][0] * 100)
            within.seconds = 0.0
            print(
                f"without {took[False][0]:.2f} s, with {took[True][0]:.2f} s: "
                f"{cpu:+.2f} % CPU time, {wall:+.2f} % wall time, within the writer {shares[-1]:.2f} %"
            )
        print(f"median {statistics.median(costs):+.2f} % CPU time, within the writer {statistics.median(shares):.2f} %")


if __name__ == "__main__":
    main()
