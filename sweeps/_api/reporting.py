"""`sweeps.report` and `sweeps.resumed`, for the scripts that a sweep runs. They import the standard library alone."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, overload

_counted: int | None = None
"""The epoch of the last report without one; None before `resumed` was called."""


@overload
def report(sweep: str, *, out: str | Path | None = None, runs: str | Path = "runs") -> Path: ...
@overload
def report(*, epoch: int | None = None, **values: float) -> None: ...
def report(*sweep: str, **values: Any) -> Path | None:
    """Report numbers of an epoch from a script that a sweep runs; with a sweep's name, write its HTML page.

    Outside of a sweep the numbers are printed.

    Args:
        sweep: its name.
        values: numbers by name, among them the metric of the sweep, and `epoch`, the number of the epoch, for a script
            that continues after an interruption. With a sweep's name: `out`, the file of the page, and `runs`, the
            runs folder.

    Raises:
        TypeError: a value is not a number.
        NoSuchSweepError: there is no sweep of this name.

    Example:
        >>> sweeps.report(epoch=3, val_loss=0.25)
        >>> sweeps.report("quick")
        PosixPath('runs/reports/quick.html')
    """
    if sweep or isinstance(values.get("sweep"), str):
        from sweeps._api.verbs import report as write_page

        return write_page(*sweep, **values)
    global _counted
    epoch = values.pop("epoch", None)
    if epoch is None and _counted is not None:
        epoch = _counted = _counted + 1
    numbers = {} if epoch is None else {"epoch": _number("epoch", epoch)}
    numbers |= {name: _number(name, value) for name, value in values.items()}
    pipe = os.environ.get("SWEEPS_REPORT")
    if pipe is None:
        print(", ".join(f"{name} {value:g}" for name, value in numbers.items()), flush=True)
        return None
    with Path(pipe).open("w", encoding="utf-8") as file:
        file.write(json.dumps(numbers) + "\n")
    if os.environ.get("SWEEPS_METRIC") in numbers:
        _pause()
    return None


_results = 0
"""Results of this process."""


def _pause() -> None:
    """Do not continue after a number of results: `sweeps check` interrupts a script there."""
    global _results
    _results += 1
    while _results == int(os.environ.get("SWEEPS_PAUSED", "0")):
        time.sleep(1)


def resumed() -> int:
    """Return the number of epochs that this trial has reported before it was interrupted; 0 at its first start.

    A script that calls it continues at the next epoch, usually from a file in the folder `SWEEPS_TRIAL_DIR`.

    Example:
        >>> for epoch in range(sweeps.resumed(), 10): ...
    """
    global _counted
    epochs = int(os.environ.get("SWEEPS_EPOCH", "0"))
    _counted = epochs if _counted is None else _counted
    return epochs


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"sweeps.report({name}={value!r}): report numbers, such as {name}=0.5") from None
    return int(number) if number.is_integer() and name == "epoch" else number
