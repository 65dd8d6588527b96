"""Find configurations whose runs are equal under all seeds: their training ignores the seed, and confirms nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cifar_core.common.user_modules import FUNCTION, PROGRAM, CodeKind
from sweeps.core.formatting import listed, plural
from sweeps.core.identity import replicate_group
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.tasks.registry import task_named, task_of

if TYPE_CHECKING:
    from sweeps.record.reader import RecordReader
    from sweeps.record.table import Row

_SHOWN = 3
_USE_OF_SEED: Mapping[CodeKind, str] = {
    FUNCTION: "trial.seed, as in numpy.random.default_rng(trial.seed)",
    PROGRAM: "the environment variable SWEEPS_SEED (or a parameter seed, which is passed as --seed)",
}


def equal_under_all_seeds(runs: Iterable[tuple[Hashable, int, Sequence[float | None]]]) -> dict[Hashable, int]:
    """Return the configurations with at least two seeds and equal curves, each with its number of seeds.

    Args:
        runs: configuration, seed, and metric after each epoch of each complete run.
    """
    curves: dict[Hashable, dict[int, tuple[float | None, ...]]] = {}
    for configuration, seed, curve in runs:
        curves.setdefault(configuration, {})[seed] = tuple(curve)
    return {
        configuration: len(of_seed)
        for configuration, of_seed in curves.items()
        if len(of_seed) > 1 and len(set(of_seed.values())) == 1
    }


def notes_of_records(records: Iterable[TrialRecord]) -> list[str]:
    """Return a note on the configurations of a sweep whose runs are equal under all seeds; none if there are none."""
    complete = [record for record in records if record.outcome is Outcome.COMPLETE and record.epochs]
    found = equal_under_all_seeds(
        (_group(record), record.config.seed, [epoch.value(record.metric) for epoch in record.epochs])
        for record in complete
    )
    first = {_group(record): record for record in reversed(complete)}
    names = {
        f"trial {record.trial}" if record.rung is None else record.rung.name: (found[group], record.metric)
        for group, record in first.items()
        if group in found
    }
    return _notes(names, kind=task_of(complete[0].config).code_kind) if complete else []


def _group(record: TrialRecord) -> Hashable:
    return replicate_group(config_id=record.config_id, source=record.source)


def notes_of_rows(rows: Sequence[Row], reader: RecordReader, *, name_of: Any) -> list[str]:
    """Return a note for each sweep of a table of runs, like `notes_of_records`. Few curves are read.

    Args:
        rows: one per run.
        reader: of the record.
        name_of: returns the name of a configuration from one of its rows.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row["status"] == Outcome.COMPLETE and row["metric_value"] is not None and not row["did_not_learn"]:
            group = (row["sweep"], *replicate_group(config_id=row["config_id"], source=row["source"]))
            groups.setdefault(group, []).append(row)
    names: dict[str, dict[str, tuple[int, str]]] = {}
    for (sweep, *_), of_group in groups.items():
        if len({row["seed"] for row in of_group}) < 2 or len({row["metric_value"] for row in of_group}) > 1:
            continue
        metric = of_group[0]["metric"]
        curves = ((0, r["seed"], [epoch.value(metric) for epoch in reader.curve(r["run_id"])]) for r in of_group)
        if found := equal_under_all_seeds(curves):
            names.setdefault(sweep, {})[name_of(of_group[0])] = found[0], metric
    kinds = {row["sweep"]: task_named(row.get("train")).code_kind for row in rows}
    return [note for sweep, of_sweep in names.items() for note in _notes(of_sweep, kind=kinds[sweep])]


def _notes(names: Mapping[str, tuple[int, str]], *, kind: CodeKind) -> list[str]:
    """Return the note on some configurations: name to number of seeds and metric."""
    if not names:
        return []
    seeds, metric = next(iter(names.values()))
    use = _USE_OF_SEED.get(kind, "torch's global generator, which is seeded for each run")
    which = listed(names, most=_SHOWN)
    subject = f"{which} has" if len(names) == 1 else f"{which} have"
    return [
        f"{subject} the same {metric} under {plural(seeds, 'seed')} in every epoch: the training ignores its seed, so "
        f"these runs confirm nothing. Use {use}, for initial values and order of examples"
    ]
