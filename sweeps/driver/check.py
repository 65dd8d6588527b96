"""Check on a small budget that a training keeps the contract of a trial, each training in a process like a worker's.

Four processes train for a few epochs:

1. the first configuration, watched for files that it writes; its folder is copied after the first epoch
2. the same again, under other hashes of texts
3. resumed from the copy, as after an interruption; a program is stopped after its first result instead
4. under another seed, then another configuration, then the first one once more; a program only under another seed
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from sweeps.backends.slots import local_slots
from sweeps.core.errors import SweepError
from sweeps.core.formatting import bytes_in_words, duration, listed, plural
from sweeps.core.task import LAST_SEED, AnyTask, TaskConfig
from sweeps.core.trial import Outcome
from sweeps.driver.check_advice import Advice, advice_for
from sweeps.driver.check_process import TEMPORARY, Observed, Order, Trained, observe
from sweeps.driver.check_watch import WORKING_FOLDER, changed_between, files_of
from sweeps.driver.estimate import expected_epochs, preview, trial_count
from sweeps.driver.rerun import MACHINE_METRIC
from sweeps.files.ladder_file import is_ladder, load_ladder
from sweeps.files.settings import Limits, Resources
from sweeps.files.sweep import load_spec
from sweeps.files.yaml_file import read_yaml
from sweeps.system.machine import local_gpus
from sweeps.tasks.program.reports import starts_again
from sweeps.tasks.program.training import REPORTS
from sweeps.tasks.registry import task_of

EPOCHS = 3
"""Epochs of each training: one before the interruption, and more than one after it."""
EXAMPLES = 1_000
"""Largest number of training examples of each epoch, for a task with examples."""
_SHOWN = 3
"""Largest number of listed files."""


class Verdict(StrEnum):
    """The result of checking one promise."""

    OK = "ok"
    FAILED = "FAILED"
    SKIPPED = "skipped"
    """It does not apply, or could not be tried because of another failure."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """The result of one promise."""

    promise: str
    """Short name, such as `same_seed`."""
    title: str
    verdict: Verdict
    text: str
    """Observation and, after a failure, what to do."""


@dataclass(kw_only=True)
class Check:
    """A check of one training, which yields its lines as soon as they are known."""

    label: str
    """Name of the trained code."""
    task: AnyTask
    first: TaskConfig
    other: TaskConfig
    """Another configuration of the file; the first under another seed if there is none."""
    metric: str | None
    """The metric of the search; None for a ladder of networks."""
    resources: Resources
    limits: Limits = field(default_factory=Limits)
    trial_epochs: float = 0
    """Epochs of all trials of the file; 0 for networks, whose data is reduced here, and if unknown."""
    ignored: Collection[str] = ()
    """Metrics that are not compared, such as durations."""
    on_stage: Callable[[str], None] = lambda text: None
    """Called with a description of what is trained now."""
    lines: list[Line] = field(default_factory=list)
    seconds_per_epoch: float | None = None
    memory_bytes: int | None = None
    gpu_bytes: int | None = None

    @property
    def has_failed(self) -> bool:
        return any(line.verdict is Verdict.FAILED for line in self.lines)

    def run(self) -> Iterator[Line]:
        """Train, and yield each result."""
        with tempfile.TemporaryDirectory(prefix="sweeps-check-") as scratch:
            for line in self._results(Path(scratch).resolve()):
                self.lines.append(line)
                yield line

    def report(self) -> dict[str, Any]:
        """Return the lines and the measurements for JSON."""
        return {
            "code": self.label,
            "ok": not self.has_failed,
            "epochs": self.first.epochs,
            "seconds_per_epoch": self.seconds_per_epoch,
            "memory_bytes": self.memory_bytes,
            "gpu_bytes": self.gpu_bytes,
            "promises": [
                {"promise": line.promise, "verdict": line.verdict.value, "text": line.text} for line in self.lines
            ],
        }

    def _results(self, scratch: Path) -> Iterator[Line]:
        epochs = self.first.epochs
        copy = scratch / "interrupted"
        self.on_stage(f"training {plural(epochs, 'epoch')}")
        before = files_of(Path.cwd(), without=[scratch])
        copied = str(copy) if self.task.shares_process else None
        observed = self._observe(scratch, [Order(config=_text(self.first), folder=_folder(scratch, 0), copy_to=copied)])
        after = files_of(Path.cwd(), without=[scratch])
        first = observed.training(0)
        yield self._numbers(first)
        yield _test_part(self.task, first)
        if not first.epochs:
            return
        self._measure(first, observed)
        yield self._files(observed, changed_between(before, after), left=files_of(scratch / TEMPORARY))
        if first.outcome != Outcome.COMPLETE:
            return
        self.on_stage("training again with the same seed")
        again = self._again(scratch, 1, hash_seed=1)
        same_hashes = self._again(scratch, 2, hash_seed=0) if _difference(first, again, self._skipped) else again
        yield self._same_seed(first, again, same_hashes)
        if _difference(first, same_hashes, self._skipped) is not None:
            for promise, title in ((RESUMES, _RESUMED), (OTHER_SEED, _OTHER), (PROCESS, _ISOLATED)):
                if promise != PROCESS or self.task.shares_process:
                    yield _line(promise, title, Verdict.SKIPPED, "needs equal numbers under one seed")
            yield self._cost()
            return
        if epochs == 1:
            yield _line(RESUMES, _RESUMED, Verdict.SKIPPED, "it has one epoch")
        else:
            self.on_stage("resuming after one epoch")
            if not self.task.shares_process:  # a program runs ahead of its reports
                # After two results: many scripts write the checkpoint of an epoch after its report.
                stopped = Order(config=_text(self.first), folder=str(copy), stops_after=min(2, epochs - 1))
                observe(self.task, [stopped], **self._how(scratch))
            resumed = observe(self.task, [Order(config=_text(self.first), folder=str(copy))], **self._how(scratch))
            yield self._resumes(first, resumed.training(0), reports=copy / REPORTS)
        seeded = self.first.model_copy(update={"seed": _next_seed(self.first)})
        configs = [seeded, self.other, self.first] if self.task.shares_process else [seeded]
        others = ", another configuration, and the first again in one process" if self.task.shares_process else ""
        self.on_stage(f"training with another seed{others}")
        orders = [
            Order(config=_text(config), folder=_folder(scratch, 3 + index)) for index, config in enumerate(configs)
        ]
        together = self._observe(scratch, orders)
        yield self._other_seed(first, together.training(0))
        if self.task.shares_process:
            yield self._leaves_nothing(first, together)
        yield self._cost()

    @property
    def _advice(self) -> Advice:
        return advice_for(self.task.code_kind)

    @property
    def _skipped(self) -> Collection[str]:
        return {*self.ignored, MACHINE_METRIC}

    def _how(self, scratch: Path) -> dict[str, Any]:
        takes_gpu = self.resources.gpus_per_trial != 0 and local_gpus() > 0
        return {"scratch": scratch, "cpus": self.resources.cpus_per_trial, "device": "cuda" if takes_gpu else "cpu"}

    def _observe(self, scratch: Path, orders: Sequence[Order]) -> Observed:
        return observe(self.task, orders, **self._how(scratch), watches_files=len(orders) == 1)

    def _again(self, scratch: Path, number: int, *, hash_seed: int) -> Trained:
        order = Order(config=_text(self.first), folder=_folder(scratch, number))
        return observe(self.task, [order], **self._how(scratch), hash_seed=hash_seed).training(0)

    def _measure(self, first: Trained, observed: Observed) -> None:
        self.seconds_per_epoch = statistics.median(first.seconds[1:] or first.seconds)
        self.memory_bytes, self.gpu_bytes = observed.memory_bytes, observed.gpu_bytes or None

    def _numbers(self, first: Trained) -> Line:
        title = "trains, with finite numbers"
        if first.error_class == SEALED:
            return _line(NUMBERS, title, Verdict.SKIPPED, "it read the test part")
        if first.outcome != Outcome.COMPLETE:
            cause = first.traceback or first.error or "it ended without a result"
            after = f" after {plural(len(first.epochs), 'epoch')}" if first.epochs else ""
            return _line(NUMBERS, title, Verdict.FAILED, f"it failed{after}: {_indented(cause)}")
        names = list(first.epochs[0])
        if self.metric is not None and self.metric not in names:
            return _line(
                NUMBERS,
                title,
                Verdict.FAILED,
                f"it yields {', '.join(names)}, and the file's metric.name is {self.metric}. Yield it, or change the "
                "file",
            )
        return _line(NUMBERS, title, Verdict.OK, f"{', '.join(names)} in {plural(len(first.epochs), 'epoch')}")

    def _same_seed(self, first: Trained, again: Trained, same_hashes: Trained) -> Line:
        title = "same seed, same numbers"
        found = _difference(first, again, self._skipped)
        if found is None:
            return _line(SAME_SEED, title, Verdict.OK, "equal in two processes")
        if _difference(first, same_hashes, self._skipped) is None:
            advice = (
                "The numbers depend on the order of a set, which differs in each process: iterate over sorted(...) "
                "instead"
            )
        else:
            advice = (
                f"{self._advice.seeding}. If {found.metric} measures time, leave it out with --ignore {found.metric}"
            )
        return _line(SAME_SEED, title, Verdict.FAILED, f"{found}. {advice}")

    def _other_seed(self, first: Trained, seeded: Trained) -> Line:
        title = _OTHER
        seeds = f"seeds {self.first.seed} and {_next_seed(self.first)}"
        if seeded.outcome != Outcome.COMPLETE:
            return _line(OTHER_SEED, title, Verdict.FAILED, f"it failed under another seed: {seeded.error}")
        if _difference(first, seeded, self._skipped) is None:
            return _line(
                OTHER_SEED,
                title,
                Verdict.FAILED,
                f"all numbers are equal under {seeds}. {self._advice.seed}",
            )
        return _line(OTHER_SEED, title, Verdict.OK, f"they differ between {seeds}")

    def _resumes(self, first: Trained, resumed: Trained, *, reports: Path) -> Line:
        title = _RESUMED
        found = _difference(first, resumed, self._skipped, labels=("uninterrupted", "resumed after an interruption"))
        if found is not None:
            return _line(RESUMES, title, Verdict.FAILED, f"{found}. {self._advice.state}")
        if not self.task.shares_process:
            again = f". It starts again at its first epoch. {self._advice.saving}" if starts_again(reports) else ""
            return _line(RESUMES, title, Verdict.OK, f"equal after it was stopped{again}")
        if resumed.seconds and len(resumed.seconds) == len(first.seconds) and resumed.seconds[0] != first.seconds[0]:
            return _line(
                RESUMES,
                title,
                Verdict.FAILED,
                f"it started again at epoch 1, since it had saved nothing. {self._advice.saving}",
            )
        return _line(RESUMES, title, Verdict.OK, "equal after an interruption in epoch 2")

    def _files(self, observed: Observed, changed: Sequence[str], *, left: Collection[str]) -> Line:
        title = "writes only to its folder"
        folder = f"{Path.cwd()}/"
        seen = {
            path.removeprefix(folder): f"{path.removeprefix(folder)} ({line})"
            for path, line in observed.written.items()
        }
        outside = [*seen.values(), *(name for name in changed if name not in seen)]
        found = []
        if outside:
            found.append(f"it wrote {listed(outside, most=_SHOWN)}. {self._advice.files}")
        if left:
            found.append(
                f"it left {plural(len(left), 'file')} in the folder for temporary files: {listed(left, most=_SHOWN)}. "
                "Delete them, or write to trial.folder"
            )
        if found:
            return _line(FILES, title, Verdict.FAILED, ". ".join(found))
        return _line(FILES, title, Verdict.OK, "no other file changed")

    def _leaves_nothing(self, first: Trained, together: Observed) -> Line:
        title = _ISOLATED
        found = _difference(first, together.training(2), self._skipped, labels=("alone", "after two other trials"))
        changed = list(dict.fromkeys(name for each in together.trainings[1:] for name in each.changed_state))
        also = f" It also changes {listed(changed, most=_SHOWN)}." if changed else ""
        if found is not None:
            return _line(
                PROCESS,
                title,
                Verdict.FAILED,
                f"{found}. {self._advice.isolation}.{also}",
            )
        moved = [name for each in together.trainings for name in each.changed_state if name == WORKING_FOLDER]
        if moved:
            return _line(
                PROCESS, title, Verdict.FAILED, "it changes the working directory. Use absolute paths, or trial.folder"
            )
        return _line(PROCESS, title, Verdict.OK, f"equal after two other trials.{also}".removesuffix("."))

    def _cost(self) -> Line:
        assert self.seconds_per_epoch is not None
        assert self.memory_bytes is not None
        seconds = (
            f"{1000 * self.seconds_per_epoch:.3g} ms"
            if self.seconds_per_epoch < 1
            else duration(self.seconds_per_epoch)
        )
        examples = self.task.examples(self.first)
        of = f" of {examples:,} examples" if examples else ""
        on_gpu = "" if self.gpu_bytes is None else f", {bytes_in_words(self.gpu_bytes)} on the GPU"
        text = f"{seconds} per epoch{of}, {bytes_in_words(self.memory_bytes)} of memory{on_gpu}"
        if self.trial_epochs:
            slots = local_slots(self.resources, self.limits).count
            total = duration(self.seconds_per_epoch * self.trial_epochs / slots)
            text += f"; about {total} for the {self.trial_epochs:.0f} epochs of all trials on {plural(slots, 'slot')}"
        return _line(COST, "time and memory", Verdict.OK, text)


NUMBERS, SAME_SEED, OTHER_SEED, RESUMES = "numbers", "same_seed", "other_seed", "resumes"
FILES, PROCESS, TEST_PART, COST = "files", "process", "test_part", "cost"
_RESUMED, _OTHER = "interrupted and resumed, same numbers", "another seed, other numbers"
_ISOLATED = "does not affect later trials in its process"
SEALED = "SealedDataError"
"""Class of the error for reading the test part in a training."""


@dataclass(frozen=True, kw_only=True)
class _Difference:
    """The first difference between two trainings."""

    metric: str
    text: str

    def __str__(self) -> str:
        return self.text


def _difference(
    first: Trained,
    second: Trained,
    ignored: Collection[str],
    *,
    labels: tuple[str, str] = ("in one process", "in another"),
) -> _Difference | None:
    """Return the first difference in the metrics of two trainings; None if there is none."""
    if second.outcome != Outcome.COMPLETE:
        return _Difference(
            metric="", text=f"{labels[1]} it failed: {_indented(second.traceback or second.error or '')}"
        )
    for epoch, (one, two) in enumerate(zip(first.epochs, second.epochs, strict=False), start=1):
        for name in (name for name in one if name not in ignored):
            if one[name] != two.get(name):
                text = f"{name} of epoch {epoch} is {one[name]!r} {labels[0]} and {two.get(name)!r} {labels[1]}"
                return _Difference(metric=name, text=text)
    return None


def _test_part(task: AnyTask, first: Trained) -> Line:
    title = "does not read the test part"
    if first.error_class == SEALED:
        return _line(TEST_PART, title, Verdict.FAILED, _indented(first.traceback or first.error or ""))
    if not first.seals_data:
        why = "a program reads its data itself" if not task.shares_process else f"{task.name} declares no data with one"
        return _line(TEST_PART, title, Verdict.SKIPPED, f"not checked, because {why}")
    return _line(TEST_PART, title, Verdict.OK, "it was trained without it")


def _line(promise: str, title: str, verdict: Verdict, text: str) -> Line:
    return Line(promise=promise, title=title, verdict=verdict, text=text)


def _indented(text: str) -> str:
    """Return an error of several lines below the line that introduces it."""
    lines = text.strip().splitlines()
    return lines[0] if len(lines) == 1 else "\n" + "\n".join(f"          {line}" for line in lines)


def _text(config: TaskConfig) -> str:
    return config.model_dump_json()


def _folder(scratch: Path, number: int) -> str:
    return str(scratch / f"trial-{number}")


def _next_seed(config: TaskConfig) -> int:
    return config.seed + 1 if config.seed < LAST_SEED else 0


def check_of_file(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    epochs: int = EPOCHS,
    ignored: Collection[str] = (),
    on_stage: Callable[[str], None] = lambda text: None,
) -> Check:
    """Return the check of the first configuration of a sweep or ladder file. It trains nothing.

    Args:
        path: the file.
        overrides: `path=value` for any key of the file.
        epochs: largest number of epochs of each training.
        ignored: metrics that are not compared.
        on_stage: called with a description of what is trained.

    Raises:
        SweepError: the file is invalid.
    """
    metric: str | None
    trial_epochs = 0.0
    if is_ladder(read_yaml(path, overrides=overrides)):
        ladder = load_ladder(path, overrides=overrides)
        configs = [rung.config for rung in ladder.rungs[:2]]
        metric, resources, limits = None, ladder.resources, ladder.limits
        if ladder.metric is not None:
            metric = ladder.metric.name
            trial_epochs = float(ladder.seeds * sum(rung.config.epochs for rung in ladder.rungs))
    else:
        spec = load_spec(path, overrides=overrides)
        configs = preview(spec, 2)
        metric, resources, limits = spec.metric.name, spec.resources, spec.limits
        if configs and spec.user_code is not None:
            trial_epochs, _ = expected_epochs(configs, trials=trial_count(spec), early=spec.early_terminate)
    if not configs:
        raise SweepError(f"{path}: no combination of the parameters is valid. Change parameters or base.")
    task = task_of(configs[0])
    small = [_reduced(task, config, epochs=epochs) for config in configs]
    other = small[1] if len(small) > 1 else small[0].model_copy(update={"seed": _next_seed(small[0])})
    return Check(
        label=task.label(small[0]),
        task=task,
        first=small[0],
        other=other,
        metric=metric,
        resources=resources,
        limits=limits,
        trial_epochs=trial_epochs,
        ignored=ignored,
        on_stage=on_stage,
    )


def _reduced(task: AnyTask, config: TaskConfig, *, epochs: int) -> TaskConfig:
    reduced: TaskConfig = task.resized(task.limited(config, epochs), EXAMPLES)
    return reduced
