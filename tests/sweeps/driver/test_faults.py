"""Faults of the machine or of a model during a sweep: they are reported and affect only what they must."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState
from sweep_fakes import Cli, once, outcomes, own_net, tiny, write_yaml, written

from sweeps.core.trial import ErrorClass, Outcome
from sweeps.search.opening import read_study
from sweeps.store.folder import SweepFolder
from sweeps.worker.fault import fault_of


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def logs(runs: Path) -> list[str]:
    return [log.read_text(encoding="utf-8") for log in sorted((runs / "sweeps" / "tiny" / "logs").iterdir())]


SYS_EXIT = ("sys.exit(3)", "the training called sys.exit(3)")
OS_EXIT = ("os._exit(4)", "the training called os._exit(4)")
ERROR = ("raise ValueError(f'bad {id(self)}')", "ValueError: bad")


@pytest.mark.parametrize(
    ("backend", "call", "words"),
    [
        ("inline", *SYS_EXIT),
        ("inline", *OS_EXIT),
        ("inline", *ERROR),
        pytest.param("ray", *OS_EXIT, marks=pytest.mark.slow),
    ],
)
def test_three_equal_failures_end_the_sweep(
    backend: str, call: str, words: str, models: Path, recorded_runs: Path, cli: Cli
) -> None:
    module = f"net_{backend}_{abs(hash(call))}"
    base = own_net(models, module=module, hook=f"import sys; print('my last words'); {call}")
    path = write_yaml(models, tiny(base=base, run_cap=4))

    result = cli("run", path, "--runs", recorded_runs, "--backend", backend)

    assert result.exit_code == 1
    assert words in result.stderr
    assert "trials failed, all in the same way:" in result.stderr
    told = result.stderr[result.stderr.index("all in the same way") :]
    assert f'{module}.py", line 15, in forward' in told
    assert "site-packages" not in told
    assert "cifar_core" not in told
    assert "Nothing to train" not in result.output
    assert [outcome for _, outcome in outcomes(recorded_runs)].count("failed") == 3
    # With two at a time, any three of the four may fail.
    failed = [log for log in logs(recorded_runs) if words in log]
    assert len(failed) == 3
    assert "my last words" in (failed[0] if backend == "ray" else result.stdout)


def test_a_sweep_continues_while_one_model_is_untried(models: Path, recorded_runs: Path, cli: Cli) -> None:
    base = own_net(models, module="net_that_always_fails", hook="raise ValueError('always')")
    parameters = {"model.name": {"values": ["net_that_always_fails:Net", "simple"]}, **tiny()["parameters"]}
    content = tiny(method="grid", run_cap=None, base=base | {"model": {}}, parameters=parameters)

    result = cli("run", write_yaml(models, content), "--runs", recorded_runs, "--backend", "inline")

    assert [outcome for _, outcome in outcomes(recorded_runs)] == ["failed"] * 4 + ["complete"] * 4
    assert result.exit_code == 1


def test_a_sweep_continues_if_its_network_has_trained_before(models: Path, recorded_runs: Path, cli: Cli) -> None:
    marker = models / "fails"
    base = own_net(models, module="net_that_fails_later", hook=f"assert not Path({str(marker)!r}).exists()")
    parameters = {"optimizer.lr": {"values": [number / 100 for number in range(1, 9)]}}
    path = write_yaml(models, tiny(base=base, run_cap=1, parameters=parameters))
    arguments = ("run", path, "--runs", recorded_runs, "--backend", "inline")
    assert cli(*arguments).exit_code == 0
    marker.touch()

    result = cli(*arguments, "--set", "run_cap=6")

    assert [outcome for _, outcome in outcomes(recorded_runs)] == ["complete"] + ["failed"] * 5
    assert "all in the same way" not in result.stderr


class TestFaults:
    def test_out_of_memory_interrupts_the_trial(self) -> None:
        for error in (
            MemoryError(),
            RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
            RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        ):
            fault = fault_of(error)
            assert (fault.outcome, fault.error_class) == (Outcome.INTERRUPTED, ErrorClass.OUT_OF_MEMORY)

    def test_a_full_disk_as_cause_interrupts_the_trial(self) -> None:
        full = OSError(28, "No space left on device")
        try:
            try:
                raise full
            except OSError as error:
                raise RuntimeError("cannot write") from error
        except RuntimeError as error:
            fault = fault_of(error)
        assert (fault.outcome, fault.error_class) == (Outcome.INTERRUPTED, ErrorClass.DISK_FULL)

    def test_other_errors_fail_the_trial(self) -> None:
        fault = fault_of(ValueError("no"))
        assert (fault.outcome, fault.error_class, fault.error) == (Outcome.FAILED, "ValueError", "ValueError: no")


FILL = """
with Path({filler!r}).open('wb', buffering=0) as file:
                try:
                    while file.write(bytes(4096)): pass
                except OSError: pass
"""


@pytest.mark.usefixtures("nothing_of_ray_is_left")
@pytest.mark.parametrize("backend", ["inline", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_full_disk_stops_the_sweep_which_resumes_with_free_space(
    backend: str, small_disk: Path, models: Path, recorded_runs: Path, cli: Cli
) -> None:
    runs = small_disk / "runs"
    runs.mkdir()
    (runs / "mlflow.db").write_bytes((recorded_runs / "mlflow.db").read_bytes())
    filler = small_disk / "filler"
    fill = f"exec({FILL.format(filler=str(filler))!r}.replace('                ', '    '))"
    base = own_net(models, module=f"net_that_fills_the_disk_{backend}", hook=once(models / "filled", fill))
    path = write_yaml(models, tiny(base=base, run_cap=3))

    stopped, again = (cli("run", path, "--runs", runs, "--backend", backend) for _ in range(2))
    filler.unlink()
    after = cli("run", path, "--runs", runs, "--backend", backend)

    assert stopped.exit_code == 2, stopped.output
    assert "disk" in stopped.stderr
    assert "full" in stopped.stderr
    assert "Free disk space, then run the same command again to resume." in stopped.stderr
    assert "Traceback" not in stopped.output + again.output
    assert again.exit_code == 2
    assert after.exit_code == 0, after.output
    assert outcomes(runs) == [("FINISHED", "complete")] * 3
    assert [run.steps["val_accuracy"] for run in written(runs)] == [[1, 2, 3]] * 3


@pytest.fixture
def server(recorded_runs: Path, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real MLflow server with its own store."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{recorded_runs}/mlflow.db"]
    command += ["--port", str(port), "--workers", "1", "--artifacts-destination", str(tmp_path / "artifacts")]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    yield f"http://127.0.0.1:{port}", process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_lost_tracking_server_costs_only_the_last_table(
    server: tuple[str, subprocess.Popen[bytes]],
    models: Path,
    recorded_runs: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url, process = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    kill = once(models / "killed", f"os.kill({process.pid}, signal.SIGSTOP); os.killpg({process.pid}, signal.SIGKILL)")
    base = own_net(models, module="net_that_kills_the_server", hook=kill)
    path = write_yaml(models, tiny(base=base, run_cap=4))

    # The server's database is elsewhere: everything under `runs` belongs to the study.
    result = cli("run", path, "--runs", models / "runs2", "--backend", "inline")

    assert (models / "killed").exists()
    assert result.exit_code == 0, result.output
    assert "4 complete" in result.stdout
    (line,) = [text for text in caplog.messages if "Run the same command again to write them" in text]
    assert url in line
    assert "leaderboard" not in result.stderr
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{recorded_runs}/mlflow.db")
    assert cli("run", path, "--runs", models / "runs2", "--backend", "inline").exit_code == 0
    assert outcomes(recorded_runs) == [("FINISHED", "complete")] * 4
    assert [run.steps["val_accuracy"] for run in written(recorded_runs)] == [[1, 2, 3]] * 4


def memory() -> tuple[int, int]:
    """Return the total and the available memory of this machine in bytes."""
    found = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return tuple(int(found[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))  # type: ignore[return-value]


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_of_ray_is_left")
def test_a_trial_out_of_memory_is_retried_alone(
    models: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, left = memory()
    if left < 9e9:
        pytest.skip("takes 5 GB for a moment")
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{(total - left + 4e9) / total:.4f}")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    # Each attempt allocates 5 GB in steps, until Ray's memory monitor kills it.
    eat = "import torch, time; self.eaten = [(torch.ones(2**26), time.sleep(0.1)) for _ in range(20)]; time.sleep(5)"
    base = own_net(models, module="net_that_eats_memory", hook=eat)

    result = cli("run", write_yaml(models, tiny(base=base, run_cap=1)), "--runs", recorded_runs)

    assert result.exit_code == 1, result.output
    assert "the memory of its machine was nearly used up (also when it ran alone" in result.stderr
    (run,) = written(recorded_runs)
    assert (run.tags["outcome"], run.tags["error_class"]) == ("failed", "out_of_memory")
    (trial,) = read_study(SweepFolder(recorded_runs, "tiny")).get_trials()
    assert trial.state is TrialState.PRUNED
    assert logs(recorded_runs)[0].count("trial 0 on") == 2


def test_the_command_for_later_selects_the_same_part_of_a_ladder(
    models: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sweeps.cli.ladder.show_ladder", full)
    rungs = [{"name": "a"}, {"name": "b", "optimizer": {"lr": 0.02}}]
    path = write_yaml(models, {"name": "steps", "base": tiny()["base"], "rungs": rungs})
    part = ("--set", "base.epochs=1", "--rungs", "b", "--seeds", "2", "--runs", str(recorded_runs))
    part += ("--backend", "inline")

    result = cli("ladder", path, *part)

    assert result.exit_code == 0, result.output
    assert f"Run `sweeps ladder {path} {' '.join(part)}` to show it" in result.stderr
    assert {run.tags["rung"] for run in written(recorded_runs, sweep="steps")} == {"b"}
