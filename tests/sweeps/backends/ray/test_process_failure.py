"""Messages about failed processes. Files simulate the kernel's counters of kills."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.backends.ray.process_failure import MemoryKills, last_log_line, process_failure_message
from sweeps.core.job import Job
from sweeps.core.trial import ErrorClass, Outcome

KILLED_BY_RAY = "ray.exceptions.OutOfMemoryError: 1 worker(s) were killed due to the node running low on memory."


@pytest.fixture
def counters(tmp_path: Path) -> Path:
    path = tmp_path / "vmstat"
    path.write_text("pgfault 12\noom_kill 3\nnr_zone 4\n", encoding="ascii")
    return path


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        number=0,
        task="image_classification",
        config="{}",
        checkpoint="",
        log=str(tmp_path / "trial.log"),
        cpus=1,
        device="cpu",
    )


def test_one_failure_after_a_kernel_kill_is_out_of_memory(counters: Path, job: Job) -> None:
    memory = MemoryKills(counters)
    counters.write_text("oom_kill 4\n", encoding="ascii")

    messages = [process_failure_message(job, ray_error="The actor died", memory=memory) for _ in range(2)]

    assert [message.error_class for message in messages] == [ErrorClass.OUT_OF_MEMORY, ErrorClass.PROCESS_DIED]
    assert all(message.outcome is Outcome.INTERRUPTED for message in messages)
    assert "killed by the operating system" in str(messages[0].error)


def test_two_failures_after_two_kills_are_both_out_of_memory(counters: Path, job: Job) -> None:
    memory = MemoryKills(counters)
    counters.write_text("oom_kill 5\n", encoding="ascii")

    messages = [process_failure_message(job, ray_error="The actor died", memory=memory) for _ in range(2)]

    assert [message.error_class for message in messages] == [ErrorClass.OUT_OF_MEMORY] * 2


def test_an_old_kill_of_another_process_explains_no_failure(counters: Path, job: Job) -> None:
    now = [100.0]
    memory = MemoryKills(counters, clock=lambda: now[0])
    counters.write_text("oom_kill 4\n", encoding="ascii")
    memory.poll()
    now[0] += 60

    assert process_failure_message(job, ray_error="", memory=memory).error_class == ErrorClass.PROCESS_DIED


def test_a_kill_by_rays_monitor_is_out_of_memory(counters: Path, job: Job) -> None:
    message = process_failure_message(job, ray_error=KILLED_BY_RAY, memory=MemoryKills(counters))

    assert message.error_class == ErrorClass.OUT_OF_MEMORY
    assert "killed by Ray" in str(message.error)


def test_without_counters_no_failure_is_out_of_memory(tmp_path: Path, job: Job) -> None:
    message = process_failure_message(job, ray_error="", memory=MemoryKills(tmp_path / "none"))

    assert message.error_class == ErrorClass.PROCESS_DIED


def test_the_error_contains_the_last_output(counters: Path, job: Job) -> None:
    Path(job.log).write_text("epoch 1\nI cannot go on\n\n", encoding="utf-8")

    message = process_failure_message(job, ray_error="", memory=MemoryKills(counters))

    assert str(message.error).endswith("Its last output: I cannot go on")


def test_the_error_contains_a_fatal_python_error(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Fatal Python error: Segmentation fault\n\nCurrent thread:\n  File a\n", encoding="utf-8")

    assert last_log_line(str(log)) == "Fatal Python error: Segmentation fault"
