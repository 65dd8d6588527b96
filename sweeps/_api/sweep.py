"""`Sweep` and `SweepResult`: a sweep and its result as objects, for notebooks."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from sweeps._api import functions as api
from sweeps.core.commands import DEFAULT_RUNS
from sweeps.core.errors import NoSuchSweepError, RecordError
from sweeps.files.sweep import SweepSpec
from sweeps.record.reader import MlflowReader
from sweeps.record.table import Table, table_of
from sweeps.views.boards import CompactBoardView
from sweeps.views.html.write import verdict
from sweeps.views.leaderboard import query_leaderboard
from sweeps.views.printed import Printed

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from cifar_core import Classifier
    from sweeps.driver.options import RunKeywords, RunSummary

_log = logging.getLogger(__name__)


class Sweep(Printed):
    """A sweep. In a notebook it shows its search space and the end of its last run.

    Attributes:
        spec: the content of its file: name, space, base, budget.
        result: of the last `run` in this process, also if it was interrupted; None before.

    Example:
        >>> Sweep.from_file("experiments/quick.yaml").run()  # a table in a notebook
    """

    def __init__(self, definition: SweepSpec) -> None:
        self.spec = definition
        self.result: SweepResult | None = None

    @classmethod
    def from_file(cls, path: str | Path, *, overrides: Sequence[str] = ()) -> Sweep:
        """Return the sweep of a YAML file. Arguments and errors are those of `load_spec`."""
        return cls(api.load_spec(path, overrides=overrides))

    def run(
        self,
        *,
        runs: str | Path = DEFAULT_RUNS,
        new: bool = False,
        widen: bool = False,
        **how: Unpack[RunKeywords],
    ) -> SweepResult:
        """Train the missing trials and the replicates in the file, and return the result.

        Arguments and errors are those of the function `run`. After an interrupt, `result` has the result so far.
        """
        from sweeps.driver.options import Interrupted

        try:
            summary = api.run(self.spec, runs=runs, new=new, widen=widen, **how)
        except Interrupted as stop:
            self.result = self._result(stop.summary, runs=Path(runs))
            raise
        self.result = self._result(summary, runs=Path(runs))
        return self.result

    def _result(self, summary: RunSummary, *, runs: Path) -> SweepResult:
        name = self.spec.name
        # A start that was stopped before its first trial leaves no sweep.
        board = _board(name if summary.records else None, runs=runs)
        sentences = verdict(name, board, runs=runs) if summary.records else []
        return SweepResult(name=name, runs=runs, summary=summary, board=board, verdict=tuple(sentences))

    def print_to(self, console: Console) -> None:
        """Print its name, space and budget, and the end of its last run."""
        from sweeps.core.formatting import plural, print_sentence
        from sweeps.views.tables import space_table

        about, cap = self.spec, self.spec.run_cap
        print_sentence(console, f"{about.name}: {about.description}" if about.description else about.name)
        console.print(space_table(about.space))
        size = about.space.cardinality
        most = [] if cap is None else [f"at most {plural(cap, 'trial')}"]
        most += [] if size is None else [plural(size, "combination")]
        print_sentence(
            console, ", ".join([f"{about.method} search", *most, f"{about.metric.goal} {about.metric.name}"])
        )
        if self.result is not None:
            print_sentence(console, self.result.ending)


def _board(sweep: str | None, *, runs: Path) -> Table:
    """Return a sweep's leaderboard, empty if there is none or the record is unreachable."""
    from sweeps.record.availability import is_unresponsive

    was_reported = is_unresponsive(runs)
    try:
        return table_of([]) if sweep is None else query_leaderboard(MlflowReader(runs), sweep=sweep)
    except (RecordError, NoSuchSweepError) as error:
        if not was_reported:
            _log.warning("the leaderboard cannot be read now: %s", error)
        return table_of([])


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SweepResult(Printed):
    """The result of a sweep. In a notebook it shows a compact table with the verdict below."""

    name: str
    runs: Path
    summary: RunSummary
    board: Table
    verdict: tuple[str, ...] = ()
    """Two sentences: the winner and its confidence, and how it was found."""

    @functools.cached_property
    def leaderboard(self) -> pd.DataFrame:
        """The leaderboard at the end of the run, one row per configuration; see the function `leaderboard`.

        Empty if the record was unreachable: the next `run` writes the missing results.
        """
        return self.board.frame()

    @property
    def is_interrupted(self) -> bool:
        """Whether a signal ended the run. The same call resumes it."""
        return "signal" in (self.summary.stopped_by, self.summary.confirmed and self.summary.confirmed.stopped_by)

    @property
    def ending(self) -> str:
        """A sentence about the end of the run."""
        from sweeps.core.formatting import plural
        from sweeps.core.trial import Outcome
        from sweeps.driver.stopping import REASON_TEXTS

        summary, part = self.summary, self.summary.confirmed or self.summary
        what = "replicate" if summary.confirmed else "trial"
        done = sum(record.outcome.is_final for record in part.records)
        if part.stopped_by is None:
            failed = summary.count(Outcome.FAILED)
            return f"{self.name}: {plural(len(summary.records), 'trial')} done" + (
                f", {failed} failed" if failed else ""
            )
        how = (
            "interrupted" if self.is_interrupted else f"stopped ({REASON_TEXTS.get(part.stopped_by, part.stopped_by)})"
        )
        of = f"{done} of {plural(len(part.records), f'started {what}')}"
        return f"{self.name}: {how} after {of}. Run it again to resume."

    def best_model(self, *, device: str = "auto") -> Classifier:
        """Return the network of the best configuration, ready to predict; see `load_model`."""
        from sweeps.use.networks import load_model

        return load_model(self.name, runs=self.runs, device=device)

    def print_to(self, console: Console) -> None:
        """Print the table and the verdict."""
        from sweeps.core.formatting import print_sentence

        self._view.show(console)
        for line in self._sentences:
            print_sentence(console, line)

    def _repr_html_(self) -> str:
        return self._view.html(below=self._sentences)

    @property
    def _view(self) -> CompactBoardView:
        return CompactBoardView(self.board)

    @property
    def _sentences(self) -> list[str]:
        return [self.ending, *self.verdict]
