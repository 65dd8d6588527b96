"""A script runs as a process per trial: started, read, stopped, resumed, and ended with its trial however that ends."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from program_trials import REPORT, config, log, run, script, session
from sweep_fakes import Cli, write_yaml

import sweeps
from cifar_core.common.errors import DivergedError, ModelError
from sweeps.core.errors import SpecError
from sweeps.core.results import EpochResult
from sweeps.core.trial import Outcome
from sweeps.files.sweep import load_spec
from sweeps.tasks.program import process
from sweeps.tasks.program.callee import code_of_command, fault_of_program
from sweeps.tasks.program.command import command_faults, command_line
from sweeps.tasks.program.config import ProgramConfig
from sweeps.tasks.program.reports import Reports
from sweeps.tasks.registry import PROGRAMS, read_config

DESCENT = Path(__file__).parent / "descent.py"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a script, which is the working directory."""
    shutil.copy(DESCENT, tmp_path / "train.py")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spec(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": "descent",
        "method": "random",
        "run_cap": 3,
        "program": "train.py",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "parameters": {"rate": {"min": 0.01, "max": 0.4}, "epochs": {"value": 3}},
    }
    return {key: value for key, value in (content | changes).items() if value is not None}


GIVEN = {"rate": 1e-05, "deep": True, "wide": False, "layers.first": 8}


class TestCommand:
    @pytest.mark.parametrize(
        ("macro", "words"),
        [
            ("args", ["--rate=1e-05", "--deep=True", "--wide=False", "--layers.first=8"]),
            ("args_no_hyphens", ["rate=1e-05", "deep=True", "wide=False", "layers.first=8"]),
            ("args_no_boolean_flags", ["--rate=1e-05", "--deep", "--layers.first=8"]),
            ("args_json", ['{"rate": 1e-05, "deep": true, "wide": false, "layers.first": 8}']),
            ("env", ["/usr/bin/env"]),
            ("interpreter", [sys.executable]),
            ("program", ["train.py"]),
            ("envvar:HOME", [os.environ["HOME"]]),
        ],
    )
    def test_each_macro_is_replaced_as_in_wandb(self, macro: str, words: list[str], tmp_path: Path) -> None:
        found = command_line(
            ["${" + macro + "}"], program="train.py", arguments=GIVEN, arguments_file=tmp_path / "args.json"
        )

        assert found == words

    def test_arguments_in_a_file_and_macros_within_words_are_replaced(self, tmp_path: Path) -> None:
        file = tmp_path / "args.json"

        words = command_line(
            ["--home=${envvar:HOME}/x", "@${args_json_file}", "dir=${now:%Y}/x"],
            program="train.py",
            arguments=GIVEN,
            arguments_file=file,
        )

        assert words == [f"--home={os.environ['HOME']}/x", f"@{file}", "dir=${now:%Y}/x"]
        assert json.loads(file.read_text()) == GIVEN

    def test_an_impossible_macro_is_refused_with_the_closest_one(self) -> None:
        faults = command_faults(["${arg}", "x${args}", "${envvar:NOWHERE_SET}", "${program}", "dir=${now:%Y}"])

        assert len(faults) == 3
        assert "did you mean 'args'" in faults[0]
        assert "entry of its own" in faults[1]
        assert "NOWHERE_SET" in faults[2]


class TestReports:
    @staticmethod
    def results(*lines: dict[str, Any], reports: Reports | None = None) -> list[EpochResult]:
        reports = reports or Reports(program="train.py", metric="val_loss")
        texts = [line if "start" in line or "end" in line else {"report": json.dumps(line)} for line in lines]
        found = [reports.add({"at": float(index), **text}) for index, text in enumerate(texts)]
        return [each for each in found if each is not None]

    def test_a_result_has_the_numbers_reported_since_the_last_one(self) -> None:
        first, second = self.results(
            {"start": 1}, {"train_loss": 3}, {"train_loss": 2}, {"val_loss": 1, "epoch": 0}, {"val_loss": 0.5}
        )

        assert (first.epoch, dict(first.metrics), first.seconds) == (1, {"train_loss": 2, "val_loss": 1}, 3)
        assert (second.epoch, dict(second.metrics), second.seconds) == (2, {"val_loss": 0.5}, 1)

    @pytest.mark.parametrize(
        ("after", "expected"),
        [
            ([{"epoch": 2, "val_loss": 7}, {"epoch": 3, "val_loss": 8}], [(3, 7), (4, 8)]),
            ([{"epoch": 1, "val_loss": 7}, {"epoch": 2, "val_loss": 8}], [(3, 8)]),
            ([{"epoch": 0, "val_loss": 7}, {"epoch": 1, "val_loss": 8}], []),
            ([{"val_loss": 7}, {"val_loss": 8}, {"val_loss": 9}], [(3, 9)]),
        ],
        ids=["from its checkpoint", "from an older checkpoint", "from the beginning", "without epochs"],
    )
    def test_a_restarted_program_continues_at_the_epoch_that_it_names(
        self, after: list[dict[str, Any]], expected: list[tuple[int, float]]
    ) -> None:
        before = [{"start": 1}, {"epoch": 0, "val_loss": 3}, {"epoch": 1, "val_loss": 2}]

        found = self.results(*before, {"end": {"exit": -15, "was_stopped": True}}, {"start": 2}, *after)[2:]

        assert [(each.epoch, each.metrics["val_loss"]) for each in found] == expected

    def test_names_of_the_record_get_a_prefix_and_texts_a_note(self) -> None:
        reports = Reports(program="train.py", metric="val_loss")

        (found,) = self.results(
            {"val_loss": 1, "epochs": 9, "acc@1": 2, "note": "text", "auc": float("nan")}, reports=reports
        )

        assert dict(found.metrics) == {"val_loss": 1, "reported.epochs": 9, "acc_1": 2}
        assert len(reports.notes) == 2

    def test_an_unusable_number_or_line_is_an_error(self) -> None:
        reports = Reports(program="train.py", metric="val_loss")

        with pytest.raises(DivergedError, match="val_loss was nan in epoch 1"):
            self.results({"val_loss": float("nan")})
        with pytest.raises(ModelError, match="share from 0 to 1"):
            self.results({"val_accuracy": 93})
        with pytest.raises(ModelError, match="one JSON object per line"):
            reports.add({"at": 0, "report": "val_loss=3"})


def test_a_program_that_ends_is_complete_with_all_it_has_reported(project: Path) -> None:
    messages = run(config(arg={"epochs": 3}))

    assert [message.epoch.epoch for message in messages if message.epoch] == [1, 2, 3]
    assert messages[-1].outcome is Outcome.COMPLETE
    assert "from epoch 0, 0 reported" in log()
    assert PROGRAMS.is_complete(Path("trial/state.pt"))
    assert run(config(arg={"epochs": 3}))[-1].outcome is Outcome.COMPLETE
    assert log().count("from epoch") == 1, "it is not started again"


def test_a_program_that_reports_more_than_epochs_allows_is_stopped(project: Path) -> None:
    messages = run(config(arg={"epochs": 1000, "pause": 0.01}, epochs=3))

    assert [message.epoch.epoch for message in messages if message.epoch] == [1, 2, 3]
    assert messages[-1].outcome is Outcome.COMPLETE
    assert "reported more than 3 results" in log()


def test_a_program_that_fails_is_reported_with_the_end_of_its_output(project: Path) -> None:
    script('report(val_loss=1)\nfor i in range(30): print("line", i)\nraise ValueError("no such layer")\n')

    *others, last = run(config())

    assert [message.epoch.epoch for message in others if message.epoch] == [1]
    assert last.outcome is Outcome.FAILED
    assert last.error == "train.py exited with code 1: ValueError: no such layer"
    assert last.traceback is not None
    assert len(last.traceback.splitlines()) == 20
    assert "line 0\n" in log()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("report(val_los=1)", "has ended and has not reported val_loss (did you mean 'val_los'"),
        ("pass", "it has reported nothing"),
        ("report(val_loss=float('nan')); time.sleep(60)", "val_loss was nan in epoch 1"),
        ("os.kill(os.getpid(), 9)", "was ended by signal 9"),
        ("raise MemoryError", "MemoryError"),
    ],
)
def test_a_program_without_a_usable_result_is_one_clear_error(project: Path, text: str, said: str) -> None:
    script(text)

    (message,) = run(config())

    assert message.error is not None
    assert said in message.error


def test_a_program_that_cannot_be_started_is_one_clear_error(project: Path) -> None:
    (message,) = run(config(command=("no-such-interpreter", "${program}")))

    assert message.error == "train.py cannot be started: no-such-interpreter: No such file or directory"


def running() -> list[int]:
    """Return the processes that work in the current folder, but for this one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == Path.cwd() and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def wait_until_none_runs(seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while running():
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.05)


def test_a_stopped_program_gets_the_signal_and_continues_from_its_folder(project: Path) -> None:
    of = config(arg={"epochs": 4, "pause": 0.3})
    with contextlib.closing(session(of)) as trial:
        trial.step()

    wait_until_none_runs()
    messages = run(of)

    assert "from epoch 1, 1 reported" in log() or "from epoch 2, 2 reported" in log()
    losses = [message.epoch.metrics["val_loss"] for message in messages if message.epoch]
    assert losses == [0.25, 0.0625, 0.015625, 0.00390625]


def test_a_program_that_ignores_the_signal_is_killed_with_its_children(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.3)
    script(
        "import signal, subprocess\nsignal.signal(signal.SIGTERM, lambda *_: print('term', flush=True))\n"
        "subprocess.Popen(['sleep', '60'])\nreport(val_loss=1)\nwhile True: time.sleep(60)\n"
    )

    with contextlib.closing(session(config())) as trial:
        trial.step()

    wait_until_none_runs(5)
    assert "term" in log()


DAEMON = """
import subprocess
# Leaves the process group, and its parent ends at once.
subprocess.run(["sh", "-c", "setsid sleep 60 >/dev/null 2>&1 &"])
report(val_loss=1)
"""


@pytest.mark.parametrize("rest", ["", "while True: time.sleep(60)\n"], ids=["ends", "is stopped"])
def test_a_daemon_of_a_program_ends_with_it(project: Path, rest: str) -> None:
    script(DAEMON + rest)

    with contextlib.closing(session(config())) as trial:
        while trial.step().epoch is None:
            pass

    wait_until_none_runs(5)


DRIVER = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
import program_trials
trial = program_trials.session(program_trials.config(arg={{"epochs": 6, "pause": 0.2}}))
trial.step()
print("stepped", flush=True)
trial.step()
trial.step()
"""


def test_a_killed_trial_ends_its_program_and_no_report_is_lost(project: Path) -> None:
    tests = [str(DESCENT.parent), str(DESCENT.parents[1])]
    code = DRIVER.format(tests=tests[0]).replace("sys.path[:0] = [", f"sys.path[:0] = [{tests[1]!r}, ")
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    assert driver.stdout.readline() == "stepped\n"

    driver.kill()
    driver.wait()
    driver.stdout.close()
    wait_until_none_runs()
    messages = run(config(arg={"epochs": 6, "pause": 0.2}))

    assert messages[-1].outcome is Outcome.COMPLETE
    assert [message.epoch.epoch for message in messages if message.epoch] == [1, 2, 3, 4, 5, 6]
    assert [message.epoch.metrics["val_loss"] for message in messages if message.epoch] == [
        0.25**n for n in range(1, 7)
    ]


def test_a_program_whose_guard_is_killed_ends_and_is_tried_again(project: Path) -> None:
    of = config(arg={"epochs": 4, "pause": 0.3})
    with contextlib.closing(session(of)) as trial:
        trial.step()
        (guard,) = [pid for pid in running() if "guard.py" in Path(f"/proc/{pid}/cmdline").read_text()]
        os.kill(guard, signal.SIGKILL)
        last = next(message for message in iter(trial.step, None) if message.outcome is not None)

    assert last.outcome is Outcome.INTERRUPTED
    wait_until_none_runs()
    assert run(of)[-1].outcome is Outcome.COMPLETE


def test_identity_follows_the_script_and_what_it_imports_from_its_folder(project: Path) -> None:
    Path("src").mkdir()
    Path("src/main.py").write_text("import part\nprint(part.x)\n", encoding="utf-8")
    Path("src/part.py").write_text("x = 1\n", encoding="utf-8")
    training = PROGRAMS.start(config(program="src/main.py"), None, device="cpu")
    before = dict(training.source or {})

    Path("src/part.py").write_text("x = 2\n", encoding="utf-8")
    after = dict(PROGRAMS.start(config(program="src/main.py"), None, device="cpu").source or {})

    assert set(before) == {"src/main.py", "part.py"}
    assert before["src/main.py"] == after["src/main.py"]
    assert before["part.py"] != after["part.py"]


def write_package(folder: Path) -> None:
    """Write a program as the module `part.train`, as the package `part` and as an executable."""
    for name in ("part/__main__.py", "part/train.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"from part.report import report\n{REPORT_ONCE}", encoding="utf-8")
    (folder / "part/report.py").write_text(REPORT, encoding="utf-8")
    (folder / "run.sh").write_text(f'#!/bin/sh\nexec {sys.executable} -m part "$@"\n', encoding="utf-8")
    (folder / "run.sh").chmod(0o755)


REPORT_ONCE = "import sys\nassert sys.argv[1:] == ['--rate=0.25']\nreport(val_loss=1)\n"
CALLED: dict[str, tuple[str, tuple[str, ...], set[str]]] = {
    "module": ("part.train", ("${interpreter}", "-m", "${program}", "${args}"), {"part/train.py", "part/report.py"}),
    "package": ("part", ("${interpreter}", "-m", "${program}", "${args}"), {"part/__main__.py", "part/report.py"}),
    "executable": ("./run.sh", ("${env}", "A=b", "${program}", "${args}"), {"./run.sh"}),
    "executable without a folder": ("run.sh", ("${program}", "${args}"), {"run.sh"}),
    "named only": ("other.py", ("${interpreter}", "-m", "part.train", "${args}"), {"part/train.py", "part/report.py"}),
}


@pytest.mark.parametrize("case", CALLED)
def test_a_module_or_an_executable_runs_and_is_part_of_the_identity(case: str, project: Path) -> None:
    program, command, files = CALLED[case]
    write_package(project)
    of = config(program=program, command=command)

    source = PROGRAMS.start(of, None, device="cpu").source
    messages = run(of)

    assert set(source or {}) == files
    assert messages[-1].outcome is Outcome.COMPLETE, log()
    assert PROGRAMS.label(of) in ("part.train", "part", "./run.sh", "run.sh")


@pytest.mark.parametrize(
    ("case", "change"),
    [("module", "part.train: part/report.py has changed"), ("executable", "./run.sh: ./run.sh has changed")],
)
def test_an_edited_module_or_executable_is_named_by_the_next_start(
    case: str, change: str, project: Path, cli: Cli
) -> None:
    program, command, _ = CALLED[case]
    write_package(project)
    file = write_yaml(project, spec(program=program, command=command, run_cap=1, parameters={"rate": {"value": 0.25}}))
    assert cli("run", file, "--backend", "inline", "--runs", "runs", "--no-report").exit_code == 0

    for edited in ("part/report.py", "run.sh"):
        with Path(edited).open("a", encoding="utf-8") as text:
            text.write("\nedited = 1\n")
    result = cli("run", file, "--backend", "inline", "--runs", "runs", "--set", "run_cap=2")

    assert result.exit_code == 2
    assert change in result.stderr


def test_a_module_of_another_interpreter_may_be_missing_here(project: Path) -> None:
    write_package(project)

    assert fault_of_program("elsewhere.train", ["conda", "run", "python", "-m", "${program}"]) is None
    assert code_of_command("elsewhere.train", ["conda", "run", "python", "-m", "${program}"]) is None
    assert "no module 'part.trian'" in str(fault_of_program("part.trian", ["python", "-m", "${program}"]))


def test_an_executable_that_this_machine_lacks_is_a_warning(project: Path) -> None:
    lacking = spec(command=["no-such-launcher", "${program}", "${args}"])

    assert load_spec(write_yaml(project, lacking)).warnings() == [
        "command: there is no executable 'no-such-launcher' on the PATH of this machine"
    ]
    assert load_spec(write_yaml(project, spec())).warnings() == []


def test_arguments_named_like_columns_get_columns_of_their_own(project: Path) -> None:
    loaded = load_spec(write_yaml(project, spec(parameters={
        "epochs": {"values": [3, 5]}, "metric": {"value": "l2"}, "copy": {"value": 1}, "seed": {"value": 4},
        "rate": {"value": 1e-3}, "optimizer.lr": {"value": 2, "when": {"epochs": [3]}},
    })))  # fmt: skip

    found = loaded.space.config({"arg.epochs": 3, "optimizer.lr": 2, "copy": 1, "arg.metric": "l2", "rate": 1e-3})
    again = read_config(found.model_dump_json())

    assert isinstance(again, ProgramConfig)
    assert again.arguments() == {
        "epochs": 3, "metric": "l2", "copy": 1, "seed": found.seed, "rate": 1e-3, "optimizer.lr": 2
    }  # fmt: skip
    assert {"arg.epochs", "arg.metric", "copy", "seed", "optimizer.lr"} <= set(again.dotted())
    assert again.config_id() == found.config_id()
    assert again.epochs == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"program": "trian.py"}, "program: there is no file 'trian.py'"),
        ({"command": "python ${program}"}, "write command: [python, '${program}']"),
        ({"command": ["${interpreter}", "${programm}"]}, "did you mean 'program'"),
        ({"train": "formula:train"}, "cannot be combined with train"),
        ({"early_terminate": {"type": "hyperband"}, "parameters": {"rate": {"value": 1}}}, "write epochs: 10"),
        ({"program": None, "command": ["${interpreter}"]}, "command: names no script"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_file_of_a_program_is_refused_before_anything_runs(
    project: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(SpecError) as refused:
        load_spec(write_yaml(project, spec(**changes)))

    assert said.lower() in str(refused.value).lower()


def test_a_program_is_searched_stopped_early_replicated_shown_and_rerun(project: Path, cli: Cli) -> None:
    early = {"type": "asha", "min_epochs": 1, "reduction_factor": 2}
    file = write_yaml(project, spec(run_cap=4, early_terminate=early, replicates={"top": 1, "seeds": 1}))
    assert cli("plan", file).exit_code == 0

    result = cli("run", file, "--backend", "inline", "--runs", "runs")

    assert result.exit_code == 0, result.output
    board = sweeps.leaderboard("descent", runs="runs")
    assert {"complete", "pruned"} == set(board["status"])
    assert {"rate", "arg.epochs"} <= set(board.columns)
    assert " of 0" not in result.output
    for command in (["show", "descent-000"], ["status", "descent"], ["report", "descent"], ["doctor"], ["gc"]):
        assert cli(*command, "--runs", "runs").exit_code == 0, command
    assert "bit for bit" in cli("rerun", "descent-000", "--runs", "runs").stdout
    wait_until_none_runs()
