"""How much of a ladder is meant: the options by which `sweeps ladder` runs it and `sweeps plan` counts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from sweeps.errors import SweepError

if TYPE_CHECKING:
    from sweeps.spec import Budget, Ladder, Rung

_OPTIONS = (
    click.option("--rungs", "only", metavar="A,B", help="Only these rungs."),
    click.option("--seeds", type=click.IntRange(min=1), help="Runs of each rung.  [default: the file's seeds, or 1]"),
    click.option(
        "--final",
        is_flag=True,
        help="Of a file with `evaluate: validation`: set no images aside, so that what trains on all trains on all "
        "50,000, and measure each rung on the test images, under the name NAME-final.",
    ),
    click.option(
        "--epochs-scale",
        type=click.FloatRange(min=0, min_open=True, max=1),
        default=1.0,
        show_default=True,
        help="Share of each rung's epochs; shown as a reduced budget everywhere.",
    ),
    click.option("--train-size", type=click.IntRange(min=100, max=50_000), help="Training images; as --epochs-scale."),
)


def part_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options that `read_part` takes, under its names."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class PartOptions(TypedDict):
    """What the options say."""

    only: str | None
    seeds: int | None
    final: bool
    epochs_scale: float
    train_size: int | None


@dataclass(frozen=True, kw_only=True)
class LadderPart:
    """A ladder, and how much of it is run."""

    ladder: Ladder
    """With --final the one that is measured last."""
    file_text: str
    """The ladder's file with its overrides, as it is without --final."""
    budget: Budget
    chosen: list[str]
    """Names of the rungs that are run; all where empty."""
    words: list[str]
    """Of the command line that says the same."""
    final_words: list[str]
    """Of the one that measures the same rungs last: always the whole budget."""

    @property
    def rungs(self) -> list[Rung]:
        return [rung for rung in self.ladder.rungs if not self.chosen or rung.name in self.chosen]


def read_part(file: Path, overrides: tuple[str, ...], **options: Unpack[PartOptions]) -> LadderPart:
    """Return what a ladder's file and the options mean.

    Raises:
        SweepError: the file is none of a ladder, it has no such rung, or the options contradict each other.
    """
    from sweeps.spec import Budget, load_ladder

    loaded = load_ladder(file, overrides=overrides)
    ladder = loaded.final() if options["final"] else loaded
    budget = Budget(epochs_scale=options["epochs_scale"], train_size=options["train_size"], seeds=options["seeds"])
    if ladder.is_final and (budget.epochs_scale, budget.train_size) != (1.0, None):
        raise SweepError("--final is the whole budget: leave out --epochs-scale and --train-size")
    chosen = [name.strip() for name in (options["only"] or "").split(",") if name.strip()]
    if options["only"] is not None and not chosen:
        raise SweepError(f"--rungs {options['only']!r} names none: leave it out for the whole ladder")
    for name in chosen:
        ladder.rung(name)
    return LadderPart(
        ladder=ladder,
        file_text=loaded.text,
        budget=budget,
        chosen=chosen,
        words=words_of(**options),
        final_words=words_of(
            only=options["only"], seeds=options["seeds"], final=True, epochs_scale=1.0, train_size=None
        ),
    )


def words_of(**options: Unpack[PartOptions]) -> list[str]:
    """Return the options as they are typed: those alone that say anything."""
    given = {
        "--rungs": options["only"] or None,
        "--seeds": options["seeds"],
        "--epochs-scale": None if options["epochs_scale"] == 1.0 else options["epochs_scale"],
        "--train-size": options["train_size"],
    }
    said = [word for option, value in given.items() if value is not None for word in (option, str(value))]
    return [*(["--final"] if options["final"] else []), *said]
