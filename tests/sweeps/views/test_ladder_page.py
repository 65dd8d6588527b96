"""The four views of a ladder: the same numbers in each, a reduced budget marked in each, and all text escaped."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from rich.console import Console

from sweeps.analysis.comparison import RungComparison, compare_rungs
from sweeps.analysis.rungs import RungRun, RungRuns
from sweeps.core.formatting import PLAIN_WIDTH
from sweeps.core.measure import TEST_ACCURACY
from sweeps.core.results import EpochResult
from sweeps.search.state import SweepState
from sweeps.views.html.content import Content
from sweeps.views.html.rungs import rungs_section
from sweeps.views.ladder_cells import CELLS, VALUE, cells_of, csv_name
from sweeps.views.ladder_files import write_ladder
from sweeps.views.ladder_plots import curves_figure, figure_bytes, ladder_figure, mean_curve
from sweeps.views.ladder_table import print_ladder, to_csv

REDUCED = "epochs × 0.1, 5,000 images"
NUMBERS = (
    VALUE, "ci_low", "ci_high", "difference", "difference_low", "difference_high", "p_holm", "verdict",
)  # fmt: skip
COSTS = ("parameters_millions", "train_seconds", "images_per_second")


def run(right: int, *, seed: int = 0, validated: bool = False) -> RungRun:
    epochs = tuple(
        EpochResult(
            epoch=epoch,
            seconds=1.0,
            finished_at=float(epoch),
            metrics={
                name: value
                for name, value in {
                    "train_loss": 2.0 / epoch,
                    "train_accuracy": 0.1 * epoch + 0.01 * seed,
                    "val_loss": 2.5 / epoch if validated else None,
                    "val_accuracy": 0.09 * epoch if validated else None,
                    "learning_rate": 0.01,
                    "images_per_second": 10.0,
                }.items()
                if value is not None
            },
        )
        for epoch in range(1, 5)
    )
    return RungRun(
        seed=seed,
        run_id=f"run{seed}",
        status="complete",
        value=right / 1000,
        correct=np.arange(1000) < right,
        epochs=epochs,
        parameters_millions=0.1456,
        train_seconds=1234.5,
        images_per_second=1801.2,
    )


def ladder() -> list[RungRuns]:
    def rung(name: str, *runs: RungRun, parent: str | None = None, reduced: str | None = None) -> RungRuns:
        change = "data.batch_size 64 → 256" if parent else ""
        return RungRuns(name=name, index=0, parent=parent, change=change, reduced=reduced, runs=runs)

    return [
        rung("baseline", run(601), run(613, seed=1), run(608, seed=2)),
        rung("wider", run(640), run(657, seed=1), run(651, seed=2), parent="baseline"),
        rung("single", run(642, validated=True), parent="wider"),
        rung("broken", RungRun(seed=0, run_id="x", status="failed"), parent="single"),
        rung("baseline", run(402), reduced=REDUCED),
        rung("wider", run(455), parent="baseline", reduced=REDUCED),
    ]


def in_terminal(shown: list[RungComparison]) -> str:
    console = Console(file=io.StringIO(), width=500)
    print_ladder(shown, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def in_page(rungs: list[RungRuns]) -> str:
    """Return the section of the steps of a ladder's report."""
    state = SweepState(sweep="steps", metric="val_accuracy", maximize=True)
    return rungs_section(Content(state=state, rows=None, environment={}, now=0.0, comparisons=compare_rungs(rungs)))


def numbers_in(text: str) -> list[str]:
    return re.findall(r"[+-]?\d+(?:\.\d+)?(?:e-\d+)?", text)


def blocks(text: str, shown: list[RungComparison]) -> list[str]:
    """Split the terminal's text at the lines that start a rung."""
    return re.split(r"\n(?=\S)", text)[1 : 1 + len(shown)]


def test_terminal_csv_page_and_picture_show_the_same_numbers(tmp_path: Path) -> None:
    rungs = ladder()
    shown = compare_rungs(rungs)
    to_csv(shown, tmp_path / "ladder.csv")
    with (tmp_path / "ladder.csv").open(encoding="utf-8", newline="") as file:
        cell = {csv_name(name, TEST_ACCURACY): name for name in CELLS}
        assert {"test_accuracy_percent", "ci_low_percent", "difference_points"} <= set(cell)
        rows = [{cell[name]: text for name, text in row.items()} for row in csv.DictReader(file)]
    assert [cells_of(rung) for rung in shown] == rows
    page_rows = re.findall(r'<tr[^>]*><th scope="row">.*?</tr>', in_page(rungs))
    terminal = blocks(in_terminal(shown), shown)
    figure = ladder_figure(shown)
    drawn = [text.get_text() for text in figure.findobj(Text) if text.get_text()]
    picture = numbers_in(" ".join(drawn).replace("–", " "))
    assert len(page_rows) == len(terminal) == len(rows)
    for row, page_row, lines in zip(rows, page_rows, terminal, strict=True):
        page_text = unescape(re.sub(r"<[^>]+>", " ", page_row)).replace("–", " ")
        verdict = row["verdict"]
        lines = " ".join(lines.replace("–", " ").split())
        for name in (*NUMBERS, *COSTS):
            expected = set(numbers_in(row[name]))
            # Without the verdict, which repeats the difference.
            assert expected <= set(numbers_in(page_text if name == "verdict" else page_text.replace(verdict, ""))), name
            assert expected <= set(numbers_in(lines if name == "verdict" else lines.replace(verdict, ""))), name
            if name in NUMBERS:
                assert expected <= set(picture), name
        assert row["verdict"] in page_text
        assert row["verdict"] in lines
        assert row["verdict"] in " ".join(" ".join(drawn).split())


def test_the_views_of_an_ablation_name_variants_instead_of_rungs() -> None:
    first, second, *_ = ladder()
    rungs = [replace(first, name="whole", parent=None), replace(second, name="without-data.batch-size", parent="whole")]
    page = re.sub(r"<style>.*?</style>|data:image\S+", "", in_page(rungs))
    texts = [in_terminal(compare_rungs(rungs)), page]
    drawn = ladder_figure(compare_rungs(rungs)).findobj(Text)
    texts.append(" ".join(text.get_text() for text in drawn))
    assert not any(re.search(r"\brungs?\b|\bladder\b(?!\.)", text, re.IGNORECASE) for text in texts[:1])
    assert all("full recipe (reference)" in text for text in texts)
    assert "variant" in texts[0]
    assert '<th scope="col">variant</th>' in texts[1]


def test_a_reduced_budget_is_marked_everywhere(tmp_path: Path) -> None:
    rungs = ladder()[-2:]
    shown = compare_rungs(rungs)
    assert all(f"reduced: {REDUCED}" in block for block in blocks(in_terminal(shown), shown))
    assert "Reduced budget" in in_terminal(shown)
    to_csv(shown, tmp_path / "ladder.csv")
    assert (tmp_path / "ladder.csv").read_text(encoding="utf-8").count(f"reduced: {REDUCED}") == 2
    page = in_page(rungs)
    assert page.count(f"reduced: {REDUCED}") == 2
    assert f"Reduced budget: {REDUCED}" in page
    labels = [text.get_text() for text in ladder_figure(shown).findobj(Text)]
    assert sum(f"reduced: {REDUCED}" in label for label in labels) == 2
    curves = [text.get_text() for text in curves_figure(rungs).findobj(Text)]
    assert {"baseline (reduced)", "wider (reduced)"} <= set(curves)
    assert any(REDUCED in text for text in curves)


def test_a_full_budget_is_not_marked_as_reduced() -> None:
    rungs = ladder()[:3]
    assert "reduced" not in in_terminal(compare_rungs(rungs)).lower()
    assert "reduced" not in in_page(rungs).lower()


def test_everything_is_escaped() -> None:
    bad = "<script>"
    rungs = [
        replace(ladder()[0], name=bad, change="<i>", reduced="<u>"),
        replace(ladder()[1], name="<b>", parent=bad, reduced="<u>"),
        replace(ladder()[1], name="<a>", parent="<em>", reduced=None),
    ]
    page = in_page(rungs)
    assert "&lt;script&gt;" in page
    assert not re.search(r"<(script|i|u|b|a|em)>", page)
    print_ladder(compare_rungs(rungs), Console(file=io.StringIO(), force_terminal=True))


def test_plain_text_fits_and_a_narrow_terminal_names_left_out_columns() -> None:
    shown = compare_rungs(ladder())
    assert max(map(len, in_terminal(shown).splitlines())) <= PLAIN_WIDTH
    narrow = Console(file=io.StringIO(), width=84, force_terminal=True, color_system=None)
    print_ladder(shown, narrow)
    text: str = narrow.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 84
    assert "columns that do not fit: " in text


def test_a_rung_without_a_result_has_no_numbers() -> None:
    broken = compare_rungs(ladder())[3]
    assert broken.verdict == "no result: failed"
    assert not any(cells_of(broken)[name] for name in (*NUMBERS[:-1], *COSTS))


def test_a_folder_has_all_three_files(tmp_path: Path) -> None:
    rungs = ladder()
    paths = write_ladder(compare_rungs(rungs), rungs, folder=tmp_path / "new")
    assert [path.name for path in paths] == ["ladder.csv", "ladder.png", "curves.png"]
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())
    assert paths[1].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("rungs", [[], ladder()[3:4]], ids=["empty", "no result"])
def test_a_ladder_without_results_can_be_shown(rungs: list[RungRuns], tmp_path: Path) -> None:
    paths = write_ladder(compare_rungs(rungs), rungs, folder=tmp_path)
    assert all(path.stat().st_size for path in paths)
    assert paths[0].read_text(encoding="utf-8").startswith("rung,from,")
    assert in_terminal(compare_rungs(rungs))


def test_the_same_numbers_give_the_same_picture() -> None:
    shown = compare_rungs(ladder()[:2])
    assert figure_bytes(ladder_figure(shown)) == figure_bytes(ladder_figure(shown))


def test_curves_are_the_mean_over_seeds_and_never_of_the_test_set() -> None:
    rungs = ladder()
    assert mean_curve(rungs[0], field="train_accuracy") == pytest.approx([11.0, 21.0, 31.0, 41.0])
    assert mean_curve(rungs[0], field="val_loss") == []
    assert mean_curve(rungs[2], field="val_loss") == pytest.approx([2.5, 1.25, 2.5 / 3, 0.625])
    drawn = " ".join(t.get_text() for t in curves_figure(rungs).findobj(Text))
    assert "test" not in drawn
    assert "validation" in drawn


def test_two_seeds_show_both_differences_in_every_view_and_no_test(tmp_path: Path) -> None:
    start = RungRuns(name="baseline", index=0, parent=None, change="", reduced=None, runs=(run(601), run(613, seed=1)))
    rungs = [start, replace(start, name="plain", index=1, parent="baseline", runs=(run(608), run(573, seed=1)))]
    shown = compare_rungs(rungs)
    to_csv(shown, tmp_path / "ladder.csv")
    with (tmp_path / "ladder.csv").open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(file))[1]
    picture = "\n".join(text.get_text() for text in ladder_figure(shown).findobj(Text))
    _, row = re.findall(r'<tr[^>]*><th scope="row">.*?</tr>', in_page(rungs))

    for view in (in_terminal(shown), picture, row, cells["differences_by_seed"]):
        assert "+0.70, -4.00" in view
    assert [cells[name] for name in ("difference_points", "p_value", "p_holm", "test")] == [""] * 4
    assert "1 more common seed needed" in cells["verdict"]
    for view in (in_terminal(shown), picture):
        assert not re.search(r"\bp 0|McNemar|higher|lower", view)
    assert 'class="higher"' not in row
    assert 'class="lower"' not in row
