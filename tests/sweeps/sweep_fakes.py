"""Small sweeps, and epochs made by hand, for tests that train nothing or next to nothing."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import yaml
from click.testing import Result

from cifar_core.config import TrainingConfig
from sweeps.core.identity import Identifier
from sweeps.core.results import EpochResult
from sweeps.core.trial import TrialRecord
from sweeps.driver.plan import plan_of_sweep
from sweeps.files.sweep import SweepSpec
from sweeps.search.ledger import Exhausted, Ledger
from sweeps.search.opening import open_study
from sweeps.search.proposers import Proposer
from sweeps.search.reuse import RecordedResults
from sweeps.store.folder import SweepFolder

Cli = Callable[..., Result]
MadeOnce = Callable[[str, Callable[[Path], object]], Path]
"""Has a folder made once for all processes that the tests run in."""
Record = Callable[..., Path]
"""Carries out verbs in a new runs folder within a folder, and returns it."""
Doctor = Callable[..., dict[str, list[str]]]
"""Runs `sweeps doctor` and returns its lines by their verdict."""


TINY: dict[str, Any] = {
    "name": "tiny",
    "method": "random",
    "run_cap": 2,
    "base": {
        "epochs": 2,
        "model": {"name": "simple", "width": 4},
        "data": {"train_size": 300, "validation_size": 200, "batch_size": 32, "normalization": "cifar10"},
    },
    "parameters": {"optimizer.lr": {"values": [0.01, 0.02, 0.03, 0.05]}},
}
"""A sweep whose trials train in a tenth of a second, too short to learn: none has a rank."""
LEARNING: dict[str, Any] = TINY["base"] | {"model": {"name": "simple", "width": 16}, "optimizer": {"momentum": 0.9}}
"""The same with a network that can be told from chance, at rates from 0.01 to 0.05."""


def tiny(**changes: Any) -> dict[str, Any]:
    """Return the content of a sweep's file with some keys changed; None takes a key away."""
    content = deepcopy(TINY) | changes
    return {key: value for key, value in content.items() if value is not None}


def write_yaml(folder: Path, content: Mapping[str, Any], *, name: str = "sweep.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")
    return path


def epoch_with(number: int, *, seconds: float = 1.0, finished_at: float = 0.0, **metrics: float | None) -> EpochResult:
    """Return an epoch of these metrics; None for one that was not measured."""
    measured = {name: value for name, value in metrics.items() if value is not None}
    return EpochResult(epoch=number, seconds=seconds, finished_at=finished_at, metrics=measured)


def epoch(number: int, accuracy: float) -> EpochResult:
    """Return an epoch of which only the validation accuracy matters."""
    return EpochResult(
        epoch=number,
        seconds=1.0,
        finished_at=1_800_000_000.0 + number,
        metrics={
            "train_loss": 2.0,
            "train_accuracy": 0.2,
            "val_loss": 1.0 - accuracy,
            "val_accuracy": accuracy,
            "learning_rate": 0.01,
            "images_per_second": 100.0,
        },
    )


@dataclass(kw_only=True)
class Book:
    """A ledger over a real journal, which can be closed and opened again as another driver would."""

    runs: Path
    spec: SweepSpec
    proposer: Callable[[], Proposer] | None = None
    recorded: RecordedResults | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> SweepFolder:
        return SweepFolder(self.runs, self.spec.name)

    def study(self, *, new: bool = False, widen: bool = False) -> optuna.Study:
        """Return the study in the journal as the next driver opens it."""
        plan = plan_of_sweep(self.spec)
        self.folder.path.mkdir(parents=True, exist_ok=True)
        return open_study(
            self.folder,
            definition=plan.definition,
            metric=plan.metric,
            pruner=plan.early_terminate.pruner(epochs=plan.epochs),
            new=new,
            widen=widen,
        )

    def open(self, *, study: optuna.Study | None = None, **options: Any) -> Ledger:
        """Return the ledger as the next driver finds it; over another study, such as one in memory, where given."""
        plan = plan_of_sweep(self.spec)
        settings: dict[str, Any] = {
            "sweep": self.spec.name,
            "metric": self.spec.metric.name,
            "proposer": self.proposer() if self.proposer else plan.proposer(key_of),
            "run_cap": self.spec.run_cap,
            "identify": IDENTIFY,
            "recorded": self.recorded,
        }
        study = study or self.study()
        return Ledger(study, **{"pausing": plan.pausing(study, self.folder.runs)} | settings | self.options | options)


IDENTIFY = Identifier(data_fingerprint="")


def key_of(config: TrainingConfig) -> str:
    return IDENTIFY(config).key


def book(runs: Path, **changes: Any) -> Book:
    return Book(runs=runs, spec=SweepSpec.model_validate(tiny(**changes)))


def next_trial(ledger: Ledger) -> TrialRecord:
    """Return the next trial where there surely is one."""
    proposed = ledger.next_trial()
    assert proposed is not None
    assert not isinstance(proposed, Exhausted)
    return proposed


OWN_NET = """
import os, signal
from pathlib import Path
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.layer = nn.Linear(3 * 32 * 32, num_classes)
        self.batches = 0

    def forward(self, images):
        self.batches += self.training
        if self.batches == 15:  # of 10 an epoch: in the middle of the second
            {hook}
        return self.layer(images.flatten(1))
"""


def own_net(folder: Path, *, module: str, hook: str) -> dict[str, Any]:
    """Write a network that does something in the middle of its second epoch; return the `base` that trains it."""
    (folder / f"{module}.py").write_text(OWN_NET.format(hook=hook), encoding="utf-8")
    base: dict[str, Any] = deepcopy(TINY["base"])
    return base | {"model": {"name": f"{module}:Net"}, "epochs": 3}


def once(marker: Path, action: str) -> str:
    """Return a line of Python that acts unless it has acted before, in whatever process."""
    return f"if not Path({str(marker)!r}).exists(): Path({str(marker)!r}).touch(); {action}"


@dataclass(frozen=True, kw_only=True)
class Written:
    """One MLflow run as the database holds it."""

    run_id: str
    name: str
    status: str
    tags: dict[str, str]
    steps: dict[str, list[int]]
    """For each metric with a history, its steps in order."""


def written(runs: Path, *, sweep: str = "tiny", kind: str = "trial") -> list[Written]:
    """Return the runs of a sweep from MLflow's tables, in the order of their trials."""
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
        found = []
        query = "SELECT run_uuid, name, status FROM runs WHERE lifecycle_stage = 'active'"
        for run_id, name, status in database.execute(query):
            tags = dict(database.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run_id,)))
            steps: dict[str, list[int]] = {}
            history = "SELECT key, step FROM metrics WHERE run_uuid = ? ORDER BY step"
            for metric, step in database.execute(history, (run_id,)):
                steps.setdefault(metric, []).append(step)
            if (tags.get("sweep"), tags.get("kind")) == (sweep, kind):
                found.append(Written(run_id=run_id, name=name, status=status, tags=tags, steps=steps))
    return sorted(found, key=lambda run: int(run.tags.get("trial", 0)))


def outcomes(runs: Path, *, sweep: str = "tiny") -> list[tuple[str, str]]:
    return [(run.status, run.tags["outcome"]) for run in written(runs, sweep=sweep)]


def without_page(arguments: Sequence[object]) -> list[str]:
    """Return the words of a command; one that would leave a page leaves none, unless it says `--report`.

    Pictures and page take longer than all else of a run that trains nothing.
    """
    words = [str(argument) for argument in arguments]
    leaves_one = bool(words) and words[0] in ("run", "ladder", "replicate", "ablate")
    return [*words, "--no-report"] if leaves_one and not {"--report", "--help"} & {*words} else words


def sweeps_process(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    """Start the command line in a process group of its own, as a terminal does, and as `without_page` says."""
    command = [sys.executable, "-c", "from sweeps.cli.main import main; main()", *without_page(arguments)]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return the content of every file in a folder by its name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def fill_disk(disk: Path) -> Path:
    """Leave no room on a disk; return the file whose deletion gives it back."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler
