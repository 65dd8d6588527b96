"""The verdict in two sentences: what won and how sure that is, and how it was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.analysis.comparison import Finding, by_protocol, indistinguishable_from_first
from sweeps.core.formatting import accuracy, duration, listed, metric_text, percent, plural
from sweeps.core.trial import Outcome
from sweeps.tasks.registry import describe
from sweeps.tasks.values import value_text
from sweeps.views.html.clock import clock_of, lanes_of, spans_of
from sweeps.views.html.content import Content

_ENDS = {Outcome.PRUNED: "stopped early"}


def verdict_of(content: Content) -> list[str]:
    """Return two sentences, as plain text."""
    if not content.trials:
        return ["Nothing has been tried yet.", "The page will say more once a trial has begun."]
    return [_ladder(content) if content.is_ladder else _search(content), _course(content)]


def _search(content: Content) -> str:
    if content.rows is None:
        return _from_the_journal(content)
    ranked = [row for row in content.rows if row["rank"] is not None]
    if not ranked and any(row["did_not_learn"] for row in content.rows):
        return "No complete trial learned: each is right no more often than chance, or has one answer for all."
    if not ranked:
        return _from_the_journal(content)
    first = ranked[0]
    sure = _confidence(first, ranked[1:], sweep=content.state.sweep)
    tested = first["test_accuracy"]
    sealed = "" if tested is None else f"; on the sealed test images it has {accuracy(tested)}"
    return f"The best is {_named(content, first)} with {_result(first)}, {sure}{sealed}."


def _result(row: Mapping[str, Any]) -> str:
    """Return what a row is ranked by, in words, and its validation accuracy."""
    shown = "" if row["val_accuracy"] is None else f"{accuracy(row['val_accuracy'])} validation accuracy"
    metric = row["metric"] or "val_accuracy"
    if metric == "val_accuracy" or row["metric_value"] is None:
        return shown
    return f"{metric} {metric_text(metric, row['metric_value'])}" + (f" ({shown})" if shown else "")


def _confidence(first: Mapping[str, Any], others: Sequence[Mapping[str, Any]], *, sweep: str) -> str:
    interval = (
        ""
        if first["ci_low"] is None
        else f" (95 % interval {percent(first['ci_low'])} to {percent(first['ci_high'])} %)"
    )
    if not first["confirmed"]:
        seeds = int(first["replicates"] or 1)
        of = f"the mean of {plural(seeds, 'seed')}" if seeds > 1 else "of one seed, the one that the search chose by"
        return f"{of}{interval}: not confirmed, `sweeps replicate {sweep}` would say whether it holds"
    said = f"the mean of {plural(int(first['replicates']), 'new seed')}{interval}"
    if first["replicates"] < 2:
        return f"{said}: a single one tells it apart from no other"
    alike = [row for row in others if row["rank"] == first["rank"]]
    if alike:
        names = listed((f"trial {row['trial']} ({_value(row)})" for row in alike), most=4)
        return f"{said}, and cannot be told apart from {names}"
    if not any(row["confirmed"] for row in others):
        return f"{said}; no other was confirmed, so that nothing says it beats them"
    return f"{said}, and it is ahead of all others that were confirmed (Welch's t-test, Holm's procedure, 5 % level)"


def _value(row: Mapping[str, Any]) -> str:
    """Return what a row is ranked by, without its name."""
    metric = row["metric"] or "val_accuracy"
    return metric_text(metric, row["val_accuracy"] if metric == "val_accuracy" else row["metric_value"])


def _named(content: Content, row: Mapping[str, Any]) -> str:
    configs = {record.trial: record.config for record in content.all_records}
    known = configs.get(row["trial"])
    return f"trial {row['trial']}" + ("" if known is None else f" ({describe(known)})")


def _from_the_journal(content: Content) -> str:
    best = content.state.best()
    if best is None:
        left = "" if content.is_running else ": there is no result to rank"
        so_far = "so far " if content.is_running else ""
        return f"No trial {so_far}came to its end{left}."
    value = content.value(best)
    shown = "no finite value" if value is None else content.format_value(value)
    return f"The best complete trial is {best.name} with {shown} ({content.metric}, one seed, not confirmed)."


def _ladder(content: Content) -> str:
    groups = by_protocol(content.comparisons)
    if not groups:
        return "No rung is measured yet."
    top, *_ = groups[0]
    counts = Counter(rung.finding for rung in content.comparisons)
    compared = sum(counts[finding] for finding in (Finding.HIGHER, Finding.LOWER, Finding.NOT_SIGNIFICANT))
    interval = "" if top.ci_low is None else f" (95 % interval {percent(top.ci_low)} to {percent(top.ci_high)} %)"
    steps = (
        f"of {plural(compared, 'step')} that could be compared {counts[Finding.HIGHER]} brought a gain that is shown, "
        f"{counts[Finding.LOWER]} a loss, and {counts[Finding.NOT_SIGNIFICANT]} neither"
        if compared
        else "no step could be tested yet"
    )
    budget = "" if top.reduced is None else " under a reduced budget"
    among = f" of the {len(groups[0])} rungs that compare{budget}" if len(groups) > 1 and len(groups[0]) > 1 else ""
    alike = [f"{rung.rung} ({accuracy(rung.accuracy)})" for rung in indistinguishable_from_first(groups[0])]
    told = f", and cannot be told apart from {listed(alike, most=4)}" if alike else ""
    return (
        f"The highest mean{among} is that of {top.rung} with {accuracy(top.accuracy)} on the {top.measured_on} images, "
        f"{plural(top.seeds, 'seed')}{interval}{told}; {steps}."
    )


def _course(content: Content) -> str:
    counts = Counter(record.outcome for record in content.trials)
    said = listed(f"{count} {_ENDS.get(outcome, outcome.value)}" for outcome, count in counts.items())
    spans = spans_of(content.all_records, now=content.now if content.is_running else None)
    clock, lanes = clock_of(spans), lanes_of(spans)
    took = f", in {duration(clock.seconds)} on {plural(len(lanes), 'slot')}" if spans else ""
    is_so_far = "So far it ran" if content.is_running else "It ran" if content.is_ladder else "It was found among"
    new = len(content.state.new_seeds())
    runs = f"; {plural(new, 'confirming run')} followed under new seeds" if new else ""
    if whole := len(content.replicates) - new:
        runs += (
            f"; {plural(whole, 'trial')} that the search had stopped {'was' if whole == 1 else 'were'} trained whole"
        )
    what = (
        ""
        if content.is_ladder or not content.varying
        else f" over {plural(len(content.varying), 'parameter')} ({', '.join(v.name for v in content.varying)})"
    )
    data = sorted({value_text(record.protocol.train_images) for record in content.trials}, key=len)
    images = f"{int(data[0]):,} training images" if len(data) == 1 else "different numbers of training images"
    return f"{is_so_far} {plural(len(content.trials), 'trial')}{what} on {images}: {said}{took}{runs}."
