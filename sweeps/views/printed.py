"""Base class of results whose representation in a shell or notebook is the output of their verb."""

from __future__ import annotations

import html
import io
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from sweeps.core.formatting import PLAIN_WIDTH, make_console

if TYPE_CHECKING:
    from rich.console import Console

_STYLE = "margin:0;line-height:1.35;font-family:ui-monospace,Menlo,Consolas,monospace;white-space:pre;overflow-x:auto"


class Printed(ABC):
    """Subclasses implement `print_to`."""

    @abstractmethod
    def print_to(self, console: Console) -> None:
        """Print the result."""

    def __repr__(self) -> str:
        text = io.StringIO()
        # Forced off, because notebook kernels set variables that make rich assume a terminal.
        self.print_to(make_console(text, width=PLAIN_WIDTH, force_terminal=False, force_jupyter=False))
        return "\n".join(line.rstrip() for line in text.getvalue().rstrip().split("\n"))

    def _repr_html_(self) -> str:
        return preformatted(repr(self))


def preformatted(text: str) -> str:
    """Return text as a `<pre>` element with embedded style."""
    return f'<pre style="{_STYLE}">{html.escape(text)}</pre>'
