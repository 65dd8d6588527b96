"""The plan of a question: two configurations under shared seeds, until it is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sweeps.core.identity import Protocol
from sweeps.core.measure import Measure
from sweeps.core.task import TaskConfig
from sweeps.core.trial import MeasuredOn, RungLabel
from sweeps.driver.plan import QUESTION, RunPlan, TrainedWith
from sweeps.files.confirmation import ConfirmationPart
from sweeps.files.settings import Limits, Metric, Resources
from sweeps.search.paired_seeds import PairedSeeds
from sweeps.search.proposers import Candidate
from sweeps.stopping.never import Never
from sweeps.store.questions import Question
from sweeps.tasks.registry import task_of


def plan_of_question(
    question: Question,
    configs: tuple[TaskConfig, TaskConfig],
    *,
    names: tuple[str, str],
    seeds: int,
    is_answered: Callable[[Sequence[tuple[float, float]]], bool],
    budget: float | None,
    confirmation: ConfirmationPart,
    resources: Resources,
    trained_with: Sequence[TrainedWith],
    command: str,
) -> tuple[RunPlan, PairedSeeds]:
    """Return the plan of a question, and what will know the values of its seeds after a run of the plan.

    Args:
        question: The question.
        configs: The two configurations, in its order.
        names: Names of the two.
        seeds: Largest number of seeds.
        is_answered: Returns whether the values of some seeds answer it.
        budget: Seconds of this start; None for no limit.
        confirmation: The data on which both are measured.
        resources: Resources of a run.
        trained_with: The recorded runs among the two, for checking that their code has not changed.
        command: The command that asks it.
    """
    measure = Measure(name=question.asked.metric, maximize=question.asked.goal == "maximize")
    task = task_of(configs[0])
    on = MeasuredOn.VALIDATION if Protocol.of(configs[0]).validation_images else MeasuredOn.METRIC
    candidates = tuple(
        Candidate(
            config=config.model_copy(update={"seed": question.first_seed}),
            rung=RungLabel(name=name, index=index, parent=None, measured_on=on),
        )
        for index, (config, name) in enumerate(zip(configs, names, strict=True))
    )
    paired = PairedSeeds(
        (candidates[0], candidates[1]),
        seeds=range(question.first_seed, question.first_seed + seeds),
        metric=measure.name,
        is_answered=is_answered,
    )
    plan = RunPlan(
        name=question.sweep,
        description=f"question {question.number}: is {names[0]} better than {names[1]}?",
        definition=QUESTION | {"first": question.asked.first_key, "second": question.asked.second_key},
        metric=Metric(name=measure.name, goal=question.asked.goal),
        run_cap=None,
        limits=Limits(timeout=budget),
        resources=resources,
        early_terminate=Never(),
        epochs=max(config.epochs for config in configs),
        task=task,
        data=configs,
        models=list(dict.fromkeys(task.label(config) for config in configs)),
        first=lambda: configs,
        proposer=lambda key_of: paired,
        command=command,
        keep_best=1,
        confirmation=confirmation,
        is_ladder=True,
        judged=True,
        trained_with=trained_with,
    )
    return plan, paired
