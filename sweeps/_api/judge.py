"""Ask whether one configuration is better than another, and list the questions of a runs folder."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from sweeps.analysis.judging import MAX_SEEDS, Answer, Judgement, fewest_seeds, seeds_for
from sweeps.analysis.judging import judge as judgement_of
from sweeps.analysis.online_fdr import level_of_question
from sweeps.analysis.power import KnownSpread, known_spread, size
from sweeps.core.commands import DEFAULT_RUNS
from sweeps.core.errors import NoSuchSweepError, SweepError
from sweeps.core.formatting import plural
from sweeps.core.identity import Identifier, Protocol
from sweeps.core.measure import Measure
from sweeps.core.task import LAST_SEED
from sweeps.store.questions import Asked, Question, Result, add_result, ask, find_question, read_questions
from sweeps.views.json_output import JudgeOutput, QuestionOutput, QuestionsOutput, SideOutput
from sweeps.views.judged import print_answer, print_questions, result_sentence
from sweeps.views.printed import Printed

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.driver.options import RunKeywords, RunSummary
    from sweeps.files.confirmation import ConfirmationPart
    from sweeps.record.table import Row
    from sweeps.use.named_config import NamedConfig
    from sweeps.views.paper import PaperTable

UNTIL = 0.95
"""Confidence of a runs folder without a question."""
BUDGET_SECONDS = 20 * 60.0
MARGIN_POINTS = 1.0


@dataclass(frozen=True, kw_only=True, repr=False)
class Judged(Printed):
    """The answer to a question, with its evidence."""

    question: Question
    first: str
    """Names of the two, as they were asked now."""
    second: str
    first_run: str
    """Names of the two with their runs, for other verbs."""
    second_run: str
    judgement: Judgement
    measure: Measure
    images: str
    """What the metric was measured on; empty for a custom training."""
    level: float
    margin: float | None
    until: float
    without_value: int
    """Seeds that do not count, because a run diverged or failed."""
    summary: RunSummary

    @property
    def answer(self) -> Answer:
        """The answer."""
        return self.judgement.answer

    def to_json(self) -> str:
        """Return it as JSON; `sweeps schema json judge` prints its schema."""
        found = self.judgement
        return JudgeOutput(
            question=self.question.number,
            answer=self.answer.value,
            first=SideOutput(name=self.first, run=self.first_run, mean=found.mean_first),
            second=SideOutput(name=self.second, run=self.second_run, mean=found.mean_second),
            metric=self.measure.name,
            unit=self.measure.unit,
            difference=found.difference,
            low=found.low,
            high=found.high,
            no_difference_above=found.bound if self.answer is Answer.NO_DIFFERENCE else None,
            margin=self.margin,
            seeds=found.seeds,
            seeds_without_value=self.without_value,
            level=self.level,
            until=self.until,
            measured_on=self.images or None,
            trained=self.summary.trained,
            stopped_by=self.summary.stopped_by,
            sentence=self.sentence,
        ).json_text()

    @property
    def sentence(self) -> str:
        """The answer in words."""
        return result_sentence(self.judgement, names=(self.first, self.second), measure=self.measure, level=self.level)

    def paper(self, *, runs: str | Path = DEFAULT_RUNS) -> PaperTable:
        """Return the table for a paper, whose `latex()` and `markdown()` are texts."""
        from sweeps.record.reader import MlflowReader
        from sweeps.views.paper_tables import judge_table, versions_of

        reader = MlflowReader(Path(runs))
        rows = reader.runs(sweep=self.question.sweep).rows
        return judge_table(
            self.judgement,
            names=(self.first, self.second),
            measure=self.measure,
            images=self.images,
            level=self.level,
            number=self.question.number,
            versions=versions_of(reader, rows[-1]) if rows else None,
        )

    def print_to(self, console: Console) -> None:
        """Print the answer and its evidence."""
        print_answer(
            self.judgement,
            console,
            names=(self.first, self.second),
            measure=self.measure,
            level=self.level,
            without_value=self.without_value,
        )


@dataclass(frozen=True, kw_only=True, repr=False)
class Questions(Printed):
    """All questions of a runs folder."""

    questions: tuple[Question, ...]

    def to_json(self) -> str:
        """Return them as JSON; `sweeps schema json judge` prints its schema."""
        rows = [
            QuestionOutput(
                question=each.number,
                first=each.asked.first,
                second=each.asked.second,
                metric=each.asked.metric,
                answer=Answer.OPEN.value if each.result is None else each.result.answer,
                difference=None if each.result is None else each.result.difference,
                low=None if each.result is None else each.result.low,
                high=None if each.result is None else each.result.high,
                seeds=0 if each.result is None else each.result.seeds,
                level=level_of(each, until=each.until),
                asked=each.when,
            )
            for each in self.questions
        ]
        return QuestionsOutput(questions=rows, until=self.until).json_text()

    @property
    def until(self) -> float | None:
        """Confidence of the family; None without questions."""
        return self.questions[0].until if self.questions else None

    def print_to(self, console: Console) -> None:
        """Print a line per question."""
        print_questions(self.questions, console)


def level_of(question: Question, *, until: float) -> float:
    """Return the level of a question: the probability of a wrong answer to it."""
    return level_of_question(question.number, answers=question.answers_before, alpha=1 - until)


def questions(runs: str | Path = DEFAULT_RUNS) -> Questions:
    """Return the questions that were asked in a runs folder, with their last answers.

    Raises:
        StoreError: the log of the questions cannot be read.
    """
    return Questions(questions=tuple(read_questions(Path(runs))))


def judge(
    first: str,
    second: str,
    *,
    until: float | None = None,
    budget: float | None = BUDGET_SECONDS,
    margin: float | None = None,
    seeds_at_most: int | None = None,
    overrides: Sequence[str] = (),
    runs: str | Path = DEFAULT_RUNS,
    on_start: Callable[[str], None] = lambda line: None,
    **how: Unpack[RunKeywords],
) -> Judged:
    """Train two configurations under shared new seeds until it is answered whether the first is better.

    The interval of the difference may be looked at after each seed, and all questions of a runs folder count together:
    of its answers, at most a share of `1 - until` is expected to be wrong. The same question continues with its seeds,
    and trains nothing once it is answered.

    Args:
        first: a recorded run or configuration (`quick-003`, `ladder/deep`), a file with one configuration
            (`best.yaml`, `ladder.yaml:deep`), or changes to the other one (`optimizer.lr=0.05 model.width=32`).
        second: as `first`.
        until: confidence of all answers of the runs folder together, at least that of its first question; None for
            that, or 0.95.
        budget: seconds of this call; None for no limit.
        margin: a difference that does not matter, in points or in the unit of the metric. None for 1 point, and for
            no such difference of another metric.
        seeds_at_most: largest number of seeds of each; None for no limit.
        overrides: `path=value` for both configurations.
        runs: the runs folder.
        on_start: called with sentences about the question before anything is trained.
        how: as for `run`.

    Raises:
        SweepError: nothing was started. The message says what to do.
        DataUnavailableError: CIFAR-10 cannot be fetched.
        RecordError: the record cannot be opened.
        Interrupted: as for `run`.

    Example:
        >>> sweeps.judge("quick-003", "quick-007").answer
        <Answer.BETTER: 'better'>
    """
    from sweeps._api.functions import carry_out
    from sweeps.driver.options import RunOptions
    from sweeps.driver.question import plan_of_question
    from sweeps.record.reader import MlflowReader
    from sweeps.use.named_config import named_pair

    runs = Path(runs)
    pair = named_pair(first, second, runs=runs, overrides=overrides)
    measure = _shared_measure(*pair)
    if margin is None and measure.is_share:
        margin = MARGIN_POINTS
    part, images = _images_of(*pair, measure)
    rows = MlflowReader(runs).runs().rows
    question, is_mirrored = _asked(pair, measure, images=images, rows=rows, runs=runs, until=until)
    until = question.until if until is None else until
    level = level_of(question, until=until)
    spread = known_spread(
        rows,
        measure=measure,
        protocol=Protocol.of(pair[0].config),
        sweeps=frozenset(each.sweep for each in pair if each.sweep is not None),
    )
    for line in _opening(question, pair, level=level, spread=spread, images=images):
        on_start(line)
    ordered = (pair[1], pair[0]) if is_mirrored else pair

    def judgement(values: Sequence[tuple[float, float]]) -> Judgement:
        return judgement_of(values, level=level, margin=margin, measure=measure)

    plan, paired = plan_of_question(
        question,
        (ordered[0].config, ordered[1].config),
        names=(question.asked.first, question.asked.second),
        seeds=min(seeds_at_most or question.seeds, question.seeds),
        is_answered=lambda values: judgement(values).answer is not Answer.OPEN,
        budget=budget,
        confirmation=part,
        resources=_resources_of(pair, runs=runs),
        trained_with=_trained_with(ordered),
        command=shlex.join(["sweeps", "judge", first, second, *(f"--set={each}" for each in overrides)]),
    )
    summary = carry_out(plan, RunOptions(runs=runs, **how))
    found = judgement(paired.pairs)
    add_result(
        runs,
        Result(
            number=question.number,
            answer=found.answer.value,
            is_answered=found.answer is not Answer.OPEN,
            seeds=found.seeds,
            difference=found.difference,
            low=found.low,
            high=found.high,
            margin=margin,
            until=until,
            when="",
        ),
    )
    recorded = [f"{question.sweep}/{name}" for name in (question.asked.first, question.asked.second)]
    return Judged(
        question=question,
        first=pair[0].name,
        second=pair[1].name,
        first_run=recorded[is_mirrored],
        second_run=recorded[not is_mirrored],
        judgement=found.mirrored() if is_mirrored else found,
        measure=measure,
        images=images,
        level=level,
        margin=margin,
        until=until,
        without_value=len(paired.ended) - len(paired.pairs),
        summary=summary,
    )


def _asked(
    pair: tuple[NamedConfig, NamedConfig],
    measure: Measure,
    *,
    images: str,
    rows: Sequence[Row],
    runs: Path,
    until: float | None,
) -> tuple[Question, bool]:
    """Return the question, and whether it was asked first with the two exchanged."""
    from sweeps.tasks.registry import task_of
    from sweeps.tasks.sources import TaskSources

    task = task_of(pair[0].config)
    identify = Identifier(data_fingerprint=task.data_fingerprint, source_of=TaskSources(task).hash_of)
    identities = [identify(each.config.model_copy(update={"seed": 0})) for each in pair]
    if identities[0].key == identities[1].key:
        raise SweepError(f"{pair[0].name} and {pair[1].name} are the same configuration. Name two that differ")
    asked = Asked(
        first=pair[0].name,
        second=pair[1].name,
        first_key=identities[0].key,
        second_key=identities[1].key,
        metric=measure.name,
        goal="maximize" if measure.maximize else "minimize",
        images=images,
    )
    earlier = read_questions(runs)
    if earlier and until is not None and until < earlier[0].until:
        raise SweepError(
            f"--until {until:g}: the questions in {runs} are answered with {earlier[0].until:g} together, since its "
            f"first one. Ask with at least that, or in another runs folder (--runs)"
        )
    question = find_question(earlier, asked)
    if question is None:
        ids = {each.config_id for each in identities}
        seeds = [int(row["seed"]) for row in rows if row["config_id"] in ids]
        last = max((*seeds, *(each.config.seed for each in pair)), default=-1)
        if last + MAX_SEEDS > LAST_SEED:
            raise SweepError(f"no new seeds are left: a run has the seed {last}, and the largest seed is {LAST_SEED}")
        question = ask(runs, asked, until=UNTIL if until is None else until, last_used_seed=last, seeds=MAX_SEEDS)
    return question, question.asked.first_key != asked.first_key


def _shared_measure(first: NamedConfig, second: NamedConfig) -> Measure:
    """Return what both are compared by."""
    from cifar_core.common.user_modules import NETWORK
    from sweeps.tasks.registry import task_of

    tasks = [task_of(each.config) for each in (first, second)]
    if tasks[0].name != tasks[1].name:
        raise SweepError(f"{first.name} and {second.name} train different things: {tasks[0].name} and {tasks[1].name}")
    known = list(dict.fromkeys(each.measure for each in (first, second) if each.measure is not None))
    if tasks[0].code_kind is NETWORK:
        return known[0] if len(known) == 1 else Measure(name="val_accuracy")
    if len(known) != 1:
        names = " and ".join(each.name for each in known) or "none"
        raise SweepError(f"{first.name} and {second.name} have no common metric: {names}")
    return known[0]


def _images_of(first: NamedConfig, second: NamedConfig, measure: Measure) -> tuple[ConfirmationPart, str]:
    """Return the data on which both are measured, also in words; these are empty for a custom training without them."""
    from cifar_core.common.user_modules import NETWORK
    from sweeps.files.confirmation import confirmation_part
    from sweeps.tasks.registry import task_of

    pair, task = (first, second), task_of(first.config)
    part = confirmation_part(task, [each.config for each in pair], metric=measure.name, images=None)
    if task.code_kind is not NETWORK:
        return part, f"{part.examples:,} examples that no search used" if part.examples else ""
    if part.examples and len({task.confirmation_name(each.config, part.examples) for each in pair}) > 1:
        raise SweepError(
            f"{first.name} and {second.name} have different splits. Set data.split_seed of both with --set"
        )
    protocols = [Protocol.of(each.config) for each in pair]
    for each, protocol in zip(pair, protocols, strict=True):
        if not protocol.validation_images:
            raise SweepError(
                f"{each.name} has no validation images, and the test images decide no question. Add "
                "--set data.validation_size=2000"
            )
    splits = [(each.validation_images, each.split_seed, each.data) for each in protocols]
    if splits[0] != splits[1]:
        described = " and ".join(f"{images:,} of split {split}" for images, split, _ in splits)
        raise SweepError(
            f"{first.name} and {second.name} have different validation images: {described}. Set "
            "data.validation_size and data.split_seed of both with --set"
        )
    if part.examples:
        return part, f"{part.examples:,} images that no search used"
    images, split, _ = splits[0]
    return part, f"the {images:,} validation images of split {split}, because {part.reason}"


def _resources_of(pair: Sequence[NamedConfig], *, runs: Path) -> Any:
    """Return the resources of a run: those of the first sweep or file that has some."""
    from sweeps.driver.plan import RESOURCES
    from sweeps.files.settings import Resources
    from sweeps.search.opening import read_study
    from sweeps.store.folder import SweepFolder

    for each in pair:
        if each.resources is not None:
            return each.resources
        if each.sweep is not None:
            try:
                stored = read_study(SweepFolder(runs.resolve(), each.sweep)).user_attrs.get(RESOURCES)
            except NoSuchSweepError:
                continue
            if stored:
                return Resources.model_validate(stored)
    return Resources()


def _trained_with(pair: Sequence[NamedConfig]) -> list[Any]:
    from sweeps.driver.plan import TrainedWith

    return [
        TrainedWith(run=each.run, sweep=each.sweep, config=each.recorded, source=each.source)
        for each in pair
        if each.run is not None and each.sweep is not None and each.recorded is not None
    ]


def _opening(
    question: Question,
    pair: Sequence[NamedConfig],
    *,
    level: float,
    spread: KnownSpread | None,
    images: str,
) -> list[str]:
    """Return what is asked, on what it is measured, and how many seeds it may take."""
    on = f" by {question.asked.metric}" + (f" on {images}" if images else "")
    before = question.number - 1
    place = f"{plural(before, 'question')} before it, {question.answers_before} answered" if before else "the first"
    lines = [
        f"question {question.number}: is {pair[0].name} better than {pair[1].name}{on}? New seeds from "
        f"{question.first_seed}; level {level:.2g} ({place} in this runs folder)"
    ]
    if spread is None:
        unknown = f"the spread of {question.asked.metric} over seeds is unknown"
        return [*lines, f"needs at least {fewest_seeds(level)} seeds: {unknown}"]
    sizes = (1.0, 2.0) if spread.measure.is_share else (spread.deviation, 2 * spread.deviation)
    needed = []
    for each in sizes:
        seeds = seeds_for(each, deviation=spread.deviation, level=level)
        count = f"more than {MAX_SEEDS}" if seeds is None else f"about {seeds}"
        needed.append(f"{count} seeds for a difference of {size(spread.measure, each)}")
    return [*lines, f"needs {', '.join(needed)} ({spread.origin})"]
