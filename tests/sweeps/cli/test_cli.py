"""The command line: help, tables, errors, exit codes."""

from __future__ import annotations

import csv
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from sweep_fakes import Cli, Record, book, tiny, write_yaml, written

from sweeps.cli.main import sweeps
from sweeps.record.reader import MlflowReader
from sweeps.store.folder import SweepFolder

pytestmark = pytest.mark.usefixtures("instant_training")

HEAVY = ("torch", "ray", "mlflow", "optuna", "pandas")
LIGHT = (
    "leaderboard",
    "leaderboard tiny",
    "show tiny/0",
    "status tiny",
    "effects tiny",
    "report tiny",
    "list",
    "stop tiny",
    "doctor",
    "gc",
    "rm tiny",
)
"""Verbs that train nothing, the one that deletes at the end."""
EXPERIMENTS = Path(__file__).parents[3] / "experiments"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, record: Record) -> Path:
    """The runs folder of a sweep of two trials and of a trial of another sweep, whose schedule has other fields."""
    folder = tmp_path_factory.mktemp("cli")
    step = {"base": tiny()["base"] | {"schedule": {"name": "step", "step_size": 1}}}
    other = write_yaml(folder, tiny(name="steps", method="grid", run_cap=1) | step, name="steps.yaml")
    file = write_yaml(folder, tiny())
    inline = ("--backend", "inline")
    return record(folder, ["run", file, *inline, "--report"], ["run", other, *inline, "--no-report"])


def test_a_run_writes_its_page_unless_no_report_is_given(trained: Path) -> None:
    assert [page.name for page in (trained / "reports").iterdir()] == ["tiny.html"]


class TestHelp:
    @pytest.mark.parametrize("verb", sweeps.commands)
    def test_every_verb_has_help_with_an_example_of_itself(self, verb: str, cli: Cli) -> None:
        result = cli(verb, "--help")

        assert result.exit_code == 0
        assert f"Example:\n    sweeps {verb}" in result.stdout

    @pytest.mark.parametrize("verb", sweeps.commands)
    def test_every_option_of_a_verb_has_help(self, verb: str) -> None:
        options = [p for p in sweeps.commands[verb].params if p.param_type_name == "option"]

        assert [option.name for option in options if not getattr(option, "help", None)] in ([], ["port"])

    def test_the_help_imports_nothing_heavy(self) -> None:
        code = (
            "import sys\n"
            "from sweeps.cli.main import sweeps\n"
            "for arguments in (['--help'], ['run', '--help']):\n"
            "    sweeps(arguments, standalone_mode=False)\n"
            f"sys.exit(' '.join(sorted(set({HEAVY!r}) & set(sys.modules))))"
        )
        process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

        assert process.stderr.strip() == ""

    def test_verbs_that_train_nothing_load_neither_torch_nor_ray_nor_mlflow(
        self, trained: Path, tmp_path: Path
    ) -> None:
        # Each takes a second or more to import.
        runs = tmp_path / "runs"
        shutil.copytree(trained, runs)
        run = f"run {write_yaml(tmp_path, tiny())}"
        code = (
            "import sys\n"
            "from sweeps.cli.main import sweeps\n"
            f"for verb in {[run, *LIGHT]!r}:\n"
            f"    sweeps([*verb.split(), '--runs', {str(runs)!r}], standalone_mode=False)\n"
            "    print('loaded by', verb, sorted({'torch', 'ray', 'mlflow'} & set(sys.modules)))"
        )
        process = subprocess.run(
            [sys.executable, "-c", code], input="y\n", capture_output=True, text=True, check=False, cwd=tmp_path
        )

        assert process.returncode == 0, process.stderr
        loaded = [line for line in process.stdout.splitlines() if line.startswith("loaded by ")]
        assert loaded == [f"loaded by {verb} []" for verb in (run, *LIGHT)]

    def test_the_main_page_names_the_exit_codes(self, cli: Cli) -> None:
        text = " ".join(cli("--help").stdout.split())

        for code in ("0 done", "1 some trials failed", "2 wrong usage or file, or a machine that", "130 interrupted"):
            assert code in text.partition("Exit codes: ")[2]


class TestWrongUsage:
    def test_an_unknown_verb_suggests_the_closest(self, cli: Cli) -> None:
        result = cli("leaderbord")

        assert result.exit_code == 2
        assert "no such verb 'leaderbord': did you mean 'leaderboard'?" in result.stderr

    def test_an_unknown_option_is_refused(self, cli: Cli) -> None:
        result = cli("run", "sweep.yaml", "--backnd", "inline")

        assert result.exit_code == 2
        assert "--backnd" in result.stderr

    def test_an_unknown_backend_lists_the_backends(self, cli: Cli) -> None:
        result = cli("run", "sweep.yaml", "--backend", "dask")

        assert result.exit_code == 2
        assert "'dask' is not one of 'ray', 'inline'" in result.stderr

    def test_a_folder_as_file_is_rejected(self, tmp_path: Path, cli: Cli) -> None:
        assert cli("run", tmp_path).exit_code == 2

    def test_a_file_as_runs_folder_is_rejected(self, tmp_path: Path, cli: Cli) -> None:
        path = write_yaml(tmp_path, tiny())

        result = cli("run", path, "--runs", path)

        assert result.exit_code == 2
        assert "is a file" in result.stderr

    def test_an_interrupt_before_the_start_ends_with_130(
        self, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(path: Path, **options: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("sweeps._api.functions.load_spec", interrupted)

        assert cli("run", tmp_path / "sweep.yaml").exit_code == 130


class TestPlan:
    def test_it_shows_what_would_run_and_starts_nothing(
        self, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)

        result = cli("plan", write_yaml(tmp_path, tiny(description="a first look")), "--no-probe")

        assert result.exit_code == 0
        assert "a first look" in result.stdout
        assert "0.01 | 0.02 | 0.03 | 0.05" in result.stdout
        assert "2 trials of 4 combinations by random search, no early stopping" in result.stdout
        assert not (tmp_path / "runs").exists()

    def test_the_plan_of_a_ladder_times_nothing_with_no_probe(
        self, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rungs = [{"name": "a"}, {"name": "b", "optimizer": {"lr": 0.02}}]
        path = write_yaml(tmp_path, {"name": "steps", "base": {"epochs": 1}, "rungs": rungs})
        assert "estimated from timed train steps" in cli("plan", path).stdout
        monkeypatch.setattr("sweeps.tasks.image_probe.time_images", None)

        result = cli("plan", path, "--no-probe")

        assert result.exit_code == 0, result.output
        assert "2 rungs, 2 epochs on" in result.stdout

    @pytest.mark.parametrize("kind", ["sweep", "ladder"])
    def test_it_notes_that_custom_resources_need_a_cluster(self, kind: str, tmp_path: Path, cli: Cli) -> None:
        ladder = {"name": "steps", "base": {"epochs": 1}, "rungs": [{"name": "a"}]}
        asked = {"resources": {"custom": {"fast": 2}}}

        result = cli("plan", write_yaml(tmp_path, tiny(**asked) if kind == "sweep" else ladder | asked), "--no-probe")

        assert result.exit_code == 0, result.output
        assert "Each trial also needs 2 fast (resources.custom)" in " ".join(result.stdout.split())
        assert "with --address" in " ".join(result.stdout.split())

    def test_a_network_that_cannot_be_built_is_refused(self, tmp_path: Path, cli: Cli) -> None:
        base = {"epochs": 1, "model": {"name": "no_such_net:Net"}}
        result = cli(
            "plan", write_yaml(tmp_path, {"name": "steps", "base": base, "rungs": [{"name": "a"}]}), "--no-probe"
        )

        assert result.exit_code == 2
        assert "no_such_net" in result.stderr

    def test_it_estimates_the_time_from_steps_timed_here(self, tmp_path: Path, cli: Cli) -> None:
        result = cli("plan", write_yaml(tmp_path, tiny()))

        assert result.exit_code == 0
        assert "about 4 trial-epochs" in result.stdout
        assert "timed train steps of 1 network" in result.stdout

    def test_it_shows_a_ladder_as_a_table_of_changes(self, tmp_path: Path, cli: Cli) -> None:
        rungs = [{"name": "a"}, {"name": "b", "data": {"batch_size": 256}}]
        content = {"name": "steps", "base": {"model": {"width": 4}, "epochs": 2}, "rungs": rungs}

        result = cli("plan", write_yaml(tmp_path, content))

        assert result.exit_code == 0
        assert "data.batch_size 64 → 256" in result.stdout
        assert "2 rungs, 4 epochs" in result.stdout

    def test_it_counts_the_selected_part_of_a_ladder_and_prints_its_command(self, tmp_path: Path, cli: Cli) -> None:
        rungs = [{"name": "a"}, {"name": "b", "data": {"batch_size": 256}}, {"name": "c", "epochs": 8}]
        path = write_yaml(tmp_path, {"name": "steps", "base": {"model": {"width": 4}, "epochs": 4}, "rungs": rungs})
        part = ("--rungs", "b,c", "--seeds", "3", "--epochs-scale", "0.5", "--train-size", "200")

        result = cli("plan", path, "--set", "base.epochs=2", *part, "--no-probe")

        assert result.exit_code == 0, result.output
        said = " ".join(result.stdout.split())
        assert "changes epochs b a data.batch_size" in said, "no line of a"
        assert "2 rungs under 3 seeds each, 15 epochs on" in said
        assert "15 of 30 epochs, at most 200 training images" in said
        assert f"run: sweeps ladder {path} --set base.epochs=2 {' '.join(part)}" in said

    def test_its_final_command_has_the_same_rungs_and_seeds(
        self, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        narrow = Console(width=40, force_terminal=True, color_system=None)
        monkeypatch.setattr("sweeps.cli.terminal.console", lambda: narrow)
        base = {"model": {"width": 4}, "epochs": 4, "data": {"validation_size": 5000}}
        rungs = [{"name": "a"}, {"name": "b", "optimizer": {"lr": 0.02}}, {"name": "c", "epochs": 8}]
        file = {"name": "steps", "evaluate": "validation", "base": base, "rungs": rungs}
        path = write_yaml(tmp_path, file, name="my steps.yaml")
        part = ("--rungs", "a,b", "--seeds", "2")

        result = cli("plan", path, "--set", "name=other", *part, "--epochs-scale", "0.5", "--no-probe")

        assert result.exit_code == 0, result.output
        of_file = f"  sweeps ladder '{path}' --set name=other"
        typed = [line for line in result.stdout.splitlines() if "sweeps ladder" in line]
        # Each command is on one line in any terminal, because a wrapped one cannot be copied.
        assert typed == [
            f"{of_file} --final --rungs a,b --seeds 2",
            f"{of_file} --rungs a,b --seeds 2 --epochs-scale 0.5",
        ]

    def test_ladder_options_are_rejected_for_a_sweep(self, tmp_path: Path, cli: Cli) -> None:
        result = cli("plan", write_yaml(tmp_path, tiny()), "--rungs", "a")

        assert result.exit_code == 2
        assert "is a sweep, and --rungs is for ladders" in result.stderr


class TestLeaderboard:
    def test_json_has_a_row_per_trial_with_plain_values(self, trained: Path, cli: Cli) -> None:
        rows = json.loads(cli("leaderboard", "tiny", "--runs", trained, "--json").stdout)

        assert [row["rank"] for row in rows] == [None, None], "neither has learned"
        assert rows[0]["val_accuracy"] >= rows[1]["val_accuracy"]
        assert {row["data.batch_size"] for row in rows} == {32}

    def test_csv_is_written_to_the_given_file(self, trained: Path, tmp_path: Path, cli: Cli) -> None:
        result = cli("leaderboard", "--runs", trained, "--csv", tmp_path / "all.csv")

        with (tmp_path / "all.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert "3 rows written" in result.stdout
        assert sorted(row["sweep"] for row in rows) == ["steps", "tiny", "tiny"]

    def test_where_filters_rows(self, trained: Path, cli: Cli) -> None:
        where = "schedule.name == 'step' and optimizer.lr < 1"

        rows = json.loads(cli("leaderboard", "--runs", trained, "--where", where, "--json").stdout)

        assert [row["sweep"] for row in rows] == ["steps"]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--where", "model.nme == 'deep'"), "did you mean 'model.name'?"),
            (("--where", "__import__('os')"), "--where"),
            (("--sort", "val_acuracy"), "did you mean 'val_accuracy'?"),
        ],
    )
    def test_a_wrong_filter_or_column_is_refused(
        self, arguments: tuple[str, str], words: str, trained: Path, cli: Cli
    ) -> None:
        result = cli("leaderboard", "--runs", trained, *arguments)

        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert words in result.stderr or words == "--where"

    def test_runs_without_a_folder_gives_one_row_per_run(self, trained: Path, cli: Cli) -> None:
        single = json.loads(cli("leaderboard", "--runs", trained, "--runs", "--json").stdout)
        assert len(single) == len(MlflowReader(trained).runs().rows)

        refused = cli("leaderboard", "--runs", "tiny")
        assert refused.exit_code == 2
        assert "put --runs at the end" in refused.stderr

    def test_a_missing_sweep_suggests_the_closest_name(self, trained: Path, cli: Cli) -> None:
        result = cli("leaderboard", "tyni", "--runs", trained)
        assert result.exit_code == 2
        assert "Did you mean tiny?" in result.stderr

    def test_a_filter_without_matches_explains_the_empty_json(self, trained: Path, cli: Cli) -> None:
        result = cli("leaderboard", "--runs", trained, "--where", "val_accuracy > 60", "--json")
        assert (result.exit_code, json.loads(result.stdout)) == (0, [])
        assert "val_accuracy ranges from" in result.stderr

    def test_before_any_run_it_is_empty_and_creates_nothing(self, runs: Path, cli: Cli) -> None:
        assert cli("leaderboard", "--runs", runs).exit_code == 0
        assert not runs.exists()


class TestShow:
    def test_a_sweep_is_shown_with_its_file_space_counts_and_best(self, trained: Path, cli: Cli) -> None:
        text = cli("show", "tiny", "--runs", trained).stdout

        assert "2 complete" in text
        assert "\nrun_cap: 2\n" in text.partition("file of the last run:")[2]
        assert re.search(r"^optimizer\.lr +0\.01 \| 0\.02 \| 0\.03 \| 0\.05$", text, re.MULTILINE)
        assert "data.train_size 300" in text
        assert re.search(r"best in the search: trial \d \(optimizer\.lr 0\.0", text)

    def test_a_run_is_found_by_its_table_name_with_its_log(self, trained: Path, cli: Cli) -> None:
        result = cli("show", "tiny-000", "--runs", trained)

        assert result.exit_code == 0
        (line,) = [line for line in result.stdout.splitlines() if line.startswith("log: ")]
        assert Path(line.removeprefix("log: ")).is_file()
        assert cli("show", "tiny/0", "--runs", trained).stdout == result.stdout

    def test_a_run_shows_the_machine_it_was_trained_on(self, trained: Path, cli: Cli) -> None:
        (line,) = [
            line
            for line in cli("show", "tiny-000", "--runs", trained).stdout.splitlines()
            if line.startswith("trained on: ")
        ]

        assert line.startswith(f"trained on: {socket.gethostname()}, cpu (")
        assert re.search(r", \d+ threads?$", line)

    def test_a_bare_number_never_matches_a_run_id(self, trained: Path, cli: Cli) -> None:
        result = cli("show", "0", "--runs", trained)
        assert result.exit_code == 2
        assert "Name the trial with its sweep: tiny-000 or " in result.stderr

    def test_a_run_is_found_by_sweep_and_number_with_its_curve(self, trained: Path, cli: Cli) -> None:
        result = cli("show", "tiny/1", "--runs", trained)

        assert result.exit_code == 0
        assert "optimizer.lr" in result.stdout
        assert "images/s" in result.stdout
        assert len([line for line in result.stdout.splitlines() if line.strip().endswith(tuple("0123456789"))]) >= 2

    def test_a_run_is_found_by_the_beginning_of_its_key(self, trained: Path, cli: Cli) -> None:
        key = written(trained)[0].tags["key"]

        assert key in cli("show", key[:10], "--runs", trained).stdout

    def test_values_of_other_runs_only_are_not_shown(self, trained: Path, cli: Cli) -> None:
        result = cli("show", "tiny/0", "--runs", trained)

        assert "step_size" not in result.stdout
        assert "NA" not in result.stdout

    @pytest.mark.parametrize("name", ["tiny/7", "nothing", "nothing/", ""])
    def test_an_unknown_run_is_rejected_with_the_forms_of_names(self, name: str, trained: Path, cli: Cli) -> None:
        result = cli("show", name, "--runs", trained)

        assert result.exit_code == 2
        assert "Name a run as SWEEP/NUMBER, such as tiny/0" in result.stderr


class TestStatusAndList:
    def test_status_has_a_line_per_trial_and_totals(self, trained: Path, cli: Cli) -> None:
        result = cli("status", "tiny", "--runs", trained)

        assert result.exit_code == 0
        assert result.stdout.count("complete") == 3
        assert "tiny: not running; 2 complete; best val_accuracy" in result.stdout

    def test_status_shows_the_metric_of_the_sweep(self, runs: Path, cli: Cli) -> None:
        book(runs, metric={"name": "train_loss", "goal": "minimize"}).open()

        assert "train_loss" in cli("status", "tiny", "--runs", runs).stdout

    @pytest.mark.parametrize(
        ("name", "words"), [("quick", "no sweep 'quick'"), ("../tiny", "not a valid name for a sweep")]
    )
    def test_an_unknown_or_invalid_name_is_rejected(self, name: str, words: str, trained: Path, cli: Cli) -> None:
        for verb in ("status", "stop", "rm"):
            result = cli(verb, name, "--runs", trained)

            assert (result.exit_code, words in result.stderr) == (2, True)

    def test_list_has_a_line_per_sweep(self, trained: Path, cli: Cli) -> None:
        lines = cli("list", "--runs", trained).stdout.splitlines()

        assert [line.partition(":")[0] for line in lines] == ["steps", "tiny"]

    def test_an_empty_list_suggests_a_command(self, runs: Path, cli: Cli) -> None:
        assert "sweeps run experiments/quick.yaml" in cli("list", "--runs", runs).stdout
        assert not runs.exists()


class TestStopAndRm:
    def test_stop_of_an_idle_sweep_reports_it(self, trained: Path, cli: Cli) -> None:
        result = cli("stop", "tiny", "--runs", trained)

        assert (result.exit_code, result.stdout) == (0, "tiny is not running.\n")

    def test_rm_deletes_nothing_without_confirmation(self, trained: Path, cli: Cli) -> None:
        result = cli("rm", "tiny", "--runs", trained, answer="n\n")

        assert result.exit_code == 1
        assert len(written(trained)) == 2
        assert (trained / "sweeps" / "tiny" / "journal.log").exists()

    def test_rm_refuses_while_the_sweep_runs(self, trained: Path, cli: Cli) -> None:
        with SweepFolder(trained, "tiny").locked():
            result = cli("rm", "tiny", "--runs", trained, "--yes")

        assert result.exit_code == 2
        assert f"stop it with `sweeps stop tiny --runs {trained}`" in result.stderr
        assert len(written(trained)) == 2

    def test_rm_deletes_folder_and_runs_of_this_sweep_only(self, trained: Path, tmp_path: Path, cli: Cli) -> None:
        runs = tmp_path / "copy"
        shutil.copytree(trained, runs)

        result = cli("rm", "tiny", "--runs", runs, answer="y\n")

        assert result.exit_code == 0
        assert written(runs) == written(runs, kind="sweep") == []
        assert len(written(runs, sweep="steps")) == 1
        assert sorted(path.name for path in (runs / "sweeps").iterdir()) == ["steps"]


def test_ablate_removes_one_change_at_a_time(trained: Path, tmp_path: Path, cli: Cli) -> None:
    runs = tmp_path / "copy"
    shutil.copytree(trained, runs)

    result = cli("ablate", "steps/0", "--runs", runs, "--backend", "inline")

    assert result.exit_code == 0, result.output
    (name,) = [path.name for path in (runs / "sweeps").iterdir() if path.name.startswith("ablate-")]
    rungs = written(runs, sweep=name)
    assert {run.tags["rung"] for run in rungs} == {
        "whole", "without-model.width", "without-data.batch-size", "without-data.normalization", "without-schedule",
    }  # fmt: skip
    assert all("test_accuracy" in run.steps for run in rungs)
