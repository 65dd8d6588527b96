"""The kept runs of a sweep or a configuration on their validation images: classes, calibration and an ensemble."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from sweeps.analysis.calibration import (
    Calibration,
    ClassAccuracy,
    Ensemble,
    calibration,
    class_accuracies,
    error_after_scaling,
    fitted_temperature,
    greedy_ensemble,
    log_loss,
)
from sweeps.core.commands import command_on
from sweeps.core.errors import SweepError
from sweeps.core.trial import Outcome
from sweeps.store.checkpoints import find_checkpoints
from sweeps.use.mistakes import images_of
from sweeps.use.weights import find_weights, require_network
from sweeps.views.names import find_named, named_sweep

if TYPE_CHECKING:
    from cifar_core import TrainingConfig
    from sweeps.record.reader import RecordReader
    from sweeps.record.table import Row


@dataclass(frozen=True, kw_only=True)
class ValidatedRun:
    """One kept run on the validation images."""

    run: str
    accuracy: float
    log_loss: float
    """Mean cross-entropy in nats."""
    calibration: Calibration
    temperature: float
    """That minimises the cross-entropy."""
    error_after_scaling: float
    """Calibration error with a temperature that was fitted on the other half of the images."""


@dataclass(frozen=True, kw_only=True)
class Validated:
    """The kept runs on the same validation images."""

    name: str
    images: int
    class_names: tuple[str, ...]
    runs: tuple[ValidatedRun, ...]
    """The representative run of the best configuration comes first."""
    classes: tuple[ClassAccuracy | None, ...]
    """Of the first run, in the order of the class names; None for a class without images."""
    ensemble: Ensemble | None
    """Its members are indices of `runs`; None with one run."""


def validate(
    reader: RecordReader, name: str, *, runs: Path, on_run: Callable[[str], None] = lambda run: None
) -> Validated:
    """Return the results of all kept runs of a sweep or of a configuration. Writes nothing, opens no test images.

    Args:
        reader: Of the record.
        name: Of a sweep, a configuration or a run, as in `find_named`.
        runs: The runs folder.
        on_run: Called with the name of each run before its images are classified.

    Raises:
        SweepError: The name is unknown or not of a network, no weights are kept, or there are no validation images.
    """
    require_network(reader, name)
    named = find_named(reader, name)
    rows = [*named.rows]
    if (sweep := named_sweep(reader, name)) is not None:
        rows += [row for row in reader.runs(sweep=sweep).rows if row["protocol"] == named.row["protocol"]]
    kept = {row["key"]: row for row in reversed(rows) if _is_kept(row, runs=runs)}
    if not kept:
        again = command_on("rerun", named.run_name(named.row), runs=runs)
        raise SweepError(f"no weights of {name} are kept. Run `{again}` to train its best run again.")
    from cifar_core import Classifier
    from cifar_core.evaluation import probabilities

    found, probabilities_MNK = [], []
    names: tuple[str, ...] = ()
    labels_N = np.empty(0, dtype=np.int64)
    for row in reversed(kept.values()):
        weights = find_weights(reader, str(row["run_id"]), runs=runs)
        on_run(weights.run)
        model = Classifier.load(weights.path)
        images, _ = images_of(weights.run, cast("TrainingConfig", weights.config), of="validation")
        probabilities_NK = probabilities(model.network, images, config=model.config).astype(np.float64)
        names, labels_N = model.class_names, images.labels_N.astype(np.int64)
        probabilities_MNK.append(probabilities_NK)
        found.append(
            ValidatedRun(
                run=weights.run,
                accuracy=float((probabilities_NK.argmax(axis=1) == labels_N).mean()),
                log_loss=log_loss(probabilities_NK, labels_N),
                calibration=calibration(probabilities_NK, labels_N),
                temperature=fitted_temperature(probabilities_NK, labels_N),
                error_after_scaling=error_after_scaling(probabilities_NK, labels_N),
            )
        )
    return Validated(
        name=named.name if sweep is None else sweep,
        images=len(labels_N),
        class_names=names,
        runs=tuple(found),
        classes=tuple(class_accuracies(probabilities_MNK[0].argmax(axis=1), labels_N, classes=len(names))),
        ensemble=greedy_ensemble(probabilities_MNK, labels_N) if len(found) > 1 else None,
    )


def _is_kept(row: Row, *, runs: Path) -> bool:
    return row["status"] == Outcome.COMPLETE and any(True for _ in find_checkpoints(runs, row["key"]))
