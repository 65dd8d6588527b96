"""`sweeps methods`."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.cli.options import A_SWEEP, runs_option
from sweeps.cli.param_types import SweepName


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SWEEP)
@click.option("--latex", "is_latex", is_flag=True, help="Escape the text for LaTeX.")
@runs_option
def methods(sweep: str, is_latex: bool, runs: Path) -> None:
    """Write the paragraph of a paper's methods section on a sweep or a ladder, from its record.

    It states the data, the search space, the sampler, the stopping rule, the numbers of trials, epochs and seeds, the
    tests with their correction, the accesses to the test images, and the versions, with references.

    \b
    Example:
      sweeps methods quick
      sweeps methods ladder --latex > methods.tex
    """
    from sweeps.record.reader import MlflowReader
    from sweeps.views.methods import methods_of
    from sweeps.views.paper import latex_text

    text = str(methods_of(MlflowReader(runs), sweep, runs=runs))
    click.echo("\n".join(map(latex_text, text.split("\n"))) if is_latex else text)
