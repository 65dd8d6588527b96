"""Simulate 1,000 slots: waiting time of a slot for its driver, and the number of slots that one driver can serve.

The driver is the real ledger with a real journal and, with `--record`, MLflow's writer. It processes each proposal,
each epoch and each end of a trial; the measured times are the service times of the simulated driver, which handles one
event at a time. The slots are simulated on a virtual clock: a trial has ten epochs of about 30 seconds. As in Ray Tune,
a trial starts its next epoch after the driver has processed the previous one. Ray's own time per event is added by
`--tune-ms`.

The measured service times give the largest number of slots that wait less than 1 % of their time.

    python benchmarks/slots.py --slots 1000 --methods random bayes
    python benchmarks/slots.py --slots 1000 --methods random --record --tune-ms 5
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scale import sweep_file, value_of

EPOCHS = 10
EPOCH_SECONDS = 30.0
SPREAD = 0.5
"""Standard deviation of the logarithm of an epoch's length between trials: networks differ."""
ROUNDS = 3
"""Trials per slot; the first is not counted."""
ENOUGH = 0.01
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.thread_time}


@dataclass
class Services:
    """Service times of the driver in seconds: of the start of a trial, and of an epoch."""

    begin: Callable[[int], float]
    epoch: Callable[[int, int], float]


@dataclass
class Found:
    """The result of a simulation."""

    for_next: list[float] = field(default_factory=list)
    """Seconds from the end of a trial's last epoch to the start of the slot's next trial."""
    lost: float = 0.0
    """Seconds that slots waited, between epochs too, from their second trials on."""
    trained: float = 0.0
    busy: float = 0.0
    """Seconds that the driver was busy."""
    span: float = 0.0
    filled: float = 0.0
    """Seconds until every slot had its first trial."""

    def __str__(self) -> str:
        waits = sorted(self.for_next)
        return (
            f"a slot waits {1000 * statistics.mean(waits):.0f} ms for its next trial (99 %: "
            f"{1000 * waits[int(0.99 * len(waits))]:.0f} ms, maximum: {1000 * waits[-1]:.0f} ms), "
            f"{100 * self.share:.2f} % of its time in total. The driver is busy {100 * self.busy / self.span:.0f} % of "
            f"the time. All slots had their first trial after {self.filled:.1f} s"
        )

    @property
    def share(self) -> float:
        return self.lost / (self.lost + self.trained)


def simulate(slots: int, services: Services, *, chance: random.Random, extra: float) -> Found:
    """Simulate `ROUNDS` trials in each slot; `extra` seconds are added to each service time."""
    found = Found()
    order = itertools.count()
    # (time, order, slot, round, epoch, seconds of an epoch); epoch 0 is a slot without a trial.
    events = [(0.0, next(order), slot, 0, 0, 0.0) for slot in range(slots)]
    free = 0.0
    while events:
        now, _, slot, turn, epoch, seconds = heapq.heappop(events)
        started = max(now, free)
        took = extra + (services.begin(slot) if epoch == 0 else services.epoch(slot, epoch))
        starts_next = epoch == EPOCHS and turn + 1 < ROUNDS
        if starts_next:
            took += extra + services.begin(slot)
        free = started + took
        if turn > 0:
            found.busy += took
            found.lost += free - now
        if epoch == 0:
            found.filled = max(found.filled, free)
        if epoch == EPOCHS and not starts_next:
            continue
        if starts_next:
            found.for_next.append(free - now)
            turn, epoch = turn + 1, 0
        if epoch == 0:
            seconds = EPOCH_SECONDS * chance.lognormvariate(0.0, SPREAD)
        length = seconds * chance.uniform(0.95, 1.05)
        if turn > 0:
            found.trained += length
        heapq.heappush(events, (free + length, next(order), slot, turn, epoch + 1, seconds))
    # The first round is not counted, and the load of the driver decreases while the last trials end.
    found.span = max(found.trained / slots, 1e-9)
    return found


def measured(
    method: str, slots: int, folder: Path, *, record: bool, extra: float, clock: Callable[[], float]
) -> dict[str, Any]:
    """Simulate with the real ledger; return the result and every service time."""
    import optuna

    from sweeps.core.identity import Identifier
    from sweeps.core.results import EpochResult
    from sweeps.core.trial import Outcome, TrialMessage, TrialRecord
    from sweeps.driver.plan import plan_of_sweep
    from sweeps.files.sweep import load_spec
    from sweeps.record.parent_run import RecordedStudy
    from sweeps.record.sweep_progress import Objective
    from sweeps.record.writer import Tracker
    from sweeps.search.ledger import Ledger
    from sweeps.search.opening import open_study
    from sweeps.search.state import SweepState
    from sweeps.store.folder import SweepFolder

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = sweep_file(folder, method=method, trials=10**6, epochs=EPOCHS, early="none", backend="inline")
    spec = load_spec(file)
    plan = plan_of_sweep(spec)
    sweep = SweepFolder(folder / "runs", plan.name)
    times: dict[str, list[float]] = {"begin": [], "epoch": [], "end": []}
    held: dict[int, TrialRecord] = {}
    with sweep.locked():
        pruner = plan.early_terminate.pruner(epochs=plan.epochs)
        study = open_study(sweep, definition=plan.definition, metric=plan.metric, pruner=pruner, new=False)
        identify = Identifier(data_fingerprint="")
        state = SweepState(sweep=plan.name, metric=plan.metric.name, maximize=True)
        tracker = (
            Tracker(
                RecordedStudy(sweep=plan.name, name=study.study_name),
                runs=sweep.runs,
                environment={},
                objective=Objective(plan.metric.name, maximize=True),
            )
            if record
            else None
        )

        ledger = Ledger(
            study,
            sweep=plan.name,
            metric=plan.metric.name,
            proposer=plan.proposer(lambda config: identify(config).key),
            run_cap=None,
            identify=identify,
        )
        ledger.observe(state.enter)
        if tracker is not None:
            ledger.observe(tracker.write)

        def timed(kind: str, work: Callable[[], object]) -> float:
            started = clock()
            work()
            times[kind].append(clock() - started)
            return times[kind][-1]

        def begin(slot: int) -> float:
            def work() -> None:
                proposed = ledger.next_trial()
                assert isinstance(proposed, TrialRecord)
                ledger.note(proposed.number, log=f"logs/{proposed.number}.log")
                held[slot] = proposed

            return timed("begin", work)

        def epoch(slot: int, number: int) -> float:
            config = held[slot].config
            accuracy = value_of(config) * (0.5 + 0.5 * number / EPOCHS)
            result = EpochResult(
                epoch=number,
                seconds=30.0,
                finished_at=time.time(),
                metrics={
                    "train_loss": 2.0 - accuracy,
                    "train_accuracy": accuracy,
                    "val_loss": 2.0 - accuracy,
                    "val_accuracy": accuracy,
                    "learning_rate": config.optimizer.lr,
                    "images_per_second": 1500.0,
                },
            )
            message = TrialMessage(
                epoch=result,
                outcome=Outcome.COMPLETE if number == EPOCHS else None,
                parameters=1000,
                environment={"host": f"node{slot // 8}", "device": "cuda (none)", "threads": "1", "torch": "none"},
            )
            kind = "end" if number == EPOCHS else "epoch"
            return timed(kind, lambda: ledger.receive(held[slot].number, message))

        found = simulate(slots, Services(begin, epoch), chance=random.Random(0), extra=extra)
        if tracker is not None:
            # The writer lags far behind the simulated clock, and its folder is deleted next.
            tracker.flush(timeout=3600.0)
            tracker.close()
    return {"found": found, "times": times, "trials": len(ledger.records)}


def largest(times: dict[str, list[float]], *, extra: float) -> tuple[int, Found]:
    """Return the largest number of slots that wait less than 1 % of their time, given measured service times."""
    chance = random.Random(1)
    # Without the first third, which belongs to the slots' first trials.
    late = {kind: found[len(found) // 3 :] for kind, found in times.items()}
    services = Services(
        begin=lambda slot: chance.choice(late["begin"]),
        epoch=lambda slot, number: chance.choice(late["end" if number == EPOCHS else "epoch"]),
    )
    low, high, best = 1, 1 << 16, None
    while high - low > max(1, low // 50):
        slots = (low + high) // 2
        found = simulate(slots, services, chance=random.Random(2), extra=extra)
        if found.share < ENOUGH:
            low, best = slots, found
        else:
            high = slots
    assert best is not None
    return low, best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--methods", nargs="+", default=["random", "bayes"])
    parser.add_argument("--record", action="store_true", help="also run MLflow's writer")
    parser.add_argument("--tune-ms", type=float, nargs="+", default=[0.0], help="Ray Tune's time per event, in ms")
    parser.add_argument(
        "--clock",
        choices=["wall", "processor"],
        default="wall",
        help="`processor` for a busy machine; add the time of the disk to --tune-ms then",
    )
    parser.add_argument("--out", type=Path, help="JSON file for the service times")
    options = parser.parse_args()
    for method in options.methods:
        with tempfile.TemporaryDirectory() as folder:
            extra = options.tune_ms[0] / 1000
            result = measured(
                method, options.slots, Path(folder), record=options.record, extra=extra, clock=CLOCKS[options.clock]
            )
        times = result["times"]
        print(f"\n{method}, {options.slots:,} slots, {result['trials']:,} trials: {result['found']}")
        for kind, found in times.items():
            late = [1000 * each for each in found[len(found) // 3 :]]
            print(f"  {kind}: {statistics.mean(late):.1f} ms (median {statistics.median(late):.1f})")
        for milliseconds in options.tune_ms:
            slots, at = largest(times, extra=milliseconds / 1000)
            print(
                f"  with {milliseconds:g} ms per event for Ray Tune, {slots:,} slots wait less than 1 %: {at}",
                flush=True,
            )
        if options.out:
            options.out.with_suffix(f".{method}.json").write_text(json.dumps(times), encoding="utf-8")


if __name__ == "__main__":
    main()
