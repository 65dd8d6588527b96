"""The part of a ladder that command-line options select, for `sweeps ladder` and `sweeps plan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, Unpack

from cifar_core.common.user_modules import NETWORK
from sweeps.core.errors import SweepError
from sweeps.files.budget import Budget
from sweeps.files.ladder import Ladder, Rung
from sweeps.files.ladder_file import load_ladder
from sweeps.tasks.registry import task_of


class PartOptions(TypedDict):
    """Values of the options."""

    only: str | None
    seeds: int | None
    final: bool
    epochs_scale: float
    train_size: int | None


@dataclass(frozen=True, kw_only=True)
class LadderPart:
    """A ladder, and the part of it to run."""

    ladder: Ladder
    """With --final, the ladder of the final evaluation."""
    budget: Budget
    chosen: list[str]
    """Names of the rungs to run; empty for all."""
    arguments: list[str]
    """Command-line arguments that select this part."""
    final_arguments: list[str]
    """Command-line arguments of the final evaluation of the same rungs, at the full budget."""

    @property
    def rungs(self) -> list[Rung]:
        return [rung for rung in self.ladder.rungs if not self.chosen or rung.name in self.chosen]


def _require_effect(budget: Budget, ladder: Ladder) -> None:
    """Raise SweepError if a part of the budget cannot reduce a training of the user's own."""
    config = ladder.rungs[0].config
    task = task_of(config)
    if task.code_kind is NETWORK:
        return
    label = task.label(config)
    if budget.train_size is not None:
        raise SweepError(f"--train-size is for networks. Reduce the data of {label} with a parameter of its own.")
    if not config.epochs:
        raise SweepError(f"--epochs-scale needs the number of results. Write `epochs: 10` for {label} in the file.")


def read_part(file: Path, overrides: Sequence[str], **options: Unpack[PartOptions]) -> LadderPart:
    """Return the part of a ladder that the options select.

    Raises:
        SweepError: the file is not a ladder, a rung does not exist, or the options contradict each other.
    """
    loaded = load_ladder(file, overrides=overrides)
    ladder = loaded.final() if options["final"] else loaded
    budget = Budget(epochs_scale=options["epochs_scale"], train_size=options["train_size"], seeds=options["seeds"])
    if ladder.is_final and (budget.epochs_scale, budget.train_size) != (1.0, None):
        raise SweepError("--final needs the full budget. Leave out --epochs-scale and --train-size.")
    if budget != replace(budget, epochs_scale=1.0, train_size=None):
        _require_effect(budget, ladder)
    chosen = [name.strip() for name in (options["only"] or "").split(",") if name.strip()]
    if options["only"] is not None and not chosen:
        raise SweepError(f"--rungs {options['only']!r} names no rung. Leave it out to run all rungs.")
    for name in chosen:
        ladder.rung(name)
    return LadderPart(
        ladder=ladder,
        budget=budget,
        chosen=chosen,
        arguments=arguments_of(**options),
        final_arguments=arguments_of(
            only=options["only"], seeds=options["seeds"], final=True, epochs_scale=1.0, train_size=None
        ),
    )


def arguments_of(**options: Unpack[PartOptions]) -> list[str]:
    """Return the command-line arguments of all options with a value."""
    given = {
        "--rungs": options["only"] or None,
        "--seeds": options["seeds"],
        "--epochs-scale": None if options["epochs_scale"] == 1.0 else options["epochs_scale"],
        "--train-size": options["train_size"],
    }
    typed = [word for option, value in given.items() if value is not None for word in (option, str(value))]
    return [*(["--final"] if options["final"] else []), *typed]
