"""Update `docs/explanation/ladder.md` from the record: `make docs`.

For each ladder that the page shows or that has a CSV file in `experiments/results/` (NAME-final for `--final`), copy
its table from the runs folder to `experiments/results/` and its curves to `docs/images/`. Then rewrite the page's
tables, between the marks `<!-- table NAME -->` and `<!-- end -->`, and the other pictures from the CSV files. A ladder
that was not run here keeps its table and curves. If only some of its rungs were run, the others and the curves stay.

    python benchmarks/ladder_page.py --runs runs
"""

from __future__ import annotations

import argparse
import csv
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sweeps.analysis.comparison import Finding, RungComparison
from sweeps.analysis.pairs import ALPHA
from sweeps.core.trial import MeasuredOn
from sweeps.files.ladder import FINAL, Rung
from sweeps.files.ladder_file import load_ladder
from sweeps.views.ladder_plots import figure_bytes, ladder_figure

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "explanation" / "ladder.md"
RESULTS = ROOT / "experiments" / "results"
IMAGES = ROOT / "docs" / "images"
CLIMB = IMAGES / "climb.png"

ACCURACIES = {"test_accuracy_percent": "test accuracy", "val_accuracy_percent": "validation accuracy"}
"""Accuracy column of a ladder's CSV (each has one) to its heading."""

HEADINGS = {
    "rung": ":---",
    "from": ":---",
    "{accuracy} % (95 % interval)": "---:",
    "difference, points": "---:",
    "runs": "---:",
    "minutes per run": "---:",
}
"""Heading of each column to the alignment of its cells. The verdict is omitted: the difference's interval shows it."""

_TABLE = re.compile(r"(?<=<!-- table )([\w-]+) -->\n.*?(?=<!-- end -->)", re.DOTALL)


def table_of(path: Path) -> str:
    """Return a ladder's CSV as a Markdown table."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        (column,) = ACCURACIES.keys() & set(reader.fieldnames or ())
        rows = [_cells(row, column) for row in reader]
    headings = [heading.format(accuracy=ACCURACIES[column]) for heading in HEADINGS]
    lines = [headings, list(HEADINGS.values()), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: Mapping[str, str], accuracy: str) -> list[str]:
    def within(value: str, low: str, high: str, between: str) -> str:
        return f"{row[value]} ({row[low]}{between}{row[high]})" if row[low] else row[value]

    minutes = f"{float(row['train_seconds']) / 60:.1f}" if row["train_seconds"] else ""
    return [
        row["rung"] + ("" if row["budget"] == "full" else f" ({row['budget']})"),
        row["from"],
        within(accuracy, "ci_low_percent", "ci_high_percent", "–"),
        within("difference_points", "difference_low", "difference_high", " to "),
        row["runs"],
        minutes,
    ]


def comparisons_of(path: Path) -> list[RungComparison]:
    """Return the comparisons of a ladder's CSV, with its rounded numbers, for a picture."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        (column,) = ACCURACIES.keys() & set(reader.fieldnames or ())
        rows = list(reader)
    accuracies = {row["rung"]: _number(row[column], 100) for row in rows}
    return [
        RungComparison(
            rung=row["rung"],
            index=index,
            parent=row["from"] or None,
            change=row["change"],
            reduced=None if row["budget"] == "full" else row["budget"],
            measured_on=MeasuredOn.TEST if column.startswith("test") else MeasuredOn.VALIDATION,
            metric=column.removesuffix("_percent"),
            maximize=True,
            images=None,
            protocol=(),
            status=row["status"],
            seeds=int(row["runs"]),
            values=(),
            value=accuracies[row["rung"]],
            ci_low=_number(row["ci_low_percent"], 100),
            ci_high=_number(row["ci_high_percent"], 100),
            ci_kind=row["interval"],
            standard_error=None,
            before=accuracies.get(row["from"]),
            has_learned=True,
            difference=_number(row["difference_points"]),
            difference_low=_number(row["difference_low"]),
            difference_high=_number(row["difference_high"]),
            by_seed=(),
            p_value=_number(row["p_value"]),
            p_holm=_number(row["p_holm"]),
            test=row["test"] or None,
            verdict=row["verdict"],
            finding=_finding(row),
            parameters_millions=_number(row["parameters_millions"]),
            train_seconds=_number(row["train_seconds"]),
            images_per_second=_number(row["images_per_second"]),
        )
        for index, row in enumerate(rows)
    ]


def _number(text: str, divided_by: float = 1) -> float | None:
    return float(text) / divided_by if text else None


def _finding(row: Mapping[str, str]) -> Finding:
    if not row["from"]:
        return Finding.START
    if not row["test"]:
        return Finding.NOT_COMPARED
    if float(row["p_holm"]) > ALPHA:
        return Finding.NOT_SIGNIFICANT
    return Finding.BETTER if float(row["difference_points"]) > 0 else Finding.WORSE


def take_table(new: Path, old: Path, *, rungs: Sequence[str]) -> bool:
    """Update a committed CSV from a ladder's record; return whether the record has every rung of the committed one.

    Args:
        new: the record's CSV. Rungs without a result or at a reduced budget are skipped. A rung recorded without its
            parent is skipped with a message if its committed line has a difference.
        old: the committed CSV, which may be missing.
        rungs: the names of the ladder's rungs, in its order.
    """
    columns, found = _rows(new)
    before: dict[str, dict[str, str]] = {}
    if old.is_file():
        columns_before, before = _rows(old)
        if columns_before != columns:
            raise SystemExit(f"error: the columns of {new} and {old} differ. Run every rung of the ladder again.")
    found = {rung: row for rung, row in found.items() if row["runs"] != "0"}
    tested = {rung for rung, row in before.items() if row["difference_points"]}
    left = {rung for rung in tested & found.keys() if not found[rung]["difference_points"]}
    for rung in sorted(left):
        print(f"{old.stem}: {rung} is kept unchanged: the record lacks its parent {found[rung]['from']}")
    together = before | {rung: row for rung, row in found.items() if rung not in left}
    with old.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(together[rung] for rung in rungs if rung in together)
    return found.keys() >= before.keys()


def _rows(path: Path) -> tuple[list[str], dict[str, dict[str, str]]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        return list(reader.fieldnames or ()), {row["rung"]: row for row in reader if row["budget"] == "full"}


def page_with_tables(page: str) -> str:
    """Return the page with each table written from its CSV; a table without a CSV is kept."""

    def table(found: re.Match[str]) -> str:
        path = RESULTS / f"{found[1]}.csv"
        return f"{found[1]} -->\n{table_of(path)}" if path.is_file() else found[0]

    return _TABLE.sub(table, page)


def tables_in(page: str) -> Iterator[str]:
    """Yield the ladders whose tables the page shows."""
    return (found[1] for found in _TABLE.finditer(page))


def rungs_of(name: str) -> tuple[Rung, ...]:
    """Return the rungs of a ladder's file, in its order; NAME-final has those of NAME."""
    return load_ladder(ROOT / "experiments" / f"{name.removesuffix(FINAL)}.yaml").rungs


def main() -> None:
    from climb_picture import draw  # not on the path when a test loads this file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="the runs folder (default: runs)")
    runs: Path = parser.parse_args().runs
    page = PAGE.read_text(encoding="utf-8")
    for name in sorted({*tables_in(page), *(path.stem for path in RESULTS.glob("*.csv"))}):
        folder = runs / "sweeps" / name
        if not (folder / "ladder.csv").is_file():
            print(f"{name}: not recorded under {runs}, its files are kept")
            continue
        table = RESULTS / f"{name}.csv"
        is_complete = take_table(folder / "ladder.csv", table, rungs=[rung.name for rung in rungs_of(name)])
        print(f"written: {table.relative_to(ROOT)}")
        curves = IMAGES / f"{name}-curves.png"
        if is_complete and f"/{curves.name})" in page:
            shutil.copyfile(folder / "curves.png", curves)
            print(f"written: {curves.relative_to(ROOT)}")
    for name in tables_in(page):
        picture = IMAGES / f"{name}.png"
        if f"/{picture.name})" in page:
            picture.write_bytes(figure_bytes(ladder_figure(comparisons_of(RESULTS / f"{name}.csv"))))
            print(f"written: {picture.relative_to(ROOT)}")
    PAGE.write_text(page_with_tables(page), encoding="utf-8")
    draw(RESULTS, to=CLIMB)
    for path in (PAGE, CLIMB):
        print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
