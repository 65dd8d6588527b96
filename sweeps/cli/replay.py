"""`sweeps replay`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from sweeps.cli.options import A_SEARCH, runs_option, seconds_of
from sweeps.cli.param_types import SweepName


def _rule(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the rules of `asha` or of `{type: asha, min_epochs: 2}`."""
    import yaml
    from pydantic import ValidationError

    from cifar_core.common.validation import explain
    from sweeps._api.replay import RULE_NAMES
    from sweeps.stopping.rules import parse_rule

    rules = []
    for value in values or RULE_NAMES:
        try:
            content = yaml.safe_load(value)
            rules.append(parse_rule(content if isinstance(content, dict) else {"type": value}))
        except yaml.YAMLError:
            raise click.BadParameter(
                f"{value!r} is not valid YAML. Write asha or '{{type: asha, min_epochs: 2}}'."
            ) from None
        except ValidationError as error:
            raise click.BadParameter("; ".join(explain(error))) from None
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    return tuple(rules)


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SEARCH)
@click.option(
    "--method",
    "methods",
    type=click.Choice(["bayes", "random", "grid"]),
    multiple=True,
    default=("bayes",),
    show_default=True,
    help="Sampler; repeatable.",
)
@click.option(
    "--early",
    "rules",
    metavar="RULE",
    multiple=True,
    callback=_rule,
    help="Rule of early stopping: a name, or a block such as '{type: asha, min_epochs: 2}'; repeatable.  "
    "[default: all rules]",
)
@click.option("--run-cap", type=click.IntRange(min=1), help="Number of trials.  [default: all recorded configurations]")
@click.option(
    "--budget",
    metavar="TIME",
    callback=seconds_of,
    help="Simulated time of each search, such as 20m, at whose end the best configuration is complete.",
)
@click.option(
    "--slots", type=click.IntRange(min=1), default=2, show_default=True, help="Number of trials that train at once."
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=20, show_default=True, help="Number of replays, each with a seed."
)
@runs_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def replay(
    sweep: str,
    methods: tuple[str, ...],
    rules: tuple[Any, ...],
    run_cap: int | None,
    budget: float | None,
    slots: int,
    seeds: int,
    runs: Path,
    as_json: bool,
) -> None:
    """Replay a recorded sweep with other settings, without training: what would they have found, and in what time?

    Each replay searches among the recorded configurations with the same sampler, the same early stopping and the
    recorded times. A configuration counts with the mean of its replicates, if it has any.

    \b
    Example:
      sweeps replay quick --early none --early asha --slots 8 --seeds 50
      sweeps replay quick --budget 20m --early none --early asha
      sweeps replay quick --run-cap 12 --method random --method bayes --early '{type: asha, min_epochs: 2}'
    """
    from sweeps._api.replay import replay as replayed
    from sweeps.cli.terminal import console

    with click.progressbar(
        length=len(methods) * len(rules) * seeds, label="replaying", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        found = replayed(
            sweep,
            methods=methods,
            early=rules,
            run_cap=run_cap,
            budget=budget,
            slots=slots,
            seeds=seeds,
            runs=runs,
            on_replay=lambda: bar.update(1),
        )
    if as_json:
        click.echo(found.to_json())
    else:
        found.print_to(console())
