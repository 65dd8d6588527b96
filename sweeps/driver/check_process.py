"""The process of `sweeps check` that trains: it runs trials as a worker does, and reports what it observes."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cifar_core.common.errors import UserError
from sweeps.core.job import Job
from sweeps.core.task import AnyTask
from sweeps.core.trial import Outcome
from sweeps.driver.check_watch import FileWatch, changed_between, process_state
from sweeps.system.compat import guard_exit
from sweeps.tasks.registry import read_config, task_named
from sweeps.tasks.sources import TaskSources
from sweeps.worker.session import TrialSession

_PROGRAM = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from sweeps.driver.check_process import main; main()"
)


@dataclass(frozen=True, kw_only=True)
class Order:
    """One training for the process."""

    config: str
    """As JSON."""
    folder: str
    """For its checkpoint and its log; not empty if it is resumed."""
    copy_to: str | None = None
    """Folder for a copy of `folder` after the first epoch, as an interruption would leave it."""
    stops_after: int | None = None
    """Number of epochs after which it is stopped; None for never."""


@dataclass
class Trained:
    """The observations of one training."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    """The metrics of each epoch, those before an interruption included."""
    seconds: list[float] = field(default_factory=list)
    """Of each epoch."""
    outcome: str | None = None
    error: str | None = None
    error_class: str | None = None
    traceback: str | None = None
    seals_data: bool = False
    """Whether a part of the data was withheld from it."""
    changed_state: list[str] = field(default_factory=list)
    """Parts of the process that are different afterwards."""


@dataclass
class Observed:
    """The observations of one process."""

    trainings: list[Trained] = field(default_factory=list)
    memory_bytes: int = 0
    """Largest memory of the process, or of one that a program started."""
    gpu_bytes: int = 0
    """Largest memory of its tensors on the GPU, if the training uses torch."""
    written: dict[str, str] = field(default_factory=dict)
    """Path of each file outside of its folders that it wrote, to the line of user code."""
    ended: str | None = None
    """Why the process ended before its last training; None if it did not."""

    def training(self, index: int) -> Trained:
        """Return a training; one without epochs if the process ended before it."""
        found = self.trainings[index] if index < len(self.trainings) else Trained()
        return found if found.outcome is not None else replace(found, error=self.ended)


def observe(
    task: AnyTask,
    orders: Sequence[Order],
    *,
    scratch: Path,
    cpus: int,
    device: str,
    hash_seed: int = 0,
    watches_files: bool = False,
    on_epoch: Callable[[], None] = lambda: None,
) -> Observed:
    """Run trainings one after the other in a new process, and return the observations.

    Args:
        task: of the trainings.
        orders: the trainings.
        scratch: folder of the check, the only one in which writes are expected.
        cpus: cores of a trial.
        device: `cpu` or `cuda`.
        hash_seed: seed of the hashes of texts, which decides the order of sets.
        watches_files: note writes outside of `scratch`.
        on_epoch: called after each epoch.
    """
    temporary = scratch / TEMPORARY
    temporary.mkdir(exist_ok=True)
    reading, writing = os.pipe()
    request = {
        "task": task.name,
        "orders": [asdict(order) for order in orders],
        "cpus": cpus,
        "device": device,
        "answers": writing,
        "allowed": [str(scratch) + os.sep, *map(str, _hidden_folders())] if watches_files else None,
    }
    variables = os.environ | {"PYTHONHASHSEED": str(hash_seed), "TMPDIR": str(temporary)}
    if orders[0].stops_after is not None:
        variables[PAUSED] = str(orders[0].stops_after)
    observed = Observed()
    errors = scratch / "errors.log"
    with errors.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            env=variables,
            pass_fds=(writing,),
        )
    os.close(writing)
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps(request).encode("utf-8"))
        with os.fdopen(reading, encoding="utf-8") as answers:
            for line in answers:
                _take(json.loads(line), observed)
                on_epoch()
        status = process.wait()
    finally:
        process.kill()
        process.wait()
    if status:
        lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        how = f"signal {-status}" if status < 0 else f"exit code {status}"
        observed.ended = f"its process ended with {how}" + (f": {lines[-1]}" if lines else "")
    return observed


PAUSED = "SWEEPS_PAUSED"
"""Environment variable with the number of results after which a script waits, so that it is stopped there."""
TEMPORARY = "tmp"
"""Folder in the scratch folder for the temporary files of the process."""


def _hidden_folders() -> Iterator[str]:
    """Yield the beginnings of paths in the home folder in which libraries keep caches and settings."""
    with contextlib.suppress(RuntimeError):
        yield f"{Path.home()}{os.sep}."


def _take(answer: dict[str, Any], observed: Observed) -> None:
    """Add an answer of the process to the observations."""
    if "training" in answer:
        index = answer["training"]
        if index == len(observed.trainings):
            observed.trainings.append(Trained())
        training = observed.trainings[index]
        if "epoch" in answer:
            training.epochs.append(answer["epoch"])
            training.seconds.append(answer["seconds"])
        for name in ("seals_data", "outcome", "error", "error_class", "traceback", "changed_state"):
            setattr(training, name, answer.get(name, getattr(training, name)))
    else:
        for name, value in answer.items():
            setattr(observed, name, value)


def main() -> None:
    """Run the trainings that standard input describes, and write an answer in JSON on a line as soon as it is known."""
    request = json.load(sys.stdin)
    guard_exit()
    task = task_named(request["task"])
    watch = FileWatch(allowed=request["allowed"] or ())
    if request["allowed"] is not None:
        watch.start()
    with os.fdopen(request["answers"], "w", encoding="utf-8") as answers:

        def tell(**answer: Any) -> None:
            answers.write(json.dumps(answer) + "\n")
            answers.flush()

        for index, order in enumerate(request["orders"]):
            before = process_state()
            memory = _train(task, Order(**order), request, tell=functools.partial(tell, training=index))
            tell(training=index, changed_state=changed_between(before, process_state()))
            tell(written=watch.written, memory_bytes=memory or _memory(), gpu_bytes=_gpu_memory())


def _train(task: AnyTask, order: Order, request: dict[str, Any], *, tell: Callable[..., None]) -> int | None:
    """Train, and return the largest memory of the processes that the training started; None if it started none."""
    config = read_config(order.config)
    source = TaskSources(task).of(config)
    job = Job(
        number=0,
        task=task.name,
        config=order.config,
        checkpoint=order.folder,
        log=str(Path(order.folder) / "trial.log"),
        cpus=request["cpus"],
        device=request["device"],
        source=None if source is None else json.dumps(dict(source.files)),
        gpu_share=1.0 if request["device"] == "cuda" else 0.0,
    )
    tell()
    try:
        parts = task.load_parts([config])
        tell(seals_data=task.seals_data(config))
    except UserError as error:
        tell(outcome=Outcome.FAILED.value, error=str(error), error_class=type(error).__name__)
        return None
    session = TrialSession(job, parts)
    while True:
        message = session.step()
        if message.epoch is not None:
            tell(epoch=dict(message.epoch.metrics), seconds=message.epoch.seconds)
            if order.copy_to is not None and message.epoch.epoch == 1:
                shutil.copytree(order.folder, order.copy_to)
            if message.epoch.epoch == order.stops_after:
                session.close()
                tell(outcome=Outcome.INTERRUPTED.value)
                break
        if message.outcome is not None:
            tell(
                outcome=message.outcome.value,
                error=message.error,
                error_class=message.error_class,
                traceback=message.traceback,
            )
            break
    memory = session.memory_bytes
    del session
    task.free_memory()
    return memory


def _memory() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def _gpu_memory() -> int:
    torch = sys.modules.get("torch")
    is_used = torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
    return int(torch.cuda.max_memory_allocated()) if torch is not None and is_used else 0
