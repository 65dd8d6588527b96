"""The paragraph of a paper's methods section on a sweep or a ladder, from its record."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sweeps.analysis.comparison import compare_rungs
from sweeps.analysis.pairs import ALPHA
from sweeps.analysis.rungs import read_rungs
from sweeps.core.formatting import duration, listed, plural
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.record.reader import MlflowReader
from sweeps.record.table import Row
from sweeps.search.best import configuration_of
from sweeps.search.state import SweepState, read_state
from sweeps.store.access_log import TestSetAccess, read_accesses
from sweeps.views.paper_tables import list_seeds, versions_of
from sweeps.views.queries import recorded_runs

_SAMPLERS = {
    "bayes": "the tree-structured Parzen estimator [{bergstra}] of Optuna [{akiba}]",
    "random": "random sampling [{bergstra_random}]",
    "grid": "a grid of all combinations",
}
_STOPPING = {
    "asha": "asynchronous successive halving (ASHA) [{li_asha}]",
    "hyperband": "Hyperband [{li_hyperband}]",
    "median": "the median rule [{golovin}]",
    "curve_model": "a Gaussian process over configuration and epoch, which chose the trials to continue by their "
    "probability to exceed a random threshold at a random horizon [{rakotoarison}]",
}
_REFERENCES = {
    "akiba": "Akiba et al., Optuna: A next-generation hyperparameter optimization framework, KDD 2019",
    "bergstra": "Bergstra et al., Algorithms for hyper-parameter optimization, NeurIPS 2011",
    "bergstra_random": "Bergstra and Bengio, Random search for hyper-parameter optimization, JMLR 13 (2012) 281-305",
    "golovin": "Golovin et al., Google Vizier: A service for black-box optimization, KDD 2017",
    "holm": "Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6 (1979) 65-70",
    "krizhevsky": "Krizhevsky, Learning multiple layers of features from tiny images, 2009",
    "li_asha": "Li et al., A system for massively parallel hyperparameter tuning, MLSys 2020",
    "li_hyperband": "Li et al., Hyperband: A novel bandit-based approach to hyperparameter optimization, JMLR 18, 2018",
    "mcnemar": "McNemar, Psychometrika 12 (1947) 153-157",
    "rakotoarison": "Rakotoarison et al., In-context freeze-thaw Bayesian optimization, ICML 2024",
    "smyth": "Smyth, Stat. Appl. Genet. Mol. Biol. 3 (2004), article 3",
    "jourdan": "Jourdan, Degenne, Baudry, de Heide and Kaufmann, Top two algorithms revisited, NeurIPS 2022",
    "wang": "Wang and Ramdas, Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance, "
    "Sequential Analysis 44 (2025) 56-110",
    "welch": "Welch, The generalization of Student's problem, Biometrika 34 (1947) 28-35",
}


@dataclass(frozen=True, kw_only=True)
class Methods:
    """The paragraph, with numbered references."""

    text: str
    references: tuple[str, ...]

    def __str__(self) -> str:
        numbered = "\n".join(f"[{number}] {reference}." for number, reference in enumerate(self.references, start=1))
        return f"{self.text}\n\n{numbered}" if numbered else self.text


def methods_of(reader: MlflowReader, sweep: str, *, runs: Path) -> Methods:
    """Return the paragraph on a sweep or a ladder.

    Raises:
        NoSuchSweepError: There is no such sweep.
        DamagedJournalError: Its journal cannot be read.
        RecordError: The record cannot be read.
    """
    state = read_state(runs, sweep)
    rows = recorded_runs(reader, sweep=sweep).rows
    accesses = [access for access in read_accesses(runs, sweep=sweep) if not access.data]
    file = yaml.safe_load(reader.file_of(sweep) or "") or {}
    is_ladder = any(record.rung is not None for record in state.records)
    sentences = [
        *(_ladder(reader, sweep, state) if is_ladder else _search(state, file)),
        *([] if is_ladder else _confirmation(state)),
        _test_set(accesses),
        *_machine(reader, state, rows),
    ]
    return _numbered(" ".join(filter(None, sentences)))


def _numbered(text: str) -> Methods:
    """Return the paragraph with each `{reference}` replaced by its number in the order of mention."""
    names = list(dict.fromkeys(re.findall(r"\{(\w+)\}", text)))
    for number, name in enumerate(names, start=1):
        text = text.replace(f"{{{name}}}", str(number))
    return Methods(text=text, references=tuple(_REFERENCES[name] for name in names))


def _data(record: TrialRecord) -> str:
    protocol = record.protocol
    if not protocol.train_images:
        return ""
    name = (
        "CIFAR-10 [{krizhevsky}]" if not protocol.data else f"a data set of our own (fingerprint {protocol.data[:8]})"
    )
    held_out = (
        f" and {protocol.validation_images:,} validation images, held out of the training images by split "
        f"{protocol.split_seed}"
        if protocol.validation_images
        else ""
    )
    return f" on {name}, with {protocol.train_images:,} training images{held_out}"


def _search(state: SweepState, file: Mapping[str, Any]) -> list[str]:
    if not state.records:
        return [f"No trial of {state.sweep} has begun."]
    record = state.records[0]
    parameters = list(file.get("parameters") or {})
    sampler = _SAMPLERS.get(str(file.get("method", "bayes")), str(file.get("method")))
    better = "maximised" if state.maximize else "minimised"
    epochs = f" after {plural(record.config.epochs, 'epoch')}" if record.config.epochs else ""
    sentences = [
        f"We searched {plural(len(parameters), 'hyperparameter')} ({listed(parameters, most=20)}){_data(record)}.",
        f"Configurations were proposed by {sampler} with seed {file.get('seed', 0)}; the search {better} "
        f"{state.metric.replace('_', ' ')}{epochs}.",
    ]
    early = file.get("early_terminate") or {}
    if (kind := str(early.get("type", ""))) in _STOPPING:
        settings = ", ".join(f"{name} {value}" for name, value in early.items() if name != "type")
        sentences.append(
            f"Unpromising trials were paused or stopped early by {_STOPPING[kind]}"
            + (f" ({settings})." if settings else ".")
        )
    counts = Counter(each.outcome for each in state.records)
    total = sum(len(each.epochs) for each in state.records)
    seeds = {each.config.seed for each in state.records}
    about = [f"{total} epochs in total"] if total else []
    about.append(f"all under {'seed' if len(seeds) == 1 else 'seeds'} {list_seeds(seeds)}")
    ended = [f"{count} {outcome.value}" for outcome, count in counts.items()]
    ended[0] = ended[0].replace(" ", " was " if ended[0].startswith("1 ") else " were ", 1)
    sentences.append(f"Of {plural(len(state.records), 'trial')} ({', '.join(about)}), {listed(ended)}.")
    return sentences


def _confirmation(state: SweepState) -> list[str]:
    done = [record for record in state.replicates if record.outcome is Outcome.COMPLETE]
    searched = {record.config.seed for record in state.records}
    fresh = [record for record in done if record.config.seed not in searched]
    if not fresh:
        return [
            "The best configuration was not trained again under new seeds, so that its result is optimistic: it was "
            "chosen by the value that is reported."
        ]
    configurations = {configuration_of(record) for record in fresh}
    seeds = {record.config.seed for record in fresh}
    were = "was" if len(configurations) == 1 else "were"
    sentences = [
        f"The best {plural(len(configurations), 'configuration')} {were} trained again under "
        f"{plural(len(seeds), 'seed')} ({list_seeds(seeds)}) that the search had not used; reported means, standard "
        "deviations and ranks come from these runs alone."
    ]
    examples = {0 if record.confirm is None else record.confirm.examples for record in fresh}
    if examples != {0}:
        counts = " and ".join(f"{count:,}" for count in sorted(examples - {0}))
        sentences.append(f"They were measured on {counts} training images that neither the search nor these runs used.")
    if state.race is not None:
        sentences.append(
            "Each next seed was given to the leader or its closest challenger [{jourdan}], until an anytime-valid "
            f"t-test [{{wang}}] showed one configuration to be the best with {100 * state.race.until:g} %, or "
            f"{duration(state.race.at_most)} had passed."
        )
    elif len(configurations) > 1:
        sentences.append(
            "Configurations share a rank unless a two-sided Welch's t-test [{welch}] against the best mean rejects "
            f"equality at the {100 * ALPHA:.0f} % level with Holm's correction [{{holm}}]."
        )
    return sentences


def _ladder(reader: MlflowReader, sweep: str, state: SweepState) -> list[str]:
    comparisons = compare_rungs(read_rungs(reader, sweep=sweep))
    if not comparisons or not state.records:
        return [f"No rung of {sweep} is recorded."]
    measured = comparisons[0].measure.name.replace("_", " ")
    seeds = {record.config.seed for record in state.records}
    sentences = [
        f"We compared {plural(len({each.rung for each in comparisons}), 'configuration')}, each of which changes one "
        f"thing relative to an earlier one{_data(state.records[0])}, by {measured} after the last epoch under "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {list_seeds(seeds)}."
    ]
    tests = [each.test for each in comparisons if each.test]
    named = {
        "McNemar": "McNemar's exact test on the predictions of one run each [{mcnemar}]",
        "paired t": "a paired t-test over the common seeds",
        "moderated t": "a paired t-test over the common seeds with moderated variances [{smyth}]",
    }
    used = [text for name, text in named.items() if any(test.startswith(name) for test in tests)]
    if used:
        sentences.append(
            f"Differences to the earlier one were tested by {' or '.join(used)}, two-sided at the {100 * ALPHA:.0f} % "
            "level with Holm's correction [{holm}]."
        )
    if cut := sorted({each.reduced for each in comparisons if each.reduced is not None}):
        sentences.append(f"Some runs had a reduced budget ({'; '.join(cut)}).")
    return sentences


def _test_set(accesses: Sequence[TestSetAccess]) -> str:
    if not accesses:
        return "The test images were not used."
    first, last = accesses[0].when[:10], accesses[-1].when[:10]
    times = "once" if len(accesses) == 1 else f"{len(accesses)} times"
    when = f"on {first}" if first == last else f"from {first} to {last}"
    runs = {key for access in accesses for key in access.runs}
    return f"The test images were opened {times}, {when}, to evaluate {plural(len(runs), 'run')}."


def _machine(reader: MlflowReader, state: SweepState, rows: Sequence[Row]) -> Iterable[str]:
    if not rows:
        return
    environment = reader.environment(str(rows[-1]["run_id"]))
    seconds = sum(record.train_seconds or 0.0 for record in state.records_and_replicates)
    device = environment.get("device", "")
    threads = environment.get("threads", "")
    on = f" on {device.upper()}" if device else ""
    on += f" with {plural(int(threads), 'thread')} each" if threads.isdigit() else ""
    yield f"Training took {duration(seconds)} in total{on}."
    versions = ", ".join(f"{name} {version}" for name, version in versions_of(reader, rows[-1]).items())
    if versions:
        yield f"Software: {versions}."
