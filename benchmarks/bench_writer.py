"""MLflow's writer under 32 slots that train trials of 10 s and 40 epochs, in actual time.

The driver's writer (MLflow on SQLite) receives each epoch at the moment at which a slot would report it. It keeps up if
few trials wait for their write, and if their number does not grow.

    python benchmarks/bench.py --only writer
"""

from __future__ import annotations

import dataclasses
import heapq
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SLOTS = 32
EPOCHS = 40
TRIAL_SECONDS = 10.0
SECONDS = 90.0


def measure(*, quick: bool) -> dict[str, Any]:
    """Return the largest number of waiting trials in each quarter of the time, and the seconds of the last writes."""
    from cifar_core import TrainingConfig
    from sweeps.core.results import EpochResult
    from sweeps.core.trial import Outcome, TrialRecord
    from sweeps.record.parent_run import RecordedStudy
    from sweeps.record.sweep_progress import Objective
    from sweeps.record.writer import Tracker

    slots, length = (4, 2.0) if quick else (SLOTS, SECONDS)
    epoch_seconds = (0.8 if quick else TRIAL_SECONDS) / EPOCHS
    waiting: list[tuple[float, int]] = []
    records: dict[int, TrialRecord] = {}
    written = 0
    with tempfile.TemporaryDirectory() as folder:
        tracker = Tracker(
            RecordedStudy(sweep="writer", name="writer-1"),
            runs=Path(folder),
            environment={},
            objective=Objective("val_accuracy", maximize=True),
        )
        started = time.time()
        # The slots start one after the other, so that their epochs do not end at the same moments.
        ends = [(slot * epoch_seconds / slots, slot, slot, 0) for slot in range(slots)]
        count = slots
        while ends:
            at, slot, number, epoch = heapq.heappop(ends)
            if at > length:
                break
            time.sleep(max(0.0, started + at - time.time()))
            now = time.time()
            if epoch == 0:
                config = TrainingConfig(epochs=EPOCHS, optimizer={"lr": 0.001 + number * 1e-6})
                records[slot] = TrialRecord(
                    sweep="writer",
                    study="writer-1",
                    number=number,
                    key=f"{number:016x}",
                    config_id=f"{number:016x}",
                    config=config,
                    outcome=Outcome.RUNNING,
                    started=now,
                )
            else:
                metrics = dict.fromkeys(("train_loss", "train_accuracy", "val_loss", "val_accuracy"), 1 / epoch)
                result = EpochResult(epoch=epoch, seconds=epoch_seconds, finished_at=now, metrics=metrics)
                records[slot] = dataclasses.replace(records[slot], epochs=(*records[slot].epochs, result))
            if epoch == EPOCHS:
                records[slot] = dataclasses.replace(records[slot], outcome=Outcome.COMPLETE, finished=now)
                written += 1
            tracker.write(records[slot])
            waiting.append((now - started, len(tracker._queue._pending) + len(tracker._queue._in_flight)))
            if epoch == EPOCHS:
                heapq.heappush(ends, (at, slot, count, 0))
                count += 1
            else:
                heapq.heappush(ends, (at + epoch_seconds, slot, number, epoch + 1))
        late = time.time() - started - length
        before = time.perf_counter()
        is_written = tracker.flush(timeout=600)
        flushed = time.perf_counter() - before
        tracker.close()
    quarters = [
        max([n for at, n in waiting if share * length / 4 <= at < (share + 1) * length / 4] or [0])
        for share in range(4)
    ]
    found = {
        "slots": slots,
        "seconds": length,
        "trials": written,
        "waiting": quarters,
        "flush_seconds": flushed,
        "is_written": is_written,
        "late_seconds": late,
    }
    print(f"writer: {found}", file=sys.stderr, flush=True)
    return found


def table(found: Mapping[str, Any]) -> str:
    """Return the results as a table."""
    waiting = ", ".join(map(str, found["waiting"]))
    cells = [found["slots"], f"{found['trials']} in {found['seconds']:g} s", waiting, f"{found['flush_seconds']:.1f} s"]
    return (
        "| slots | trials ended | trials waiting for their write, maximum of each quarter | last writes |\n"
        "|---|---|---|---|\n"
        f"| {' | '.join(map(str, cells))} |"
    )
