"""The Markdown description of a sweep's parent run in MLflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sweeps.core.formatting import metric_text
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.driver.plan import RunPlan
from sweeps.search.best import best_first, final_value
from sweeps.tasks.registry import describe

SHOWN = 5
"""Number of trials in the table of the best."""

MAX_FILE = 4000
"""Characters of the file: MLflow allows 8,000 in total."""


def describe_run(
    plan: RunPlan, records: Sequence[TrialRecord], *, race: str | None = None, ended_because: str | None = None
) -> str:
    """Return the description of a sweep, its replicates or a ladder.

    Args:
        plan: the plan that is run.
        records: its trials so far.
        race: what its race has shown; None without one.
        ended_because: why the search ended before its number of trials; None if it did not.
    """
    on = plan.confirmation.sentence if plan.replicates and plan.confirmation is not None else ""
    about = [plan.description, race or "", on, f"Command: `{plan.command}`"]
    parts = [*about, _counts(records), ended_because or "", *_best(plan, records)]
    if plan.file:
        file = plan.file
        if len(file) > MAX_FILE:
            file = f"{file[:MAX_FILE]}\n# (truncated: the artifacts have the full file)\n"
        parts.append(f"```yaml\n{file}```")
    return "\n\n".join(part for part in parts if part)


def _counts(records: Sequence[TrialRecord]) -> str:
    counts = Counter(record.outcome for record in records)
    text = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    return f"Trials: {text}" if text else ""


def _best(plan: RunPlan, records: Sequence[TrialRecord]) -> list[str]:
    """Return the best trials of a search as a table; nothing for a ladder, which does not choose among its rungs."""
    if plan.is_ladder:
        return []
    ranked = best_first(records, metric=plan.metric.name, maximize=plan.metric.goal == "maximize")[:SHOWN]
    if not ranked:
        return []
    lines = [f"| trial | {plan.metric.name} | configuration |", "|---|---|---|"]
    for record in ranked:
        value = final_value(record, plan.metric.name)
        lines.append(f"| {record.name} | {metric_text(plan.metric.name, value)} | {describe(record.config)} |")
    many = sum(record.outcome is Outcome.COMPLETE for record in records)
    return [f"Best of {many} complete trials:", "\n".join(lines)]
