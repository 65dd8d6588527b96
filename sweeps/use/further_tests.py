"""Evaluation of finalized runs on further test sets, each logged as a test-set access and recorded once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cifar_core.data.further_tests import FurtherTest, read_further_tests
from sweeps.core.commands import command_on
from sweeps.core.errors import SweepError
from sweeps.core.results import Confusion, as_confusion
from sweeps.core.trial import Outcome
from sweeps.record.files import RunFiles
from sweeps.record.mapping import MAX_TAG
from sweeps.store.access_log import describe_accesses, record_access
from sweeps.store.checkpoints import find_checkpoints
from sweeps.store.kept_code import require_same_code
from sweeps.tasks.registry import task_of
from sweeps.use.weights import require_network
from sweeps.views.names import find_named
from sweeps.worker.measure import measure_on_test

if TYPE_CHECKING:
    from cifar_core.config import TrainingConfig
    from sweeps.record.reader import RecordReader
    from sweeps.record.table import Row
    from sweeps.views.names import NamedRuns


@dataclass(frozen=True, kw_only=True)
class FurtherResult:
    """The result of one run on one test set."""

    run: str
    """Name of the run."""
    accuracies: tuple[float, ...]
    """Share of correct predictions of each severity; one for a test set without severities."""
    confusion: Confusion | None
    """None for a test set with severities, and for one with too many classes to be recorded."""

    @property
    def accuracy(self) -> float:
        return sum(self.accuracies) / len(self.accuracies)


@dataclass(frozen=True, kw_only=True)
class FurtherResults:
    """The results of a configuration's runs on one test set."""

    name: str
    """Name of the test set."""
    source: str
    fingerprint: str
    images: int
    runs: tuple[FurtherResult, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The results of a configuration on further test sets."""

    name: str
    """Of the configuration."""
    class_names: tuple[str, ...]
    own_accuracies: tuple[float, ...]
    """Accuracy of each run on the test part of its own data."""
    results: tuple[FurtherResults, ...]
    measured: int
    """Number of evaluations of this call. The results of the others were recorded before."""
    accesses: tuple[str, ...]
    """Test-set accesses of the sweep, in sentences."""


def evaluate(
    reader: RecordReader,
    name: str,
    sources: Sequence[str],
    *,
    runs: Path,
    labels: Path | None = None,
    on_measure: Callable[[str], None] = lambda text: None,
) -> Evaluated:
    """Return the results of all finalized runs of a configuration on further test sets.

    Only runs with a result on the sealed test part of their own data are evaluated, and each once: the recorded result
    is returned afterwards. An access is logged before a network receives the images.

    Args:
        reader: of the record.
        name: of a configuration, a run or a sweep, as in `find_named`.
        sources: of the test sets, as in `read_further_tests`.
        runs: the runs folder.
        labels: file of the labels of an `npy` source.
        on_measure: called with a description of each evaluation before it starts.

    Raises:
        SweepError: the name is unknown or not of a network, its runs are not finalized, their weights are gone, or
            their network's code has changed.
        DataError: a test set cannot be read or does not fit the network.
        RecordError: the record cannot be read or written.
    """
    require_network(reader, name)
    named = find_named(reader, name)
    tested = _tested(named, runs=runs)
    config: Any = reader.configuration(named.defining_row["run_id"])
    sweep = str(named.defining_row["sweep"])
    folder = runs / "sweeps" / sweep
    require_same_code(config, named.defining_row["source"], run=named.name, sweep=folder, trains=False)
    class_names = tuple(task_of(config).class_names(config))
    # All are checked before the first access.
    tests = [
        test
        for source in sources
        for test in read_further_tests(
            source, labels=labels, class_names=class_names, image_size=config.data.image_size
        )
    ]
    files = RunFiles(runs, sweep=sweep)
    results, measured = list[FurtherResults](), 0
    for test in tests:
        fingerprint = test.fingerprint
        stored = {row["key"]: _recorded(files, row["key"], fingerprint, run=named.run_name(row)) for row in tested}
        missing = [row for row in tested if stored[row["key"]] is None]
        checkpoints = {row["key"]: _checkpoint(row, named, runs=runs) for row in missing}
        if missing:
            keys = [row["key"] for row in missing]
            record_access(runs, sweep=sweep, keys=keys, data=f"{test.name} {fingerprint}")
        for row in missing:
            run = named.run_name(row)
            on_measure(f"evaluating {run} on {test.name}")
            own: Any = reader.configuration(row["run_id"])
            stored[row["key"]] = _measure(files, row["key"], test, checkpoints[row["key"]], own, fingerprint, run=run)
        measured += len(missing)
        results.append(
            FurtherResults(
                name=test.name,
                source=test.source,
                fingerprint=fingerprint,
                images=len(test.images),
                runs=tuple(result for result in stored.values() if result is not None),
            )
        )
    return Evaluated(
        name=named.name,
        class_names=class_names,
        own_accuracies=tuple(float(row["test_accuracy"]) for row in tested),
        results=tuple(results),
        measured=measured,
        accesses=tuple(describe_accesses(runs, sweep)),
    )


def _tested(named: NamedRuns, *, runs: Path) -> list[Row]:
    """Return the runs with a result on their own test part, one for each key."""
    complete = [row for row in named.rows if row["status"] == Outcome.COMPLETE and row["test_accuracy"] is not None]
    if not complete:
        sweep = str(named.defining_row["sweep"])
        how = (
            f"Run `{command_on('finalize', sweep, runs=runs)}` first, which evaluates its confirmed best"
            if named.defining_row["rung"] is None
            else "Run the ladder to its end first"
        )
        raise SweepError(
            f"{named.name} has no result on the test part of its own data. {how}: further test sets are only opened "
            "for runs whose selection is finished."
        )
    return list({row["key"]: row for row in reversed(complete)}.values())[::-1]


def _checkpoint(row: Row, named: NamedRuns, *, runs: Path) -> Path:
    for path in find_checkpoints(runs, row["key"]):
        return path
    run = named.run_name(row)
    raise SweepError(
        f"the weights of {run} are missing. The test set was not opened. Run `{command_on('rerun', run, runs=runs)}` "
        "to train the same run again."
    )


def _measure(
    files: RunFiles,
    key: str,
    test: FurtherTest,
    checkpoint: Path,
    config: TrainingConfig,
    fingerprint: str,
    *,
    run: str,
) -> FurtherResult:
    found = measure_on_test(task_of(config), str(checkpoint), config=config, test=test.images)
    correct_N = np.unpackbits(np.frombuffer(found.correct, dtype=np.uint8), count=found.count)
    accuracies = tuple(float(block.mean()) for block in np.split(correct_N, test.severities))
    result = FurtherResult(run=run, accuracies=accuracies, confusion=found.confusion if test.severities == 1 else None)
    content = {"data": test.name, "fingerprint": fingerprint, "images": found.count, "accuracies": accuracies}
    whole = json.dumps(content | {"confusion": found.confusion})
    run_id = files.run_id(key)
    assert run_id is not None, "the run was read from the record"
    short = whole if len(whole) <= MAX_TAG and test.severities == 1 else json.dumps(content)
    files.store(
        run_id,
        {f"evaluations/{test.name}-{fingerprint}.json": whole.encode()},
        tag=_tag(fingerprint),
        value=short,
        metrics=_metrics(test, accuracies),
    )
    return result


def _metrics(test: FurtherTest, accuracies: Sequence[float]) -> dict[str, float]:
    name = "further_test_accuracy/" + re.sub(r"[^\w.\- ]", "_", test.name)
    mean = {name: sum(accuracies) / len(accuracies)}
    if len(accuracies) == 1:
        return mean
    return mean | {f"{name}/severity {number}": value for number, value in enumerate(accuracies, 1)}


def _tag(fingerprint: str) -> str:
    return f"further_test.{fingerprint}"


def _recorded(files: RunFiles, key: str, fingerprint: str, *, run: str) -> FurtherResult | None:
    """Return the recorded result of a run on a test set; None if it has none."""
    try:
        content = json.loads(files.tag(key, _tag(fingerprint)) or "")
        accuracies = tuple(map(float, content["accuracies"]))
        return FurtherResult(run=run, accuracies=accuracies, confusion=as_confusion(content.get("confusion")))
    except (ValueError, TypeError, KeyError):
        return None
