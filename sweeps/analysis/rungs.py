"""Read the recorded runs of a ladder's rungs, grouped by budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sweeps.core.errors import RecordError
from sweeps.core.formatting import is_accuracy, plural
from sweeps.core.identity import Protocol, replicate_group
from sweeps.core.measure import TEST_ACCURACY, Measure
from sweeps.core.results import EpochResult
from sweeps.core.trial import MeasuredOn, Outcome
from sweeps.files.budget import BudgetRange
from sweeps.files.difference import changes_between, join_changes
from sweeps.record.table import Row

if TYPE_CHECKING:
    import numpy as np

    from sweeps.record.reader import RecordReader


Recipe = tuple[str, str | None]
"""Config id, and the source hash of a custom network."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RungRun:
    """One run of one rung. The numbers are None without a result."""

    seed: int
    run_id: str
    status: str
    """An `Outcome`, as text."""
    value: float | None = None
    """Accuracy on the images that the ladder measures on, 0 to 1, or the metric of a custom training."""
    correct: np.ndarray | None = None
    """One boolean per test image, in the file's order: whether the prediction is correct. Not recorded for validation
    images."""
    validation_images: int | None = None
    """Number of validation images if an accuracy is measured on them."""
    epochs: tuple[EpochResult, ...] = ()
    parameters_millions: float | None = None
    train_seconds: float | None = None
    images_per_second: float | None = None
    did_not_learn: bool = False
    """Whether its accuracy is not above chance. Such a run is not compared."""

    @property
    def images(self) -> int | None:
        """Number of images that an accuracy is measured on; None if not recorded."""
        return self.validation_images if self.correct is None else len(self.correct)


@dataclass(frozen=True, kw_only=True, eq=False)
class RungRuns:
    """The runs of one rung under one budget: one configuration, one run per seed."""

    name: str
    index: int
    """Position in the ladder's file, from 0."""
    parent: str | None
    """Rung that it is compared with; None for a first rung."""
    change: str
    """Changes to the parent, such as `data.batch_size 64 → 256`."""
    reduced: str | None
    """Description of a reduced budget; None for the full one."""
    budget: BudgetRange | None = None
    """The budget in numbers; None if not recorded."""
    measured_on: MeasuredOn = MeasuredOn.TEST
    measure: Measure = TEST_ACCURACY
    """The number that it is compared by."""
    recipe: Recipe = ("", None)
    """The configuration, equal for all seeds."""
    split: tuple[int, int] | None = None
    """Number of validation images and the seed that selected them; None for test images."""
    runs: tuple[RungRun, ...]
    left_out: int = 0
    """Number of recorded runs of an earlier configuration of this rung, which are ignored."""

    @property
    def measured(self) -> tuple[RungRun, ...]:
        """Runs with a result above chance, by seed."""
        return tuple(run for run in self._with_result if not run.did_not_learn)

    @property
    def shown(self) -> tuple[RungRun, ...]:
        """Runs whose numbers are shown: the measured ones, or all with a result if none learned."""
        return self.measured or self._with_result

    @property
    def _with_result(self) -> tuple[RungRun, ...]:
        return tuple(sorted((run for run in self.runs if run.value is not None), key=lambda run: run.seed))

    def may_share_budget(self, other: RungRuns) -> bool:
        """Return whether both may have run under one budget. Scaled alike, rungs can have different epochs."""
        if self.reduced == other.reduced:
            return True
        return self.budget is not None and other.budget is not None and self.budget.overlaps(other.budget)

    def find_parent(self, rungs: Iterable[RungRuns]) -> RungRuns | None:
        """Return the parent under the same budget; None if it did not run under it."""
        found = [each for each in rungs if each.name == self.parent and self.may_share_budget(each)]
        return min(found, key=lambda each: (each.reduced != self.reduced, abs(each.share - self.share)), default=None)

    @property
    def share(self) -> float:
        """Share of the epochs of the full budget; 1.0 if unknown."""
        return 1.0 if self.budget is None else self.budget.share

    @property
    def status(self) -> str:
        """`complete`, or the number of runs in each state."""
        states = Counter(_state(run, self.measured_on) for run in self.runs)
        counts = ", ".join(state if len(self.runs) == 1 else f"{n} {state}" for state, n in states.items())
        old = f"; excludes {plural(self.left_out, 'run')} of an earlier configuration" if self.left_out else ""
        return ("complete" if set(states) == {"complete"} else counts or "not run") + old


def read_rungs(
    reader: RecordReader, *, sweep: str, file_recipes: Mapping[tuple[str, str | None], Recipe] | None = None
) -> list[RungRuns]:
    """Return the rungs of a ladder in its order, once per budget, the full one first.

    Runs with another configuration under the same name and budget are ignored and counted in `left_out`.

    Args:
        reader: reader of the record.
        sweep: name of the ladder.
        file_recipes: (rung name, `RungRuns.reduced`) → its recipe in the ladder's file. For a rung without an entry or
            without a run of this recipe, the newest run determines the configuration.

    Raises:
        RecordError: the record cannot be read.
    """
    runs = [row for row in reader.runs(sweep=sweep).rows if row["rung"] is not None]
    recorded: dict[tuple[str, str | None], list[Row]] = {}
    for row in sorted(runs, key=lambda row: (row["started"], row["trial"])):
        recorded.setdefault((row["rung"], row["reduced"]), []).append(row)
    shown = {
        under: next((row for row in reversed(rows) if _recipe(row) == (file_recipes or {}).get(under)), rows[-1])
        for under, rows in recorded.items()
    }
    rungs = []
    for (name, reduced), rows in recorded.items():
        newest = shown[name, reduced]
        # A ladder of this name that was measured on other images is another ladder.
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
                measure=_measure(newest),
                split=_split(newest),
                runs=tuple(_read_run(reader, row) for row in _one_per_seed(current)),
                left_out=len(rows) - len(current),
            )
        )
    rungs = [replace(rung, change=_change(reader, rung.find_parent(rungs), rung)) for rung in rungs]
    return sorted(rungs, key=_sort_key)


def _sort_key(rung: RungRuns) -> tuple[Any, ...]:
    """Sort key: position in the ladder, then the full budget, then by descending budget."""
    size = 0 if rung.budget is None else rung.budget.train_size
    return rung.index, rung.name, rung.reduced is not None, -rung.share, -size, rung.reduced or ""


def budgets_of(rungs: Sequence[RungRuns]) -> list[int]:
    """Return one number per rung, equal for rungs under the same budget; the full budget is 0."""
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
    # Two entries of one rung are two budgets, however close these are.
    return all(rung.may_share_budget(each) and rung.name != each.name for each in group)


def recorded_under_other_names(
    rungs: Sequence[RungRuns], file_recipes: Mapping[tuple[str, str | None], Recipe]
) -> dict[str, list[str]]:
    """Return rung name → names under which its runs are recorded, for rungs of a file recorded under other names.

    A recipe is run once, so this happens to a renamed rung and to a rung with the recipe of another one.

    Args:
        rungs: recorded rungs.
        file_recipes: as for `read_rungs`.
    """
    in_file = {name for name, _ in file_recipes}
    found: dict[str, list[str]] = {}
    for (name, reduced), recipe in file_recipes.items():
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
    """Return the budgets that a recorded run may have; None if its protocol cannot be read, or has no epochs."""
    protocol: Protocol | None = row["protocol"]
    if protocol is None or not protocol.epochs:  # a program may end by itself
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
        return "unknown: recorded by another version. Read it with that version"
    return join_changes(changes_between(before, after))


def _state(run: RungRun, measured_on: MeasuredOn) -> str:
    if run.did_not_learn:
        return "did not learn"
    if run.status != Outcome.COMPLETE or run.value is not None:
        return run.status
    missing = {MeasuredOn.TEST: "but not evaluated", MeasuredOn.VALIDATION: "without a validation accuracy"}
    return f"complete {missing.get(measured_on, 'without the metric')}"


def _one_per_seed(rows: Sequence[Row]) -> list[Row]:
    """Return the newest run of each seed, preferring runs with a result."""
    best: dict[int, Row] = {}
    for row in sorted(rows, key=lambda row: (row["status"] == Outcome.COMPLETE, _value(row) is not None)):
        best[row["seed"]] = row
    return [best[seed] for seed in sorted(best)]


def _read_run(reader: RecordReader, row: Row) -> RungRun:
    run_id, value = row["run_id"], _value(row)
    if row["status"] != Outcome.COMPLETE or value is None:
        return RungRun(seed=row["seed"], run_id=run_id, status=row["status"])
    split = _split(row)
    return RungRun(
        seed=row["seed"],
        run_id=run_id,
        status=row["status"],
        value=value,
        correct=_as_bool(reader.correctness(run_id)) if _measured_on(row) is MeasuredOn.TEST else None,
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
    if protocol is None or _measured_on(row) is not MeasuredOn.VALIDATION:
        return None
    return protocol.validation_images, protocol.split_seed


_COLUMNS: Mapping[MeasuredOn, str] = {
    MeasuredOn.TEST: "test_accuracy",
    MeasuredOn.VALIDATION: "val_accuracy",
    MeasuredOn.METRIC: "metric_value",
}


def _value(row: Row) -> float | None:
    value: float | None = row[_COLUMNS[_measured_on(row)]]
    return value


def _measure(row: Row) -> Measure:
    measured_on = _measured_on(row)
    if measured_on is not MeasuredOn.METRIC:
        return Measure(name=_COLUMNS[measured_on])
    name = str(row["metric"])
    return Measure(name=name, maximize=is_accuracy(name) if row["goal"] is None else row["goal"] == "maximize")


def _as_bool(correct: np.ndarray | None) -> np.ndarray | None:
    return None if correct is None else correct.astype(bool)
