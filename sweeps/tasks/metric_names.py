"""Names of numbers that user code may report."""

import re

TAKEN_METRICS = frozenset(
    {"epoch", "seconds", "finished_at", "val_confusion", "epoch_seconds", "epochs", "train_seconds", "objective"}
    | {"test_accuracy", "test_loss", "best_val_accuracy", "parameters_millions"}
)
"""Names of numbers that the record contains for each run."""
METRIC_NAME = re.compile(r"[\w\-. :/]+")
"""Pattern of a metric's name in MLflow."""
OTHER_CHARACTERS = re.compile(r"[^\w\-. :/]")
"""Characters that such a name may not contain."""
SHARES = ("val_accuracy", "train_accuracy")
"""Metrics from 0 to 1, which screens show in per cent."""
