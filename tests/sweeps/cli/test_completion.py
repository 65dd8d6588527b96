"""Tab completion of arguments and options, without output on errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from sweep_fakes import Cli, Record, tiny, write_yaml

from sweeps.cli.completion import SCRIPTS
from sweeps.cli.main import sweeps
from sweeps.record.names import run_names
from sweeps.record.reader import MlflowReader

ROOT = Path(__file__).parents[3]
BASH = shutil.which("bash")

pytestmark = [pytest.mark.skipif(BASH is None, reason="needs bash"), pytest.mark.usefixtures("instant_training")]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, record: Record) -> Path:
    """A folder with `runs`, a sweep of two trials in it, and the files of a sweep and a ladder."""
    folder = tmp_path_factory.mktemp("completed")
    file = write_yaml(folder, tiny(), name="tiny.yaml")
    write_yaml(folder, {"name": "steps", "rungs": [{"name": "plain"}, {"name": "wide"}]}, name="steps.yaml")
    (folder / "notes.txt").touch()
    record(folder, ["run", file, "--backend", "inline"])
    return folder


def pressed(line: str, folder: Path, *, rest: str = "", word: str | None = None) -> list[str]:
    """Return the completions of real bash for tab after `line`, with `rest` after the cursor.

    Args:
        word: bash's word at the cursor, which also splits at `=` and `:`.
    """
    launcher = folder / "bin" / "sweeps"
    launcher.parent.mkdir(exist_ok=True)
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from sweeps.cli.main import main; main()" "$@"\n')
    launcher.chmod(0o755)
    current = line.rpartition(" ")[2] if word is None else word
    script = """
        source "$SCRIPT" || exit 3
        COMP_LINE=$LINE$REST; COMP_POINT=${#LINE}
        COMP_WORDS=($LINE); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
        _sweeps_completion sweeps "$WORD" "" || exit 4
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    loaded = launcher.with_name("completion.bash")
    loaded.write_text(SCRIPTS["bash"])
    environment = os.environ | {
        "SCRIPT": str(loaded),
        "PATH": f"{launcher.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LINE": line,
        "REST": rest,
        "WORD": current,
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    assert BASH is not None
    done = subprocess.run(
        [BASH, "--norc", "-c", script], env=environment, capture_output=True, text=True, check=True, cwd=folder
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


def test_a_verb_is_completed(tmp_path: Path) -> None:
    assert pressed("sweeps lea", tmp_path) == ["leaderboard"]


def test_an_option_and_its_choices_are_completed(tmp_path: Path) -> None:
    assert pressed("sweeps run x.yaml --back", tmp_path) == ["--backend"]
    assert pressed("sweeps run x.yaml --backend ", tmp_path, word="") == ["ray", "inline"]


def test_sweeps_are_completed_from_the_folder_in_the_line(recorded: Path, tmp_path: Path) -> None:
    assert pressed("sweeps status t", recorded) == ["tiny"]
    assert pressed(f"sweeps status --runs {recorded}/runs t", tmp_path) == ["tiny"]
    assert pressed(f"sweeps status --runs={recorded}/runs t", tmp_path) == ["tiny"]
    assert pressed("sweeps status t", tmp_path, rest=f" --runs {recorded}/runs") == ["tiny"]
    assert pressed("sweeps status t", tmp_path) == []


def test_a_run_is_completed_by_table_name_and_by_sweep_and_number(recorded: Path) -> None:
    assert pressed("sweeps show tiny-", recorded) == ["tiny-000", "tiny-001"] == run_names(recorded / "runs")
    assert pressed("sweeps show tiny/", recorded) == ["tiny/0", "tiny/1"]
    assert pressed("sweeps compare tiny-000 tiny-", recorded) == ["tiny-000", "tiny-001"]
    assert pressed("sweeps predict t", recorded) == ["tiny", "tiny-000", "tiny-001"]


def test_a_column_is_completed_alone_in_expressions_and_after_a_minus(recorded: Path) -> None:
    assert pressed("sweeps leaderboard --sort val_a", recorded) == ["val_accuracy"]
    assert pressed("sweeps leaderboard --sort -val_a", recorded) == ["-val_accuracy"]
    expression = 'sweeps leaderboard --where "epochs > 3 and optimizer.l'
    assert pressed(expression, recorded, word='"epochs > 3 and optimizer.l') == ["epochs > 3 and optimizer.lr"]


def test_a_column_is_completed_by_its_short_name(recorded: Path) -> None:
    assert pressed("sweeps leaderboard --sort -lr", recorded) == ["-lr"]
    assert "acc" in pressed("sweeps leaderboard --sort ac", recorded)


def test_completed_columns_are_columns_of_the_leaderboard(recorded: Path) -> None:
    board = MlflowReader(recorded / "runs").runs()
    offered = pressed("sweeps leaderboard --sort ", recorded, word="")

    assert set(board.columns) <= set(offered)


def test_only_yaml_files_are_completed(recorded: Path) -> None:
    assert pressed("sweeps run ", recorded, word="") == ["bin/", "runs/", "steps.yaml", "tiny.yaml"]
    assert pressed(f"sweeps plan {recorded}/ti", recorded) == [f"{recorded}/tiny.yaml"]


def test_a_key_of_the_file_and_its_values_are_completed(recorded: Path) -> None:
    line = "sweeps run tiny.yaml --set "
    assert pressed(f"{line}base.optimizer.l", recorded) == ["base.optimizer.lr="]
    assert pressed(f"{line}parameters.model.n", recorded) == ["parameters.model.name="]
    # bash splits words at `=`.
    assert pressed(f"{line}method=", recorded, word="") == ["bayes", "random", "grid"]
    assert pressed(f"{line}base.data.augmentation=flip-c", recorded, word="flip-c") == ["flip-crop"]
    assert pressed("sweeps plan steps.yaml --set run_", recorded) == []


def test_the_rungs_of_the_ladder_on_the_line_are_completed(recorded: Path) -> None:
    assert pressed("sweeps ladder steps.yaml --rungs ", recorded, word="") == ["plain", "wide"]
    assert pressed("sweeps ladder steps.yaml --rungs plain,", recorded) == ["plain,wide"]


@pytest.mark.parametrize(
    "line",
    [
        "sweeps nosuchverb x",
        "sweeps status ../x q",
        "sweeps show --runs /nowhere/at/all q",
        "sweeps run /nowhere/at/all/",
        "sweeps ladder missing.yaml --rungs ",
        "sweeps show 'quick",
        "sweeps run x.yaml --set nosuch.key=",
    ],
)
def test_an_invalid_line_completes_to_nothing(line: str, tmp_path: Path) -> None:
    assert pressed(line, tmp_path) == []


def test_the_source_of_an_import_is_completed_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada.yaml").touch()

    assert pressed("sweeps import a", tmp_path) == ["ada/"]


def test_a_damaged_record_completes_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlflow.db").write_text("not a database, but long enough to be looked at" * 100)

    assert pressed("sweeps show q", tmp_path) == []


def test_completion_is_fast_and_imports_nothing_heavy(recorded: Path) -> None:
    code = (
        "import sys, atexit; from sweeps.cli.main import main\n"
        "heavy = {'torch', 'ray', 'mlflow', 'optuna', 'pandas', 'numpy', 'matplotlib'}\n"
        "atexit.register(lambda: print('heavy:', *sorted(heavy & set(sys.modules))))\n"
        "main()"
    )
    environment = os.environ | {"COMP_LINE": "sweeps predict t", "_SWEEPS_COMPLETE": "zsh", "PYTHONPATH": str(ROOT)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=recorded)

    assert done.stdout.split("\n")[:3] == ["plain,tiny", "plain,tiny-000", "plain,tiny-001"]
    assert "heavy:\n" in done.stdout
    assert time.perf_counter() - began < 5  # 0.1 s on an idle machine


def test_every_argument_and_filter_has_completions() -> None:
    """New verbs get completions from the types of their parameters."""
    plain = [
        *(f"leaderboard {name}" for name in ("where", "sql", "by", "columns", "sort")),
        "run overrides",
        "ladder only",
    ]
    without = [
        f"{verb} {parameter.name}"
        for verb, command in sweeps.commands.items()
        for parameter in command.params
        if (isinstance(parameter, click.Argument) or f"{verb} {parameter.name}" in plain)
        and type(parameter.type) is type(click.STRING)
    ]
    # Paths behind a prefix, web addresses, and text: no list of them exists.
    assert without == ["note text", "data data_source", "add values", "set limits", "predict images"]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_printed_script_is_valid_for_its_shell(shell: str, cli: Cli, tmp_path: Path) -> None:
    printed = cli("completion", shell)

    assert printed.exit_code == 0
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(printed.stdout)
    subprocess.run([program, "-n", str(script)], check=True, capture_output=True)
