"""Progress of fetching or preparing data, on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Reporter:
    """Reports the progress of fetching or preparing data.

    Args:
        enabled: False reports only warnings.
        console: where to write; stderr if not given.
    """

    def __init__(self, *, enabled: bool = True, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, markup=False, emoji=False)
        self._enabled = enabled

    @property
    def draws_bars(self) -> bool:
        return self._enabled and self._console.is_terminal

    def info(self, line: str) -> None:
        if self._enabled:
            self.warn(line)

    def warn(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def stage(self, description: str, *, steps: int | None = None) -> Iterator[Callable[[], None]]:
        """Yield a function to call after each step; without `steps` a spinner is shown."""
        if not self.draws_bars:
            self.info(description)
            yield lambda: None
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as bars:
            task = bars.add_task(description, total=steps)
            yield lambda: bars.advance(task)
            bars.update(task, total=1, completed=1)
