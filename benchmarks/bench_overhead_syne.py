"""A search with Syne Tune's local backend. `bench_overhead.py` runs it in Syne Tune's environment.

Called with the trial's arguments (`--x 0.5 …`) the same file is the trial.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path


def trial() -> None:
    """Run one trial."""
    from syne_tune import Reporter
    from trial_of_seconds import sleep_and_note

    parser = argparse.ArgumentParser()
    for name, kind in (("x", float), ("seconds", float), ("times", str)):
        parser.add_argument(f"--{name}", type=kind)
    options, _ = parser.parse_known_args()
    sleep_and_note(options.seconds, options.times)
    Reporter()(loss=options.x)


def search(folder: Path, seconds: float, trials: int, slots: int) -> None:
    """Run the search. The tuner looks for results every 0.1 s; 5 s is its default."""
    from syne_tune import StoppingCriterion, Tuner
    from syne_tune.backend import LocalBackend
    from syne_tune.config_space import uniform
    from syne_tune.optimizer.baselines import RandomSearch

    space = {"x": uniform(0, 1), "seconds": seconds, "times": str(folder / "times")}
    Tuner(
        trial_backend=LocalBackend(entry_point=__file__),
        scheduler=RandomSearch(space, metrics=["loss"], do_minimize=True),
        stop_criterion=StoppingCriterion(max_num_trials_completed=trials),
        n_workers=slots,
        sleep_time=0.1,
        save_tuner=False,
    ).run()


if __name__ == "__main__":
    if any(word.startswith("--") for word in sys.argv[1:]):
        trial()
    else:
        logging.disable(logging.WARNING)
        search(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
