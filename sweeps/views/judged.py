"""The answer to a question, and the questions of a runs folder, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweeps.analysis.judging import Answer, Judgement, fewest_seeds
from sweeps.analysis.power import size
from sweeps.core.formatting import metric_text, plural, print_sentence
from sweeps.core.measure import Measure
from sweeps.store.questions import Question
from sweeps.views.tables import print_fitting

if TYPE_CHECKING:
    from rich.console import Console


def result_sentence(found: Judgement, *, names: tuple[str, str], measure: Measure, level: float) -> str:
    """Return the answer in one sentence.

    Args:
        found: The answer.
        names: Of the two configurations.
        measure: What they are compared by.
        level: Level of the question.
    """
    first, second = names
    seeds = f"{plural(found.seeds, 'shared seed')}"
    if found.difference is None:
        return f"{Answer.OPEN}: no shared seed is complete"
    if found.bound is None or found.low is None or found.high is None:
        return (
            f"{Answer.OPEN}: {first} minus {second} is {measure.difference(found.difference)} over {seeds}, and at "
            f"least {fewest_seeds(level)} are needed"
        )
    interval = f"{measure.signed(found.low)} to {measure.signed(found.high)}"
    if found.answer is Answer.NO_DIFFERENCE:
        return (
            f"{Answer.NO_DIFFERENCE} larger than {size(measure, found.bound)} between {first} and {second}: "
            f"{measure.signed(found.difference)} ({interval}) over {seeds}"
        )
    if found.answer is Answer.OPEN:
        return (
            f"{Answer.OPEN}: {first} minus {second} is {measure.difference(found.difference)} ({interval}) over {seeds}"
        )
    by = size(measure, abs(found.difference))
    return f"{first} is {found.answer} than {second} by {by} ({interval}) over {seeds}"


def print_answer(
    found: Judgement, console: Console, *, names: tuple[str, str], measure: Measure, level: float, without_value: int
) -> None:
    """Print the answer, the two means, and the seeds that do not count."""
    print_sentence(console, result_sentence(found, names=names, measure=measure, level=level))
    if found.mean_first is not None and found.mean_second is not None:
        means = zip(names, (found.mean_first, found.mean_second), strict=True)
        print_sentence(console, "; ".join(f"{name}: mean {metric_text(measure.name, mean)}" for name, mean in means))
    if without_value:
        print_sentence(
            console,
            f"{plural(without_value, 'seed')} left out, at which a run diverged or failed: the answer is about the "
            "other runs",
        )


def print_questions(questions: Sequence[Question], console: Console) -> None:
    """Print a line per question, and what holds for all answers together."""
    if not questions:
        print_sentence(console, "no question was asked in this runs folder. Ask one: sweeps judge quick-003 quick-007")
        return
    columns: dict[str, list[str]] = {
        name: [] for name in ("question", "first", "second", "answer", "first − second", "interval", "seeds")
    }
    for each in questions:
        measure, found = Measure(name=each.asked.metric, maximize=each.asked.goal == "maximize"), each.result
        cells = [str(each.number), each.asked.first, each.asked.second]
        if found is None or found.difference is None:
            cells += [Answer.OPEN.value, "", "", "0" if found is None else str(found.seeds)]
        else:
            interval = (
                ""
                if found.low is None or found.high is None
                else " to ".join(map(measure.signed, (found.low, found.high)))
            )
            cells += [found.answer, measure.difference(found.difference), interval, str(found.seeds)]
        for column, cell in zip(columns.values(), cells, strict=True):
            column.append(cell)
    print_fitting(columns, console, left={"first", "second", "answer"})
    answered = sum(each.is_answered for each in questions)
    print_sentence(
        console,
        f"{plural(len(questions), 'question')}, {plural(answered, 'answer')}, of which at most "
        f"{100 * (1 - questions[0].until):.0f} % are expected to be wrong",
    )
