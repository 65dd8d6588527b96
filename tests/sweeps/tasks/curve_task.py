"""A minimal task with only the required members of `sweeps.core.task`. Its loss is a formula; it needs no library."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from cifar_core.common.checksum_file import verified_payload, write_with_checksum
from cifar_core.common.errors import CheckpointError
from cifar_core.common.files import read_file
from sweeps.core.results import EpochResult
from sweeps.core.task import OnStep, Task, Training
from sweeps.tasks.plain_config import PlainConfig


class CurveConfig(PlainConfig):
    train: Literal["curve"] = "curve"
    rate: float = 0.1


class CurveTraining(Training):
    def __init__(self, config: CurveConfig, *, history: Sequence[EpochResult] = ()) -> None:
        self._config = config
        self._history = list(history)

    @property
    def history(self) -> Sequence[EpochResult]:
        return self._history

    def epochs(self, *, on_step: OnStep) -> Iterator[EpochResult]:
        while len(self._history) < self._config.epochs:
            epoch = len(self._history) + 1
            loss = abs(self._config.rate - 0.1) + (1 + self._config.seed % 7 / 100) / epoch
            self._history.append(
                EpochResult(epoch=epoch, seconds=0.001, finished_at=time.time(), metrics={"loss": loss})
            )
            yield self._history[-1]

    def save(self, path: Path) -> None:
        content = {
            "config": self._config.model_dump(mode="json"),
            "history": [result.as_dict() for result in self._history],
        }
        write_with_checksum(path, json.dumps(content).encode())


class CurveTask(Task[CurveConfig]):
    name = "curve"
    config_type = CurveConfig

    def start(self, config: CurveConfig, part: Any, *, device: str) -> CurveTraining:
        return CurveTraining(config)

    def load(self, path: Path, config: CurveConfig, part: Any, *, device: str) -> CurveTraining:
        stored = _read(path)
        if stored["config"] != config.model_dump(mode="json"):
            raise CheckpointError(f"{path} is of another configuration. Delete it")
        return CurveTraining(config, history=[EpochResult.from_dict(each) for each in stored["history"]])

    def is_complete(self, checkpoint: Path) -> bool:
        stored = _read(checkpoint)
        return bool(len(stored["history"]) == stored["config"]["epochs"])


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(verified_payload(read_file(path)))
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read ({error}): delete it") from error
    return content
