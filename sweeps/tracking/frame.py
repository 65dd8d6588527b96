"""The record as one table: its columns, a row from a run, numbers as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cifar_core.config import TEST_IMAGES, TrainingConfig
from cifar_core.models.registry import is_import_path
from cifar_core.results import has_learned
from sweeps.identity import Protocol
from sweeps.tracking.mapping import CONFIG, parse_param, recorded_protocol
from sweeps.tracking.recorded_run import Wanted
from sweeps.tracking.trial_run import TrialRun
from sweeps.trial_record import Outcome

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "rank",
    "sweep",
    "rung",
    "trial",
    "run_id",
    "status",
    "val_accuracy",
    "val_std",
    "replicates",
    "ci_low",
    "ci_high",
    "search_accuracy",
    "p_holm",
    "test_accuracy",
    "epochs",
    "train_seconds",
    "images_per_second",
    "parameters_millions",
    "seed",
    "key",
    "git_sha",
    "started",
    "best_val_accuracy",
    "metric",
    "metric_value",
    "confirmed",
    "reduced",
    "reused_from",
)
"""The first columns, in this order; the configuration follows, then `LAST_COLUMNS`.

`metric` is what a search looked at, and `metric_value` its value after the last epoch. `rank`, `val_std`, `replicates`,
`ci_low`, `ci_high`, `search_accuracy`, `p_holm` and `confirmed` are empty until the leaderboard fills them.
"""

LAST_COLUMNS = (
    "protocol",
    "config_id",
    "source",
    "study",
    "place",
    "came_from",
    "measured_on",
    "replicate_of",
    "did_not_learn",
    "error",
    "log",
)

WHOLE_NUMBERS = ("rank", "trial", "replicates", "epochs", "seed", "place", "replicate_of", "did_not_learn")
REAL_NUMBERS = (
    "val_accuracy",
    "val_std",
    "ci_low",
    "ci_high",
    "search_accuracy",
    "p_holm",
    "test_accuracy",
    "train_seconds",
    "images_per_second",
    "parameters_millions",
    "best_val_accuracy",
    "metric_value",
)


def frame_of(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as the record's table: all its columns in order, numbers as numbers."""
    import pandas as pd

    rows = list(rows)
    known = {*COLUMNS, *LAST_COLUMNS}
    configuration = sorted({name for row in rows for name in row} - known, key=_order_in_config)
    names = [*COLUMNS, *configuration, *LAST_COLUMNS]
    columns: dict[str, pd.Series] = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if name in WHOLE_NUMBERS:
            columns[name] = pd.Series(values, dtype="Int64")
        elif name in REAL_NUMBERS:
            columns[name] = pd.Series(values, dtype="float64")
        elif name == "confirmed":
            columns[name] = pd.Series(values, dtype="boolean")
        elif _are_numbers(values):
            whole = all(isinstance(value, int) for value in values if value is not None)
            columns[name] = pd.Series(values, dtype="Int64" if whole else "float64")
        else:
            columns[name] = pd.Series(values, dtype="object")
    return pd.DataFrame(columns, columns=names)


def _are_numbers(values: list[Any]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)


def _order_in_config(name: str) -> tuple[int, int, str]:
    """Order a dotted name as the configuration's own fields are, an unknown one after its block."""
    block, _, field = name.partition(".")
    blocks = TrainingConfig.model_fields
    if block not in blocks:
        return len(blocks), 0, name
    fields = list(getattr(blocks[block].annotation, "model_fields", ()))
    return list(blocks).index(block), fields.index(field) if field in fields else len(fields), name


def row_of(run: TrialRun) -> dict[str, Any]:
    """Return a trial's run as a row."""
    tags, metrics = run.tags, run.metrics
    params = {_path_in_file(name, run.params): parse_param(text) for name, text in run.params.items()}
    taken = {*COLUMNS, *LAST_COLUMNS}
    started = datetime.fromtimestamp(run.start_ms / 1000, UTC)
    protocol = recorded_protocol(tags, run.params)
    # A ladder orders its rungs, it does not search.
    metric = None if "rung" in tags else tags.get("metric", "val_accuracy")
    return {name: value for name, value in params.items() if name not in taken} | {
        **{name: tags.get(name) for name in _TAG_COLUMNS},
        **{name: metrics.get(name) for name in _METRIC_COLUMNS},
        "metric": metric,
        "metric_value": None if metric is None else metrics.get(metric),
        "trial": run.trial,
        "run_id": run.run_id,
        "status": run.outcome.value,
        "epochs": run.epochs,
        "seed": run.seed,
        "started": started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "protocol": tags.get("protocol", "") if protocol is None else str(protocol),
        "place": run.place,
        "replicate_of": run.replicate_of,
        "did_not_learn": _did_not_learn(run, protocol),
    }


def _did_not_learn(run: TrialRun, protocol: Protocol | None) -> int | None:
    """Return 1 for a complete run whose accuracy cannot be told from chance, 0 for another, None without one.

    A search never looks at test images: only a rung without validation images is judged by them. See `study.best`.
    """
    is_tested = "rung" in run.tags and "val_accuracy" not in run.metrics
    accuracy = run.metrics.get("test_accuracy" if is_tested else "val_accuracy")
    if accuracy is None or not 0 <= accuracy <= 1 or run.outcome is not Outcome.COMPLETE:
        return None
    confusion = run.confusion if is_tested else run.val_confusion
    known = TEST_IMAGES if is_tested else 0 if protocol is None else protocol.validation_images
    images = known if confusion is None else sum(map(sum, confusion))
    return int(not has_learned(accuracy, images=images, confusion=confusion))


def _path_in_file(name: str, params: Mapping[str, str]) -> str:
    """Return the path that sets a value in a file, for an option of a network of the user's own too.

    Versions before 0.4.0 recorded the option `act` as `model.act`.
    """
    block, _, field = name.partition(".")
    is_old = block == "model" and field != "name" and not field.startswith("options.")
    return f"model.options.{field}" if is_old and is_import_path(params.get("model.name", "")) else name


_TAG_COLUMNS = (
    "sweep", "rung", "key", "git_sha", "reduced", "reused_from", "config_id", "source", "study", "came_from",
    "measured_on", "error", "log",
)  # fmt: skip
_METRIC_COLUMNS = (
    "val_accuracy", "test_accuracy", "train_seconds", "images_per_second", "parameters_millions", "best_val_accuracy",
)  # fmt: skip

OF_A_ROW = Wanted(
    tags=frozenset({*_TAG_COLUMNS, CONFIG, "protocol", "metric"}),
    metrics=frozenset({*_METRIC_COLUMNS, "epochs", "val_loss", "train_loss", "train_accuracy"}),
)
"""What `row_of` reads of a run."""
