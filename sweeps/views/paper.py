"""A table for a paper, in LaTeX or Markdown: mean ± standard deviation, the best in bold, notes below."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sweeps.views.exports import in_markdown


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A mean over seeds, formatted."""

    mean: str
    deviation: str = ""
    """Sample standard deviation with the same number of decimals; empty for one run."""
    is_best: bool = False
    """Whether it is the best, or cannot be distinguished from it."""

    @property
    def text(self) -> str:
        return f"{self.mean} ± {self.deviation}" if self.deviation else self.mean


Cell = str | Measured


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table with a caption and notes."""

    name: str
    """Of the sweep, for the label."""
    caption: str
    columns: dict[str, list[Cell]]
    """Heading → cells, one per row. A column with a `Measured` cell is aligned at the decimal point."""
    right: frozenset[str] = frozenset()
    """Headings of further columns with numbers."""
    notes: tuple[str, ...] = ()
    """Sentences below the table."""

    def text(self, format: str) -> str:
        """Return the table as `latex` or `md`."""
        return self.latex() if format == "latex" else self.markdown()

    def markdown(self) -> str:
        """Return the table in GitHub's Markdown, with the notes below."""
        aligned = self.right | {name for name, cells in self.columns.items() if _is_measured(cells)}
        lines = [
            " | ".join(map(in_markdown, self.columns)),
            " | ".join("---:" if name in aligned else ":---" for name in self.columns),
        ]
        lines += [" | ".join(map(_markdown_cell, row)) for row in self._rows()]
        return "\n".join([*(f"| {line} |" for line in lines), *(f"\n{in_markdown(note)}" for note in self.notes)])

    def latex(self) -> str:
        """Return a `table` environment that needs the packages booktabs and siunitx."""
        kinds = [_column_type(name, cells, right=self.right) for name, cells in self.columns.items()]
        head = " & ".join(f"{{{latex_text(name)}}}" for name in self.columns)
        rows = [" & ".join(map(_latex_cell, row)) + r" \\" for row in self._rows()]
        notes = "\n".join(f"  {latex_text(note)}" for note in self.notes)
        body = "\n".join(f"    {row}" for row in rows)
        return "\n".join(
            [
                r"% Needs \usepackage{booktabs,siunitx}.",
                r"\begin{table}",
                r"  \centering",
                r"  \sisetup{separate-uncertainty=true, detect-weight=true, detect-inline-weight=math}",
                f"  \\caption{{{latex_text(self.caption)}}}",
                f"  \\label{{tab:{re.sub(r'[^A-Za-z0-9:-]+', '-', self.name)}}}",
                f"  \\begin{{tabular}}{{{' '.join(kinds)}}}",
                r"    \toprule",
                f"    {head} \\\\",
                r"    \midrule",
                body,
                r"    \bottomrule",
                r"  \end{tabular}",
                r"  \par\smallskip",
                r"  \footnotesize\raggedright",
                notes,
                r"\end{table}",
            ]
        )

    def _rows(self) -> list[tuple[Cell, ...]]:
        return list(zip(*self.columns.values(), strict=True))


def _is_measured(cells: Sequence[Cell]) -> bool:
    return any(isinstance(cell, Measured) for cell in cells)


def _markdown_cell(cell: Cell) -> str:
    if isinstance(cell, Measured):
        return f"**{cell.text}**" if cell.is_best else cell.text
    return in_markdown(cell)


def _latex_cell(cell: Cell) -> str:
    if not isinstance(cell, Measured):
        return latex_text(cell)
    if not re.fullmatch(_NUMBER, cell.mean):
        return f"{{{latex_text(cell.text)}}}"
    number = f"{cell.mean} \\pm {cell.deviation}" if cell.deviation else cell.mean
    return f"\\bfseries {number}" if cell.is_best else number


_NUMBER = r"-?(\d+)(?:\.(\d+))?"


def _column_type(name: str, cells: Sequence[Cell], *, right: frozenset[str]) -> str:
    """Return the type of a column; for numbers siunitx's, with the digits before and after the decimal point."""
    matches = [re.fullmatch(_NUMBER, cell.mean) for cell in cells if isinstance(cell, Measured)]
    parts = [match for match in matches if match is not None]
    if not parts:
        return "r" if name in right else "l"
    before = max(len(match[1]) for match in parts)
    after = max(len(match[2] or "") for match in parts)
    spreads = [cell.deviation for cell in cells if isinstance(cell, Measured) and cell.deviation]
    digits = max((len(re.sub(r"\D", "", spread).lstrip("0")) for spread in spreads), default=0)
    sign = "-" if any(match[0].startswith("-") for match in parts) else ""
    uncertainty = f"({max(digits, 1)})" if spreads else ""
    return f"S[table-format={sign}{before}.{after}{uncertainty}]"


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "–": "--", "×": r"$\times$", "→": r"$\to$", "|": r"\textbar{}",
}  # fmt: skip


def latex_text(text: str) -> str:
    """Return text for LaTeX, with its special characters escaped."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
