"""Tables, figures and a paragraph for a paper."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_fakes import LEARNING, Cli, MadeOnce, Record, tiny, write_yaml

from sweeps.analysis.judging import judge
from sweeps.core.measure import Measure
from sweeps.views.paper import Measured, PaperTable, latex_text
from sweeps.views.paper_tables import judge_table, list_seeds

CONTENT: dict[str, Any] = tiny(
    base=LEARNING, replicates={"top": 2, "seeds": 3}, run_cap=3, early_terminate={"type": "asha", "min_epochs": 1}
)
LADDER: dict[str, Any] = {
    "name": "steps",
    "base": LEARNING,
    "evaluate": "validation",
    "seeds": 3,
    "rungs": [{"name": "slow", "optimizer": {"lr": 0.01}}, {"name": "fast_50", "optimizer": {"lr": 0.05}}],
}


@pytest.fixture(scope="module")
def studies(made_once: MadeOnce, record: Record) -> Path:
    def make(folder: Path) -> None:
        sweep, ladder = write_yaml(folder, CONTENT), write_yaml(folder, LADDER, name="steps.yaml")
        record(folder, ["run", sweep, "--backend", "inline"], ["ladder", ladder, "--backend", "inline"])

    return made_once("paper", make) / "runs"


def test_the_table_of_a_search_has_its_best_in_bold(studies: Path, cli: Cli) -> None:
    printed = cli("leaderboard", "tiny", "--md", "--runs", studies).output
    rows = [line for line in printed.splitlines() if line.startswith("| ")]
    assert re.search(r"\*\*\d\d\.\d\d ± \d+\.\d\d\*\*", rows[2])
    assert "| 3 |" in rows[2]
    for said in (
        "2 configurations confirmed by runs under seeds 1 to 3",
        "Welch's t-test",
        "Holm's correction",
        "torch",
    ):
        assert said in printed
    assert "200 validation images of split 0, trained on 300 for 2 epochs" in printed


@pytest.mark.usefixtures("instant_training")
def test_nothing_is_bold_where_each_configuration_has_one_run(tmp_path: Path, recorded_runs: Path, cli: Cli) -> None:
    file = write_yaml(tmp_path, tiny(base=LEARNING))
    cli("run", file, "--runs", recorded_runs, "--backend", "inline")
    printed = cli("leaderboard", "tiny", "--latex", "--runs", recorded_runs).output
    assert "bfseries" not in printed
    assert "Nothing is bold" in printed


def test_the_table_of_a_ladder_has_differences_and_their_tests(studies: Path, tmp_path: Path, cli: Cli) -> None:
    file, out = write_yaml(tmp_path, LADDER), tmp_path / "ladder.md"
    printed = cli("ladder", file, "--runs", studies, "--backend", "inline", "--md", out, "--latex").output
    assert f"written: {out}" in printed
    assert r"fast\_50" in printed
    text = out.read_text(encoding="utf-8")
    assert "| slow |" in text
    assert "Differences to its parent: paired t over 3 seeds" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
@pytest.mark.parametrize("name", ["tiny", "steps"])
def test_latex_sets_the_tables(studies: Path, tmp_path: Path, cli: Cli, name: str) -> None:
    table = cli("leaderboard", name, "--latex", "--runs", studies).output
    packages = r"\usepackage{booktabs,siunitx}"
    source = "\n".join([r"\documentclass{article}", packages, r"\begin{document}", table, r"\end{document}"])
    (tmp_path / "table.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


@given(st.text())
def test_text_for_latex_has_no_bare_special_character(text: str) -> None:
    escaped = latex_text(text)
    rest = re.sub(r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar)\{\}", "", escaped)
    rest = re.sub(r"\\[&%$#_{}]|\$\\(pm|times|to)\$", "", rest)
    assert not re.search(r"[\\&%$#_{}~^]", rest)


def test_a_column_of_numbers_has_room_for_its_longest_digits() -> None:
    cells = [Measured(mean="9.50", deviation="12.34"), Measured(mean="66.27"), Measured(mean="1e-05")]
    latex = PaperTable(name="x", caption="", columns={"value": list(cells)}).latex()
    assert "S[table-format=2.2(4)]" in latex
    assert "{1e-05}" in latex


@pytest.mark.parametrize(
    ("seeds", "text"), [([3], "3"), ([1, 2], "1, 2"), ([4, 2, 3, 2], "2 to 4"), ([1, 9, 2], "1, 2, 9")]
)
def test_seeds_are_listed_or_given_as_a_range(seeds: list[int], text: str) -> None:
    assert list_seeds(seeds) == text


def test_the_paragraph_states_search_confirmation_and_test_images(studies: Path, cli: Cli) -> None:
    text = cli("methods", "tiny", "--runs", studies).output
    for said in (
        "We searched 1 hyperparameter (optimizer.lr) on CIFAR-10 [1], with 300 training images and 200 validation",
        "random sampling [2]",
        "asynchronous successive halving (ASHA)",
        "Of 3 trials",
        "The best 2 configurations were trained again under 3 seeds (1 to 3)",
        "The test images were not used.",
        "[1] Krizhevsky",
    ):
        assert said in text
    assert "{" not in text


def test_the_paragraph_on_a_ladder_names_its_tests(studies: Path, cli: Cli) -> None:
    text = cli("methods", "steps", "--latex", "--runs", studies).output
    assert "a paired t-test over the common seeds" in text
    assert "5 \\% level" in text


@pytest.mark.parametrize(("name", "least"), [("tiny", 6), ("steps", 2)])
@pytest.mark.parametrize(
    ("format", "start"), [("svg", (b"<svg", b"<?xml")), ("pdf", (b"%PDF",)), ("png", (b"\x89PNG",))]
)
def test_each_chart_of_a_report_is_written_as_a_file(
    studies: Path, tmp_path: Path, cli: Cli, name: str, least: int, format: str, start: tuple[bytes, ...]
) -> None:
    cli("report", name, "--runs", studies, "--figures", tmp_path / "figures", "--format", format)
    written = sorted((tmp_path / "figures").iterdir())
    assert len(written) >= least
    assert all(each.suffix == f".{format}" and each.read_bytes().startswith(start) for each in written)
    if format == "svg":
        assert not any(b"var(--" in each.read_bytes() for each in written)


def test_a_picture_of_a_run_is_written_as_pdf_and_svg(studies: Path, tmp_path: Path, cli: Cli) -> None:
    for suffix, start in ((".pdf", b"%PDF"), (".svg", b"<?xml"), (".png", b"\x89PNG")):
        out = tmp_path / f"images{suffix}"
        assert cli("inspect", "images", "--runs", studies, "--out", out).exit_code == 0
        assert out.read_bytes().startswith(start)


def test_the_table_of_a_question_has_the_better_one_in_bold() -> None:
    found = judge(
        [(0.70 + 0.001 * seed, 0.60 - 0.001 * seed) for seed in range(8)],
        level=0.05,
        margin=1.0,
        measure=Measure(name="val_accuracy"),
    )
    table = judge_table(
        found,
        names=("quick-003", "quick-007"),
        measure=Measure(name="val_accuracy"),
        images="10,000 images that no search used",
        level=0.02,
        number=3,
    )
    first, second = table.markdown().splitlines()[2:4]
    assert "**70.20 ± 0.16**" in first
    assert "**" not in second
    assert "e-LOND" in table.markdown()
    assert "10,000 images that no search used" in table.latex()
