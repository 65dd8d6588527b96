"""A sweep as one object, for people who work in a notebook: from a file, run, looked at as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps import api, spec
from sweeps.commands import DEFAULT_RUNS

if TYPE_CHECKING:
    import pandas as pd

    from cifar_core import Classifier
    from sweeps.execution import BackendName, RunSummary


class Sweep:
    """A sweep from a file, to be run and looked at from Python.

    Example:
        >>> Sweep.from_file("experiments/quick.yaml").run()  # shows itself as a table in a notebook
    """

    def __init__(self, definition: spec.SweepSpec) -> None:
        """Take a sweep's definition, which says all of it: name, space, base, budget."""
        self.spec = definition

    @classmethod
    def from_file(cls, path: str | Path, *, overrides: Sequence[str] = ()) -> Sweep:
        """Return the sweep that a YAML file describes. Arguments and errors are those of `load_spec`."""
        return cls(api.load_spec(path, overrides=overrides))

    def run(
        self,
        *,
        runs: str | Path = DEFAULT_RUNS,
        backend: BackendName = "ray",
        address: str | None = None,
        new: bool = False,
        retry_failed: bool = False,
        tensorboard: bool = False,
        notify: Sequence[str] = (),
    ) -> SweepResult:
        """Train what is missing, confirm the best where the file asks for it, and return what came out.

        Arguments and errors are those of the function `run`.
        """
        summary = api.run(
            self.spec,
            runs=runs,
            backend=backend,
            address=address,
            new=new,
            retry_failed=retry_failed,
            tensorboard=tensorboard,
            notify=notify,
        )
        # A start that was stopped before its first trial has left no sweep of this name.
        board = api.leaderboard(self.spec.name, runs=runs) if summary.records else api.leaderboard(runs=runs).iloc[:0]
        return SweepResult(name=self.spec.name, runs=Path(runs), summary=summary, leaderboard=board)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SweepResult:
    """What a sweep has come to. In a notebook it is shown as its leaderboard."""

    name: str
    runs: Path
    summary: RunSummary
    leaderboard: pd.DataFrame
    """One row a configuration, ranked, as it was at the end; see the function `leaderboard`."""

    def best_model(self, *, device: str = "auto") -> Classifier:
        """Return the network of the first rank, ready to predict; see `load_model`."""
        return api.load_model(self.name, runs=self.runs, device=device)

    def __repr__(self) -> str:
        import io

        from sweeps.formatting import PLAIN_WIDTH, make_console
        from sweeps.report import print_leaderboard

        text = io.StringIO()
        print_leaderboard(self.leaderboard, make_console(text, width=PLAIN_WIDTH, force_jupyter=False), limit=30)
        return f"{self.name}\n{text.getvalue()}"

    def _repr_html_(self) -> str:
        shown = self.leaderboard.dropna(axis=1, how="all").drop(columns=["run_id", "key", "config_id"])
        return str(shown.head(30).to_html(index=False, escape=True))
