"""The recorded runs of a ladder's rungs, read from the record, budget by budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sweeps.core.errors import RecordError
from sweeps.core.identity import Protocol, replicate_group
from sweeps.core.results import EpochResult
from sweeps.core.trial import MeasuredOn, Outcome
from sweeps.files.budget import BudgetRange
from sweeps.files.difference import changes_between, join_changes
from sweeps.record.table import Row

if TYPE_CHECKING:
    import numpy as np

    from sweeps.record.reader import RecordReader


Recipe = tuple[str, str | None]
"""A configuration's id, and of a network of one's own the hash of its file."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RungRun:
    """One run of one rung. Without a result it carries no numbers."""

    seed: int
    run_id: str
    status: str
    """An `Outcome`, as text."""
    accuracy: float | None = None
    """Share of right answers on the images that its ladder measures on, 0 to 1."""
    correct: np.ndarray | None = None
    """One truth value a test image, in the file's order; of validation images none is recorded."""
    validation_images: int | None = None
    """How many there are, where the accuracy is of these."""
    epochs: tuple[EpochResult, ...] = ()
    parameters_millions: float | None = None
    train_seconds: float | None = None
    images_per_second: float | None = None
    did_not_learn: bool = False
    """Whether its accuracy cannot be told from chance: such a run is compared with nothing."""

    @property
    def images(self) -> int | None:
        """How many images the accuracy is of; None where the record does not say."""
        return self.validation_images if self.correct is None else len(self.correct)


@dataclass(frozen=True, kw_only=True, eq=False)
class RungRuns:
    """The runs of one rung under one budget: one configuration, a run a seed."""

    name: str
    index: int
    """In the ladder's file, counted from 0."""
    parent: str | None
    """The rung that gains are taken against; None for one that the ladder starts with."""
    change: str
    """What differs from the parent, such as `data.batch_size 64 → 256`."""
    reduced: str | None
    """How the budget was cut, None for the full one."""
    budget: BudgetRange | None = None
    """The same in numbers; None where the record does not say."""
    measured_on: MeasuredOn = MeasuredOn.TEST
    recipe: Recipe = ("", None)
    """What is run: equal under all its seeds."""
    split: tuple[int, int] | None = None
    """Of validation images: how many there are, and the seed that chose them. None for test images."""
    runs: tuple[RungRun, ...]
    left_out: int = 0
    """Recorded runs of an earlier configuration of this rung, which are not mixed in."""

    @property
    def measured(self) -> tuple[RungRun, ...]:
        """The runs that have numbers and learned, by seed."""
        return tuple(run for run in self._with_numbers if not run.did_not_learn)

    @property
    def shown(self) -> tuple[RungRun, ...]:
        """The runs whose numbers are shown: where none learned, these."""
        return self.measured or self._with_numbers

    @property
    def _with_numbers(self) -> tuple[RungRun, ...]:
        return tuple(sorted((run for run in self.runs if run.accuracy is not None), key=lambda run: run.seed))

    def is_alike(self, other: RungRuns) -> bool:
        """Return whether both can be of one budget: scaled alike, a step that changes epochs ends at other ones."""
        if self.reduced == other.reduced:
            return True
        return self.budget is not None and other.budget is not None and self.budget.meets(other.budget)

    def parent_among(self, rungs: Iterable[RungRuns]) -> RungRuns | None:
        """Return the rung that this one comes from, as it ran under this budget; None where it did not."""
        found = [each for each in rungs if each.name == self.parent and self.is_alike(each)]
        return min(found, key=lambda each: (each.reduced != self.reduced, abs(each.share - self.share)), default=None)

    @property
    def share(self) -> float:
        """Of the epochs of the full budget, as far as it is known."""
        return 1.0 if self.budget is None else self.budget.share

    @property
    def status(self) -> str:
        """Return `complete`, or how many runs are in which state."""
        states = Counter(_state(run, self.measured_on) for run in self.runs)
        words = ", ".join(state if len(self.runs) == 1 else f"{n} {state}" for state, n in states.items())
        old = f"; left out: {self.left_out} of an earlier configuration" if self.left_out else ""
        return ("complete" if set(states) == {"complete"} else words or "not run") + old


def read_rungs(
    reader: RecordReader, *, sweep: str, meant: Mapping[tuple[str, str | None], Recipe] | None = None
) -> list[RungRuns]:
    """Return the rungs of a ladder in its order, once for each budget they ran under, the full one first.

    Runs of one name and budget that differ in their configuration are not mixed; the others are counted as left out.

    Args:
        reader: of the record.
        sweep: name of the ladder.
        meant: what its file means by a rung's name under a budget (`RungRuns.reduced`). For a rung that is not in it,
            or was never run so, the newest run says which configuration it is.

    Raises:
        RecordError: where the record cannot be read.
    """
    runs = [row for row in reader.runs(sweep=sweep).rows if row["rung"] is not None]
    recorded: dict[tuple[str, str | None], list[Row]] = {}
    for row in sorted(runs, key=lambda row: (row["started"], row["trial"])):
        recorded.setdefault((row["rung"], row["reduced"]), []).append(row)
    shown = {
        under: next((row for row in reversed(rows) if _recipe(row) == (meant or {}).get(under)), rows[-1])
        for under, rows in recorded.items()
    }
    rungs = []
    for (name, reduced), rows in recorded.items():
        newest = shown[name, reduced]
        # A ladder that was measured on other images under this name is another one, however alike its runs are.
        current = [row for row in rows if _group(row) == _group(newest) and _measured_on(row) is _measured_on(newest)]
        rungs.append(
            RungRuns(
                name=name,
                recipe=_recipe(newest),
                index=newest["rung_index"],
                parent=newest["rung_parent"],
                change="",
                reduced=reduced,
                budget=budget_of(newest),
                measured_on=_measured_on(newest),
                split=_split(newest),
                runs=tuple(_read_run(reader, row) for row in _one_a_seed(current)),
                left_out=len(rows) - len(current),
            )
        )
    rungs = [replace(rung, change=_change(reader, rung.parent_among(rungs), rung)) for rung in rungs]
    return sorted(rungs, key=_sort_key)


def _sort_key(rung: RungRuns) -> tuple[Any, ...]:
    """Order rungs as their ladder has them, each under the full budget first, then under the largest one."""
    size = 0 if rung.budget is None else rung.budget.train_size
    return rung.index, rung.name, rung.reduced is not None, -rung.share, -size, rung.reduced or ""


def budgets_of(rungs: Sequence[RungRuns]) -> list[int]:
    """Return a number a rung, equal for those that ran under one budget; the full one is 0."""
    groups: list[list[RungRuns]] = [[]]
    numbers = []
    for rung in rungs:
        number = 0
        if rung.reduced is not None:
            number = next((n for n, group in enumerate(groups[1:], start=1) if _belongs(rung, group)), len(groups))
        if number == len(groups):
            groups.append([])
        groups[number].append(rung)
        numbers.append(number)
    return numbers


def _belongs(rung: RungRuns, group: Sequence[RungRuns]) -> bool:
    # A rung that is there under two budgets tells them apart, however near they are.
    return all(rung.is_alike(each) and rung.name != each.name for each in group)


def recorded_elsewhere(
    rungs: Sequence[RungRuns], meant: Mapping[tuple[str, str | None], Recipe]
) -> dict[str, list[str]]:
    """Return the rungs of a file whose runs are recorded under other names, with these.

    One recipe is run once, whatever it is called: of a rung that was renamed, or that is the very run of another one.

    Args:
        rungs: as recorded.
        meant: what the file means by a rung's name under a budget.
    """
    in_file = {name for name, _ in meant}
    found: dict[str, list[str]] = {}
    for (name, reduced), recipe in meant.items():
        names = [each.name for each in rungs if (each.reduced, each.recipe) == (reduced, recipe)]
        others = [other for other in names if other != name and (name not in names or other not in in_file)]
        if others:
            found.setdefault(name, others)
    return found


def _recipe(row: Row) -> Recipe:
    return row["config_id"], row["source"]


def _group(row: Row) -> tuple[str, str]:
    return replicate_group(config_id=row["config_id"], source=row["source"])


def budget_of(row: Row) -> BudgetRange | None:
    """Return the budgets that a recorded run can be of; None where its protocol cannot be read."""
    protocol: Protocol | None = row["protocol"]
    if protocol is None:
        return None
    return BudgetRange(
        epochs=protocol.epochs,
        full_epochs=row["full_epochs"] or protocol.epochs,
        train_size=protocol.train_images,
        is_cut_to_size=row["full_train_images"] is not None,
    )


def _change(reader: RecordReader, parent: RungRuns | None, rung: RungRuns) -> str:
    if parent is None:
        return ""
    try:
        before, after = (reader.configuration(each.runs[0].run_id) for each in (parent, rung))
    except RecordError:
        return "not readable: recorded by another version"
    return join_changes(changes_between(before, after))


def _state(run: RungRun, measured_on: MeasuredOn) -> str:
    if run.did_not_learn:
        return "did not learn"
    if run.status != Outcome.COMPLETE or run.accuracy is not None:
        return run.status
    return "complete but not tested" if measured_on is MeasuredOn.TEST else "complete without a validation accuracy"


def _one_a_seed(rows: Sequence[Row]) -> list[Row]:
    """Return the newest run of each seed, one with a result before any other."""
    best: dict[int, Row] = {}
    for row in sorted(rows, key=lambda row: (row["status"] == Outcome.COMPLETE, _accuracy(row) is not None)):
        best[row["seed"]] = row
    return [best[seed] for seed in sorted(best)]


def _read_run(reader: RecordReader, row: Row) -> RungRun:
    run_id, accuracy = row["run_id"], _accuracy(row)
    if row["status"] != Outcome.COMPLETE or accuracy is None:
        return RungRun(seed=row["seed"], run_id=run_id, status=row["status"])
    split = _split(row)
    return RungRun(
        seed=row["seed"],
        run_id=run_id,
        status=row["status"],
        accuracy=accuracy,
        correct=_as_truth(reader.correctness(run_id)) if _measured_on(row) is MeasuredOn.TEST else None,
        validation_images=None if split is None else split[0],
        epochs=tuple(reader.curve(run_id)),
        parameters_millions=row["parameters_millions"],
        train_seconds=row["train_seconds"],
        images_per_second=row["images_per_second"],
        did_not_learn=bool(row["did_not_learn"]),
    )


def _measured_on(row: Row) -> MeasuredOn:
    return MeasuredOn(row["measured_on"])


def _split(row: Row) -> tuple[int, int] | None:
    protocol: Protocol | None = row["protocol"]
    if protocol is None or _measured_on(row) is MeasuredOn.TEST:
        return None
    return protocol.validation_images, protocol.split_seed


def _accuracy(row: Row) -> float | None:
    column = "test_accuracy" if _measured_on(row) is MeasuredOn.TEST else "val_accuracy"
    value: float | None = row[column]
    return value


def _as_truth(correct: np.ndarray | None) -> np.ndarray | None:
    return None if correct is None else correct.astype(bool)
