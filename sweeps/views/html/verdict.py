"""The verdict in a few sentences: the best configuration with its uncertainty, and how it was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.analysis.comparison import Finding, by_protocol, indistinguishable_from_first
from sweeps.analysis.equal_seeds import notes_of_records
from sweeps.analysis.pairs import DID_NOT_LEARN
from sweeps.core.formatting import accuracy, duration, listed, metric_text, percent, plural
from sweeps.core.trial import MeasuredOn, Outcome
from sweeps.tasks.registry import describe
from sweeps.views.html.clock import clock_of, lanes_of, spans_of
from sweeps.views.html.content import Content
from sweeps.views.leaderboard_table import has_too_few_seeds
from sweeps.views.optimism import compared_on, optimism_sentence
from sweeps.views.race import race_sentences

_ENDS = {Outcome.PRUNED: "pruned (stopped early)"}


def verdict_of(content: Content) -> list[str]:
    """Return two paragraphs of plain text."""
    if not content.trials:
        return ["No trial has started yet.", "Write the report again after the first trial."]
    return [_ladder(content) if content.is_ladder else _search(content), _course(content)]


def _search(content: Content) -> str:
    if content.rows is None:
        return _from_journal(content)
    ranked = [row for row in content.rows if row["rank"] is not None]
    if not ranked and any(row["did_not_learn"] for row in content.rows):
        return f"No complete trial learned: {DID_NOT_LEARN.partition(': ')[2]}."
    if not ranked:
        return _from_journal(content)
    first = ranked[0]
    confidence = _confidence(first, ranked[1:], sweep=content.state.sweep)
    share = first["test_accuracy"]
    tested = "" if share is None else f" Its accuracy on the sealed test set is {accuracy(share)}."
    equal = "".join(f" Warning: {note}." for note in notes_of_records(content.all_records))
    luck, race = optimism_sentence(dict(first)), race_sentences(content.state)
    more = "".join(f" {sentence}" for sentence in (luck, race) if sentence)
    return f"The best is {_named(content, first)} with {_result(first)}, {confidence}.{more}{tested}{equal}"


def _result(row: Mapping[str, Any]) -> str:
    """Return the metric that a row is ranked by, and its validation accuracy."""
    share = row["val_accuracy"] if row["confirm_accuracy"] is None else row["confirm_accuracy"]
    on = f" {compared_on(dict(row))}" if row["confirmed"] else ""
    shown = "" if share is None else f"{accuracy(share)} validation accuracy{on}"
    metric = row["metric"] or "val_accuracy"
    if metric == "val_accuracy" or row["metric_value"] is None:
        return shown
    value = row["metric_value"] if row["confirm_value"] is None else row["confirm_value"]
    return f"{metric} {metric_text(metric, value)}" + (f" ({shown})" if shown else "")


def _confidence(first: Mapping[str, Any], others: Sequence[Mapping[str, Any]], *, sweep: str) -> str:
    interval = (
        ""
        if first["ci_low"] is None
        else f" (95 % interval {percent(first['ci_low'])} to {percent(first['ci_high'])} %)"
    )
    if not first["confirmed"]:
        seeds = int(first["replicates"] or 1)
        of = f"the mean of {plural(seeds, 'seed')}" if seeds > 1 else "the value of one seed, selected by the search"
        return f"{of}{interval}. It is not confirmed: run `sweeps replicate {sweep}`"
    spread = first.get("metric_std") if first["ci_low"] is None else None
    interval += "" if spread is None else f" (standard deviation {metric_text(first['metric'], spread)})"
    mean = f"the mean of {plural(int(first['replicates']), 'new seed')}{interval}"
    if has_too_few_seeds(dict(first)):
        mean += ", too few for an interval"
    if first["confirm_until"] is not None:
        return mean  # the sentences of the race say more
    if first["replicates"] < 2:
        return f"{mean}, which is too few for a test against others"
    alike = [row for row in others if row["rank"] == first["rank"]]
    if alike:
        names = listed((f"trial {row['trial']} ({_value(row)})" for row in alike), most=4)
        return f"{mean}, and does not differ significantly from {names}"
    if not any(row["confirmed"] for row in others):
        return f"{mean}. No other configuration is confirmed, so it is not tested against any"
    return (
        f"{mean}, and significantly better than the other confirmed ones (Welch's t-test, Holm's procedure, 5 % level)"
    )


def _value(row: Mapping[str, Any]) -> str:
    """Return the value that a row is ranked by."""
    metric = row["metric"] or "val_accuracy"
    measured = row["val_accuracy"] if metric == "val_accuracy" else row["metric_value"]
    return metric_text(metric, measured if row["confirm_value"] is None else row["confirm_value"])


def _named(content: Content, row: Mapping[str, Any]) -> str:
    configs = {record.trial: record.config for record in content.all_records}
    known = configs.get(row["trial"])
    return f"trial {row['trial']}" + ("" if known is None else f" ({describe(known)})")


def _from_journal(content: Content) -> str:
    best = content.state.best()
    if best is None:
        return "No trial is complete yet." if content.is_running else "No trial is complete, so there is no ranking."
    value = content.value(best)
    shown = "no finite value" if value is None else content.format_value(value)
    return f"The best complete trial is {best.name} with {shown} ({content.metric}, one seed, not confirmed)."


def _ladder(content: Content) -> str:
    groups = by_protocol(content.comparisons)
    if not groups:
        return "No rung is measured yet."
    top, *_ = groups[0]
    counts = Counter(rung.finding for rung in content.comparisons)
    compared = sum(counts[finding] for finding in (Finding.BETTER, Finding.WORSE, Finding.NOT_SIGNIFICANT))
    interval = (
        ""
        if top.ci_low is None or top.ci_high is None
        else f" (95 % interval {top.measure.interval(top.ci_low, top.ci_high)})"
    )
    steps = (
        f"Of {plural(compared, 'tested step')}, {counts[Finding.BETTER]} gained significantly, {counts[Finding.WORSE]} "
        f"lost significantly, and {counts[Finding.NOT_SIGNIFICANT]} made no significant difference."
        if compared
        else "No step could be tested yet."
    )
    budget = "" if top.reduced is None else " under a reduced budget"
    among = f" of the {len(groups[0])} comparable rungs{budget}" if len(groups) > 1 and len(groups[0]) > 1 else ""
    alike = [
        f"{rung.rung} ({top.measure.value(rung.value or 0.0)})" for rung in indistinguishable_from_first(groups[0])
    ]
    equals = f", not significantly different from {listed(alike, most=4)}" if alike else ""
    value = top.measure.value(top.value or 0.0)
    of = f"{top.metric} {value}" if top.measured_on is MeasuredOn.METRIC else f"{value} on the {top.measured_on} images"
    mean = "highest" if top.maximize else "lowest"
    equal = "".join(f" Warning: {note}." for note in notes_of_records(content.all_records))
    return (
        f"The {mean} mean{among} is that of {top.rung} with {of}, {plural(top.seeds, 'seed')}{interval}{equals}. "
        f"{steps}{equal}"
    )


def _course(content: Content) -> str:
    counts = Counter(record.outcome for record in content.trials)
    outcomes = listed(f"{count} {_ENDS.get(outcome, outcome.value)}" for outcome, count in counts.items())
    spans = spans_of(content.all_records, now=content.now if content.is_running else None)
    clock, lanes = clock_of(spans), lanes_of(spans)
    took = f", in {duration(clock.seconds)} on {plural(len(lanes), 'slot')}" if spans else ""
    kind = "ladder" if content.is_ladder else "search"
    subject = f"So far the {kind} ran" if content.is_running else f"The {kind} ran"
    new = len(content.state.new_seeds())
    runs = f"; {plural(new, 'replicate')} under new seeds followed" if new else ""
    if full := len(content.replicates) - new:
        verb = "was" if full == 1 else "were"
        runs += f"; {plural(full, 'pruned trial')} {verb} trained to full length"
    parameters = (
        ""
        if content.is_ladder or not content.varying
        else f" over {plural(len(content.varying), 'parameter')} ({', '.join(v.name for v in content.varying)})"
    )
    sizes = {record.protocol.train_images for record in content.trials}
    images = " on different numbers of training images"
    if len(sizes) == 1:
        (size,) = sizes
        images = f" on {size:,} training images" if size else ""  # a custom training function has no images
    return f"{subject} {plural(len(content.trials), 'trial')}{parameters}{images}: {outcomes}{took}{runs}."
