"""By how much the search overestimated a configuration: luck of its seed, and luck of its validation images."""

from __future__ import annotations

from sweeps.analysis.ranking import is_maximized
from sweeps.core.formatting import is_accuracy, metric_number, metric_text, plural
from sweeps.core.identity import Protocol
from sweeps.record.table import Row


def optimism_sentence(row: Row) -> str | None:
    """Return how much of a confirmed configuration's result in the search was luck; None if it has none there.

    Args:
        row: of the table of configurations.
    """
    metric = row["metric"] or "val_accuracy"
    of_accuracy = metric == "val_accuracy"
    search = row["search_accuracy"] if of_accuracy else row["search_value"]
    again = row["val_accuracy"] if of_accuracy else row["metric_value"]
    if not row["confirmed"] or search is None or again is None:
        return None
    sign = 1 if is_maximized(row) else -1
    by_seed, fresh = sign * (search - again), row["confirm_value"]
    by_images = 0.0 if fresh is None else sign * (again - fresh)
    direction = -1 if by_seed + by_images < 0 else 1
    word = "optimistic" if direction > 0 else "pessimistic"

    def amount(value: float) -> str:
        scaled = direction * value
        return f"{100 * scaled + 0.0:.1f}" if is_accuracy(metric) else metric_number(scaled)

    total = amount(by_seed + by_images) + (" points" if is_accuracy(metric) else "")
    images = _images(row)
    subject = f"The search's {metric_text(metric, search)} was {word} by {total}"
    if fresh is None:
        return f"{subject} under new seeds, on the same {images}."
    return f"{subject}: {amount(by_seed)} by its seed, {amount(by_images)} by its {images}."


def compared_on(row: Row) -> str:
    """Return which data the replicates of a confirmed configuration are compared on."""
    if row["confirm_examples"] is None:
        return f"on the {_images(row)} of the search"
    return f"on {plural(row['confirm_examples'], 'image')} that the search did not use"


def _images(row: Row) -> str:
    protocol = row["protocol"]
    count = protocol.validation_images if isinstance(protocol, Protocol) else 0
    return f"{count:,} images" if count else "validation data"
