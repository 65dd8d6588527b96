"""A trial that sleeps, as a training function of this project and for the tools that it is compared with.

It appends its first and its last moment to a file, from which all tools are measured alike.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def sleep_and_note(seconds: float, times: str) -> None:
    """Sleep, and append a line with both moments in seconds since 1970."""
    begin = time.time()
    time.sleep(seconds)
    file = os.open(times, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{begin} {time.time()}\n".encode())
    os.close(file)


def train(trial: Any, *, x: float, seconds: float, times: str) -> dict[str, float]:
    """Train one trial without epochs."""
    sleep_and_note(seconds, times)
    return {"loss": x}


def train_epochs(trial: Any, *, x: float, seconds: float, times: str, epochs: int) -> Iterator[dict[str, float]]:
    """Train epochs of `seconds` each. Early stopping pauses it, and it resumes from its last epoch."""
    trial.load()
    with Path(f"{times}-starts").open("a", encoding="ascii") as file:
        file.write(f"{trial.epoch}\n")
    for epoch in range(trial.epoch, epochs):
        sleep_and_note(seconds, times)
        trial.save(epoch)
        yield {"loss": x / (epoch + 1)}


def moments(times: Path) -> list[tuple[float, float]]:
    """Return first and last moment of each trial in the file, in the order of the first."""
    return sorted(tuple(map(float, line.split())) for line in times.read_text(encoding="ascii").splitlines())  # type: ignore[misc]
