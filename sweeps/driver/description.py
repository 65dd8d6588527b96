"""What a sweep's own page in MLflow says, in Markdown: what is searched, the command, how it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sweeps.core.formatting import accuracy, loss
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.driver.plan import RunPlan
from sweeps.search.best import best_first, final_value
from sweeps.tasks.registry import describe

SHOWN = 5
"""Trials in the table of the best."""

MAX_FILE = 4000
"""Characters of the file: MLflow takes 8,000 in all."""


def describe_run(plan: RunPlan, records: Sequence[TrialRecord]) -> str:
    """Return the description of a sweep, its replicates or a ladder.

    Args:
        plan: what is run.
        records: its trials, as far as there are any.
    """
    parts = [plan.description, f"Command: `{plan.command}`", _counts(records), *_best(plan, records)]
    if plan.file:
        cut = (
            plan.file if len(plan.file) <= MAX_FILE else f"{plan.file[:MAX_FILE]}\n# (cut: the whole is an artifact)\n"
        )
        parts.append(f"```yaml\n{cut}```")
    return "\n\n".join(part for part in parts if part)


def _counts(records: Sequence[TrialRecord]) -> str:
    counts = Counter(record.outcome for record in records)
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    return f"Trials: {said}" if said else ""


def _best(plan: RunPlan, records: Sequence[TrialRecord]) -> list[str]:
    """Return the best trials of a search as a table. A ladder orders its rungs, it does not choose among them."""
    if plan.is_ladder:
        return []
    ranked = best_first(records, metric=plan.metric.name, maximize=plan.metric.goal == "maximize")[:SHOWN]
    if not ranked:
        return []
    lines = [f"| trial | {plan.metric.name} | configuration |", "|---|---|---|"]
    for record in ranked:
        value = final_value(record, plan.metric.name)
        shown = accuracy(value) if plan.metric.name.endswith("accuracy") else loss(value)
        lines.append(f"| {record.name} | {shown} | {describe(record.config)} |")
    many = sum(record.outcome is Outcome.COMPLETE for record in records)
    return [f"The best of {many} complete trials:", "\n".join(lines)]
